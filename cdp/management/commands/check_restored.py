"""The door for looking whether a restored database is what it was."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cdp.restoring import check_all


class Command(BaseCommand):
    help = "Looks whether a restored database is what it was, and changes nothing. Fails if something isn't."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="A line of JSON for each thing.")

    def handle(self, *, json: bool, **_: Any) -> None:
        failed = 0
        for one in check_all():
            failed += not one.is_good
            self.stdout.write(
                _line(asdict(one)) if json else f"{'ok   ' if one.is_good else 'WRONG'} {one.name}: {one.said}"
            )
        if failed:
            raise CommandError(f"{failed} {'thing is' if failed == 1 else 'things are'} not as they must be.")


def _line(told: dict[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False)
