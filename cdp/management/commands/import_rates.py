"""The door for exchange rates on the command line."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cdp.audit.actors import Actor
from cdp.errors import DomainError
from cdp.profiles.rate_services import read_rates, set_rates


class Command(BaseCommand):
    help = (
        "Imports exchange rates from a CSV file with the columns currency, day, rate: what one unit of the currency is"
        " worth in the reporting currency from that day on. All of the file or nothing; what changes is converted again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *, file: Path, **_: Any) -> None:
        try:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                rates = read_rates(lines)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from error
        except DomainError as error:
            raise CommandError(str(error)) from error
        job = set_rates(rates=rates, by=Actor.system("import_rates"))
        follows = f"job {job.pk} converts again what they change" if job else "all of them were known"
        self.stdout.write(f"{len(rates)} rates: {follows}")
