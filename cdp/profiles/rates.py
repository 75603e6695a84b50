"""What an amount is worth in the reporting currency, by the rate of its day.

A rate holds from its day on until the next one's, at most `RATE_DAYS` long. How rates come in, and what a corrected one
changes, is in `cdp.profiles.rate_services`.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from django.conf import settings

from cdp.database import bound_cursor
from cdp.profiles.models import Workspace
from cdp.profiles.values import as_number

RATES_LOCK = 7305003


def rates_lock(*, exclusive: bool) -> None:
    """Holds the rates still until the transaction ends.

    Who converts shares it; who writes rates has it alone. So whatever was converted by an old rate is committed, and
    can be found and corrected, when the new one is.
    """
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s)" if exclusive else "SELECT pg_advisory_xact_lock_shared(%s)", [RATES_LOCK]
        )


class Converter:
    """Turns amounts into the reporting currency, within one transaction. Rates are read when they are first asked for."""

    def __init__(self, reporting_currency: str | None = None) -> None:
        self._reporting = reporting_currency
        self._rates: dict[tuple[str, date], Decimal | None] = {}

    def __call__(self, amount: Decimal, currency: str | None, day: date) -> Decimal | None:
        """The amount, to four places; None when no rate is known, or the result has more digits than are kept."""
        if currency is None or currency == self.reporting_currency:
            return amount
        if (currency, day) not in self._rates:
            self.learn([(currency, day)])
        rate = self._rates[currency, day]
        return None if rate is None else as_number(amount * rate)

    @property
    def reporting_currency(self) -> str:
        if self._reporting is None:
            self._reporting = Workspace.current().reporting_currency
        return self._reporting

    def learn(self, wanted: Iterable[tuple[str | None, date]]) -> None:
        """Reads the rates of these (currency, day), all at once; of the reporting currency none is needed."""
        unknown = {
            (currency, day)
            for currency, day in wanted
            if currency is not None and currency != self.reporting_currency and (currency, day) not in self._rates
        }
        if not unknown:
            return
        pairs = sorted(unknown)
        rates_lock(exclusive=False)
        with bound_cursor() as cursor:
            cursor.execute(
                """
                SELECT g.currency, g.day, (
                    SELECT r.rate FROM profiles_exchangerate r
                     WHERE r.currency = g.currency AND r.day BETWEEN g.day - %s::int AND g.day
                     ORDER BY r.day DESC LIMIT 1)
                  FROM unnest(%s::text[], %s::date[]) AS g(currency, day)
                """,
                [settings.RATE_DAYS, [currency for currency, _ in pairs], [day.isoformat() for _, day in pairs]],
            )
            self._rates |= {(currency, day): rate for currency, day, rate in cursor.fetchall()}
