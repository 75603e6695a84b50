"""The words in which a privacy law is put down here: what is asked about, which figures there are, and where each is from.

How figures are read from files, compared or used doesn't belong here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class Capability(StrEnum):
    """What somebody would do with a person's data, as far as laws ask different things of it."""

    MARKETING_EMAIL = "marketing_email"
    MARKETING_SMS = "marketing_sms"
    ANALYTICS_COOKIES = "analytics_cookies"
    TARGETED_ADS = "targeted_ads"
    SALE = "sale"
    SHARING = "sharing"


REACHED_BY_GPC: Final = frozenset({Capability.TARGETED_ADS, Capability.SALE, Capability.SHARING})
"""What a browser's Global Privacy Control speaks of."""


class Model(StrEnum):
    """Whether silence is a no. The words are those of `Purpose.mode`."""

    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"


class Right(StrEnum):
    """What a person may ask for. By name: whoever withdraws a consent needs none of these."""

    ACCESS = "access"
    PORTABILITY = "portability"
    RECTIFICATION = "rectification"
    ERASURE = "erasure"
    RESTRICTION = "restriction"
    OBJECTION = "objection"
    OPT_OUT_OF_SALE = "opt_out_of_sale"
    LIMIT_SENSITIVE = "limit_sensitive"
    HUMAN_REVIEW = "human_review"


class Unit(StrEnum):
    MONTHS = "months"
    DAYS = "days"
    BUSINESS_DAYS = "business_days"


class Weekend(StrEnum):
    """When a period ends that would end on a Saturday or a Sunday."""

    STAYS = "stays"
    NEXT_WORKING_DAY = "next_working_day"


@dataclass(frozen=True, slots=True, order=True)
class Period:
    count: int
    unit: Unit

    def __str__(self) -> str:
        name = self.unit.value.replace("_", " ")
        return f"{self.count} {name if self.count != 1 else name.removesuffix('s')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How long one law gives for one right.

    Where several laws may apply a right has several clocks, and what is due first is due.
    """

    within: Period
    extension: Period | None = None
    acknowledge: Period | None = None
    weekend: Weekend = Weekend.STAYS


Clocks = tuple[Clock, ...]
"""Of one right: none where the law doesn't give it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a figure stands: the law, the place in it, where it can be read, and where it was looked up if elsewhere."""

    law: str
    article: str
    url: str
    read: str = ""

    def __str__(self) -> str:
        return f"{self.law}, {self.article}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure(Generic[T]):
    """One figure of a law.

    Args:
        value: what counts. Of a figure that isn't confirmed, the stricter of what was entered and of what the default says.
        entered: what the file says.
        confirmed: it counts as it is. What allows more than the default is only confirmed if it was found in the text of the
            law, or in a text about it, which is named as `Source.read`.
        check: what is to be looked up before it is confirmed.
        law_says: the law's own words where it names no number, so that the number is ours.
        note: what somebody who relies on the figure should know.
        overridden: the operator's file says it, not ours.
    """

    value: T
    entered: T
    sources: tuple[Source, ...]
    confirmed: bool = True
    check: str = ""
    law_says: str = ""
    note: str = ""
    overridden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """What is demanded of whoever keeps data of a person in one place on one day.

    Args:
        key, name: of the law, or of the laws it is the strictest of.
        keys: one key, or several where the law is composed.
        guardian_below: years; younger people can't consent by themselves, their guardian does.
        adult_from: years.
        opt_in_below: years, by capability; of younger people silence is a no whatever `consent` says. 0 is no such rule.
        forbidden_below: years, by capability; of younger people it may not be done at all. 0 is no such rule.
        keep_records_months: how long records of requests are kept at least; 0 where the law names no time.
    """

    key: str
    name: str
    keys: tuple[str, ...]
    consent: Mapping[Capability, Figure[Model]]
    gpc: Figure[bool]
    guardian_below: Figure[int]
    adult_from: Figure[int]
    opt_in_below: Mapping[Capability, Figure[int]]
    forbidden_below: Mapping[Capability, Figure[int]]
    rights: Mapping[Right, Figure[Clocks]]
    keep_records_months: Figure[int]


class LawError(Exception):
    """Something that can't be answered for this law; `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


# ---- As read from files ----------------------------------------------------------------------------------------


class Slot(StrEnum):
    """The kinds of figures in a file, by the name of their tables."""

    CONSENT = "consent"
    GPC = "gpc"
    GUARDIAN = "guardian"
    ADULT = "adult"
    MINORS_OPT_IN = "minors_opt_in"
    MINORS_FORBIDDEN = "minors_forbidden"
    RIGHT = "right"
    RECORDS = "records"


SUBJECTS: Final[Mapping[Slot, tuple[str, ...]]] = {
    Slot.CONSENT: tuple(Capability),
    Slot.GPC: ("",),
    Slot.GUARDIAN: ("",),
    Slot.ADULT: ("",),
    Slot.MINORS_OPT_IN: tuple(Capability),
    Slot.MINORS_FORBIDDEN: tuple(Capability),
    Slot.RIGHT: tuple(Right),
    Slot.RECORDS: ("",),
}
"""What each kind of figure is given for; a file must answer for each."""

Value = Model | bool | int | Clocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some places, or all of a law's; from a day on, up to and not including another."""

    places: frozenset[str] = frozenset()
    since: date = date.min
    until: date = date.max

    def holds(self, place: str, on: date) -> bool:
        """Whether it speaks of this very place on this day; "" is all places at once."""
        return self.since <= on < self.until and (place in self.places if place else not self.places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One figure as a file says it, of one subject. `where` names file and key."""

    slot: Slot
    subject: str
    figure: Figure[Value]
    span: Span
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Territory:
    """Where and when a law applies, and what it is called there if a file tells of a family of laws."""

    key: str
    name: str
    span: Span
    where: str
    sources: tuple[Source, ...]


SlotOf = tuple[Slot, str]
"""A kind of figure, and what it is given for."""

SLOTS: Final[tuple[SlotOf, ...]] = tuple((slot, subject) for slot, of in SUBJECTS.items() for subject in of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statute:
    """All that the files say of one law or family; `layers` has the operator's entries first, ours last."""

    key: str
    name: str
    where: str
    territories: tuple[Territory, ...]
    layers: tuple[Mapping[SlotOf, tuple[Entry, ...]], ...]
