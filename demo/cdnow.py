"""The CDNOW purchase log as tracking messages: 23,570 customers, 69,659 purchases, January 1997 to June 1998.

Reads the text file that the PyPI package `lifetimes` carries; the package itself is never imported. Pure: what sends
the messages is the command. Source of the data: Fader & Hardie, "Forecasting Repeat Sales at CDNOW" (2001).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from cdp.errors import DomainError
from demo.world import Message, Sent

SOURCE: Final = "cdnow"
EVENT: Final = "Order Completed"
CURRENCY: Final = "USD"
AS_OF: Final = datetime(1998, 7, 1, tzinfo=UTC)
RECENT: Final = "bought-in-the-last-90-days"
LAPSED: Final = "spent-100-then-silent-for-180-days"
ONCE: Final = "exactly-one-purchase"
FIRST_DAY: Final = date(1997, 1, 1)
CUSTOMERS: Final = 23_570
PURCHASES: Final = 69_659
_HEADER: Final = ("customer_id", "date", "number_of_cds", "dollar_value")
# The log has days but no hours. Noon in UTC is the same day in nearly every time zone a workspace may have.
_NOON: Final = "T12:00:00.000Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One line of the log. Lines that are wholly equal are different purchases: `row` tells them apart."""

    row: int
    customer: str
    day: date
    cds: int
    dollars: Decimal


def find_log() -> Path:
    """Where the installed package keeps the file.

    Raises:
        DomainError: `cdnow_missing` when the package isn't installed.
    """
    spec = find_spec("lifetimes")
    if spec is None or spec.origin is None:
        raise DomainError(
            "cdnow_missing", "The package lifetimes is missing: pip install --no-deps -r requirements-demo.txt"
        )
    path = Path(spec.origin).parent / "datasets" / "CDNOW_master.txt"
    if not path.is_file():
        raise DomainError("cdnow_missing", "The installed package lifetimes has no datasets/CDNOW_master.txt.")
    return path


def digest(path: Path) -> str:
    """SHA-256 of the file, the first half of every messageId."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(path: Path) -> Iterator[Purchase]:
    """Every line in the file's order.

    Raises:
        DomainError: `cdnow_unreadable` when a line is not what the log's lines are.
    """
    with path.open(encoding="ascii") as lines:
        if tuple(next(lines, "").split()) != _HEADER:
            raise DomainError("cdnow_unreadable", f"{path.name}: the first line should name {', '.join(_HEADER)}.")
        for row, line in enumerate(lines, start=1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) != len(_HEADER):
                raise DomainError(
                    "cdnow_unreadable", f"{path.name}, row {row}: four columns expected, got {len(fields)}."
                )
            customer, day, cds, dollars = fields
            yield Purchase(
                row=row,
                customer=customer,
                day=date(int(day[:4]), int(day[4:6]), int(day[6:])),
                cds=int(cds),
                dollars=Decimal(dollars),
            )


def messages(path: Path) -> Iterator[Sent]:
    """Each purchase as an order, in the order of the days."""
    name = digest(path)[:24]
    for purchase in sorted(read(path), key=lambda purchase: (purchase.day, purchase.row)):
        yield Sent(SOURCE, _order(purchase, message_id=f"{name}-{purchase.row}"))


def _order(purchase: Purchase, *, message_id: str) -> Message:
    return {
        "type": "track",
        "messageId": message_id,
        "userId": f"cdnow-{purchase.customer}",
        "timestamp": f"{purchase.day.isoformat()}{_NOON}",
        "event": EVENT,
        "properties": {
            # Unique by row, so that no purchase replaces another.
            "order_id": f"cdnow-{purchase.row}",
            "revenue": float(purchase.dollars),
            "currency": CURRENCY,
            "quantity": purchase.cds,
        },
    }


def counted(path: Path) -> dict[str, int]:
    """The three segments' sizes at `AS_OF`, counted straight from the file with none of the platform's code."""
    days: dict[str, list[date]] = defaultdict(list)
    spent: dict[str, Decimal] = defaultdict(Decimal)
    for purchase in read(path):
        days[purchase.customer].append(purchase.day)
        spent[purchase.customer] += purchase.dollars
    last = AS_OF.date()
    return {
        RECENT: sum(max(found) >= last - timedelta(days=90) for found in days.values()),
        LAPSED: sum(spent[who] > 100 and max(found) < last - timedelta(days=180) for who, found in days.items()),
        ONCE: sum(len(found) == 1 for found in days.values()),
    }


def customers(path: Path) -> list[str]:
    """User ids of all customers, ascending."""
    return sorted({f"cdnow-{purchase.customer}" for purchase in read(path)})
