"""The sequencer's door for the command line."""

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cdp.audit.sequencing import LogBroken
from cdp.audit.signing import KeyUnusable
from cdp.sequencer import Sequencer, signer_of_settings


class Command(BaseCommand):
    help = "Gives audit entries their place in the tree, signs and anchors it, until it is told to stop. Any number may run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Place what waits now, and stop.")

    def handle(self, *, once: bool, **_: Any) -> None:
        try:
            sequencer = Sequencer(signer_of_settings())
            if once:
                self.stdout.write(f"{sequencer.once()} entries were given their place.")
                return
        except (KeyUnusable, LogBroken) as error:
            raise CommandError(str(error)) from None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sequencer.stop())
        sequencer.run()
