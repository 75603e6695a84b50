"""The keeper's door for the command line."""

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from cdp.activation.keeping import keep_all
from cdp.keeper import AudienceKeeper


class Command(BaseCommand):
    help = "Keeps audiences in line with segments, decisions and time, until it is told to stop. Any number may run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Bring all audiences in line now, and stop.")

    def handle(self, *, once: bool, **_: Any) -> None:
        if once:
            kept = keep_all()
            self.stdout.write(f"{kept.entered} entered, {kept.exited} exited.")
            return
        keeper = AudienceKeeper()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: keeper.stop())
        keeper.run()
