"""The deliverer's door for the command line."""

import signal
from typing import Any

from django.core.management.base import BaseCommand

from cdp.deliverer import Deliverer


class Command(BaseCommand):
    help = "Sends what webhooks hear, until it is told to stop. Any number may run."

    def handle(self, **_: Any) -> None:
        deliverer = Deliverer()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: deliverer.stop())
        deliverer.run()
