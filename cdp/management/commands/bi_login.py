"""Log-ins for BI tools, which see the views of the schema `bi` and nothing else."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cdp.bi.making import change_password, drop_login, make_login
from cdp.errors import DomainError


class Command(BaseCommand):
    help = "Makes a log-in for a BI tool and prints its password, this once. It reads the views of the schema bi and nothing else."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="What it is called, as tableau.")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--rotate", action="store_true", help="Give it another password.")
        what.add_argument("--drop", action="store_true", help="Take it away.")

    def handle(self, *, name: str, rotate: bool, drop: bool, **_: Any) -> None:
        try:
            if drop:
                drop_login(name=name, using="owner")
                self.stdout.write(f"{name} is gone.")
                return
            password = change_password(name=name, using="owner") if rotate else make_login(name=name, using="owner")
        except DomainError as error:
            raise CommandError(error.message) from None
        self.stdout.write(password)
        self.stderr.write("Keep it: it is shown this once.")
