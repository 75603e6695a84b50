"""What a rule may speak about: the traits, events, segments, scores, purposes and lists that exist; and where the thresholds
of its rankings are stored.

Where the catalogue is stored, and how it is read, doesn't belong here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Type(StrEnum):
    """The declared type of a trait."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    LIST = "list"
    COUNTRY = "country"
    CURRENCY = "currency"
    EMAIL = "email"
    PHONE = "phone"

    @property
    def noun(self) -> str:
        """The type within a sentence: a trait "is a number"."""
        nouns = {"text": "text", "boolean": "true or false", "email": "an email address", "phone": "a phone number"}
        return nouns.get(self.value, f"a {self.value}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TraitInfo:
    id: int
    key: str
    label: str
    type: Type


@dataclass(frozen=True, kw_only=True, slots=True)
class EventInfo:
    id: int
    name: str
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentInfo:
    """A segment that a rule may refer to; not `usable` when it is broken, deleted, or has no live version."""

    id: int
    key: str
    name: str
    usable: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreInfo:
    """A score that a published run has: ``kind`` and ``name`` make up its key, "kind.name"."""

    kind: str
    name: str
    label: str
    has_numbers: bool = True
    has_labels: bool = True

    @property
    def key(self) -> str:
        return f"{self.kind}.{self.name}"


class ConsentMode(StrEnum):
    """Whom a purpose takes in: who said yes, who didn't say no, or everybody."""

    OPT_IN = "opt_in"
    OPT_OUT = "opt_out"
    NOTICE_ONLY = "notice_only"


@dataclass(frozen=True, kw_only=True, slots=True)
class PurposeInfo:
    id: int
    key: str
    label: str
    mode: ConsentMode


class ByHand(StrEnum):
    """Whom a list of a segment's own holds."""

    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, kw_only=True, slots=True)
class ListInfo:
    """A list; of whom somebody added to a segment or removed from it by hand, ``of`` is its key and ``name`` its name."""

    id: int
    key: str
    name: str
    of: str | None = None
    by_hand: ByHand | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog:
    """Traits by key, events by name, all others by key. What isn't in it doesn't exist for a rule.

    `thresholds` has the row of each ranking (`Ranked.ranking`) that was computed. A rule may be written without one, and
    run only with it.
    """

    traits: Mapping[str, TraitInfo] = field(default_factory=dict)
    events: Mapping[str, EventInfo] = field(default_factory=dict)
    segments: Mapping[str, SegmentInfo] = field(default_factory=dict)
    thresholds: Mapping[str, int] = field(default_factory=dict)
    scores: Mapping[str, ScoreInfo] = field(default_factory=dict)
    purposes: Mapping[str, PurposeInfo] = field(default_factory=dict)
    lists: Mapping[str, ListInfo] = field(default_factory=dict)
