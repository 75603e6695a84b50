"""The consumer's door for the command line."""

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from cdp.consumer import Consumer


class Command(BaseCommand):
    help = "Processes tracking requests until it is told to stop. Any number may run at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--until-empty", action="store_true", help="Stop once nothing waits.")
        parser.add_argument("--threads", type=int, default=2, help="Batches at work at the same time (default 2).")

    def handle(self, *, until_empty: bool, threads: int, **_: Any) -> None:
        consumer = Consumer(threads=threads, until_empty=until_empty)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: consumer.stop())
        consumer.run()
