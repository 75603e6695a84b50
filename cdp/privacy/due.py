"""By which law a request is counted, and its last day. The laws are in `consent.law`."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from cdp.privacy.models import RequestKind
from consent.law import Law, LawError, Right, due, extendable, law_for

RIGHT: Final[dict[str, Right]] = {
    RequestKind.ACCESS: Right.ACCESS,
    RequestKind.PORTABILITY: Right.PORTABILITY,
    RequestKind.RECTIFICATION: Right.RECTIFICATION,
    RequestKind.ERASURE: Right.ERASURE,
    RequestKind.RESTRICTION: Right.RESTRICTION,
    RequestKind.OBJECTION: Right.OBJECTION,
}


@dataclass(frozen=True, slots=True)
class Due:
    """The last day, the law it was counted by, and by when it could be at the latest; None where no law extends it."""

    on: date
    law: str
    extended_to: date | None


def due_of(kind: RequestKind, *, country: str, region: str, received_on: date) -> Due:
    """When such a request is due. Where the person lives in nobody's knowing, the strictest of all laws counts; where their law
    knows no such right, we answer all the same, by the default."""
    law, right = law_for(country or None, region or None, received_on), RIGHT[kind]
    try:
        return _due(law, right, received_on)
    except LawError as error:
        if error.code != "no_such_right":
            raise
        return _due(law_for(NOWHERE, None, received_on), right, received_on)


# The strictest of several laws is named by all of them.
LONGEST_NAME: Final = 100
MANY: Final = "The strictest of all that may apply"
# Antarctica, which has no law of its own: what holds everywhere else.
NOWHERE: Final = "AQ"


def _due(law: Law, right: Right, received_on: date) -> Due:
    on = due(law, right, received_on)
    until = due(law, right, received_on, extended=True) if extendable(law, right) else None
    return Due(on, law.name if len(law.name) <= LONGEST_NAME else MANY, until)
