"""What an amount is worth in the reporting currency."""

from datetime import date
from decimal import Decimal

from cdp.profiles.models import Workspace


class Converter:
    """Turns amounts into the reporting currency; an amount without a currency is in it already."""

    def __init__(self, reporting_currency: str | None = None) -> None:
        self._reporting = reporting_currency

    def __call__(self, amount: Decimal, currency: str | None, day: date) -> Decimal | None:
        if self._reporting is None:
            self._reporting = Workspace.current().reporting_currency
        return amount if currency in (None, self._reporting) else None
