"""The sweeper's door for the command line."""

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from cdp.sweeper import Sweeper
from segments.feed import number_changes
from segments.sweep import sweep_due


class Command(BaseCommand):
    help = "Takes time's passing into account in the members of segments, until it is told to stop. Any number may run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="Sweep all segments up to now, whatever is due, and stop."
        )

    def handle(self, *, once: bool, **_: Any) -> None:
        if once:
            swept = sweep_due(everything=True)
            number_changes()
            self.stdout.write(f"{swept.segments} segments swept: {swept.entered} entered, {swept.exited} exited.")
            return
        sweeper = Sweeper()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sweeper.stop())
        sweeper.run()
