"""How many operands an operator takes, and how they are written in JSON.

What the operator does with them doesn't belong here.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Final, TypeAlias

from segments.rules.errors import received
from segments.rules.kinds import PRESENCE, Kind, json_type_fits
from segments.rules.operands import (
    MAX_LIST,
    UNITS,
    Duration,
    Moment,
    Operand,
    Pattern,
    Report,
    Scalar,
    Unreadable,
    read_duration,
    read_text,
)
from segments.rules.patterns import MAX_PATTERN, PatternError, printed

Read: TypeAlias = tuple[Kind, Operand] | None


class Shape(ABC):
    """Reads an operand, or reports everything that is wrong with it and gives None."""

    takes_value = True

    @abstractmethod
    def read(self, raw: object, kinds: Collection[Kind], subject: str, report: Report) -> Read: ...

    @abstractmethod
    def schema(self, kinds: Collection[Kind]) -> dict[str, object]:
        """The JSON Schema of `value`."""

    @abstractmethod
    def say(self, kind: Kind, operand: Operand) -> str:
        """The operand within an English sentence."""


class One(Shape):
    """A single value."""

    def read(self, raw: object, kinds: Collection[Kind], subject: str, report: Report) -> Read:
        kind = _kind_of(raw, kinds, subject, report)
        if kind is None:
            return None
        item = _item(raw, kind, report)
        return None if item is None else (kind, item)

    def schema(self, kinds: Collection[Kind]) -> dict[str, object]:
        return _any_of([dict(kind.schema) for kind in kinds])

    def say(self, kind: Kind, operand: Operand) -> str:
        return kind.say(_scalar(operand))


class Many(Shape):
    """A list of values of one kind."""

    def __init__(self, joined_by: str) -> None:
        self.joined_by = joined_by

    def read(self, raw: object, kinds: Collection[Kind], subject: str, report: Report) -> Read:
        if not isinstance(raw, list):
            report("wrong_type", f"expected a list; received {received(raw)}")
            return None
        if not 1 <= len(raw) <= MAX_LIST:
            report("list_length", f"a list has 1 to {MAX_LIST} items; received {len(raw)}")
            return None
        return _items(raw, kinds, subject, report)

    def schema(self, kinds: Collection[Kind]) -> dict[str, object]:
        return _any_of(
            [{"type": "array", "minItems": 1, "maxItems": MAX_LIST, "items": dict(kind.schema)} for kind in kinds]
        )

    def say(self, kind: Kind, operand: Operand) -> str:
        *most, last = [kind.say(item) for item in _tuple(operand)]
        return f"{', '.join(most)} {self.joined_by} {last}" if most else last


class Pair(Shape):
    """The lower and the upper bound, in this order."""

    def read(self, raw: object, kinds: Collection[Kind], subject: str, report: Report) -> Read:
        if not isinstance(raw, list) or len(raw) != 2:
            report("wrong_type", f"expected a list of two bounds; received {received(raw)}")
            return None
        bounds = _items(raw, kinds, subject, report)
        if bounds is not None and _upside_down(*_tuple(bounds[1])):
            report("bounds_reversed", "the first bound must not be above the second")
            return None
        return bounds

    def schema(self, kinds: Collection[Kind]) -> dict[str, object]:
        return _any_of([{"type": "array", "minItems": 2, "maxItems": 2, "items": dict(kind.schema)} for kind in kinds])

    def say(self, kind: Kind, operand: Operand) -> str:
        low, high = _tuple(operand)
        return f"{kind.say(low)} and {kind.say(high)}"


class Lasting(Shape):
    """A duration, as in `{"days": 30}`."""

    def read(self, raw: object, kinds: Collection[Kind], subject: str, report: Report) -> Read:
        (kind,) = kinds
        try:
            return kind, read_duration(raw)
        except Unreadable as problem:
            report(problem.code, problem.message)
            return None

    def schema(self, kinds: Collection[Kind]) -> dict[str, object]:
        return duration_schema()

    def say(self, kind: Kind, operand: Operand) -> str:
        return str(operand)


class Regular(Shape):
    """A regular expression, as in `"^gold|silver$"`."""

    def read(self, raw: object, kinds: Collection[Kind], subject: str, report: Report) -> Read:
        (kind, *_) = kinds
        try:
            pattern = Pattern(read_text(raw))
            for folded in (True, False):
                printed(pattern.text, folded=folded)
        except Unreadable as problem:
            report(problem.code, problem.message)
            return None
        except PatternError as problem:
            report("unknown_pattern", str(problem))
            return None
        return kind, pattern

    def schema(self, kinds: Collection[Kind]) -> dict[str, object]:
        return {"type": "string", "minLength": 1, "maxLength": MAX_PATTERN}

    def say(self, kind: Kind, operand: Operand) -> str:
        return f"/{operand.text}/" if isinstance(operand, Pattern) else str(operand)


class Nothing(Shape):
    """No operand: the condition must not have a `value`."""

    takes_value = False

    def read(self, raw: object, kinds: Collection[Kind], subject: str, report: Report) -> Read:
        return PRESENCE, None

    def schema(self, kinds: Collection[Kind]) -> dict[str, object]:
        return {}

    def say(self, kind: Kind, operand: Operand) -> str:
        return ""


ONE: Final = One()
ANY_OF: Final = Many("or")
ALL_OF: Final = Many("and")
PAIR: Final = Pair()
LASTING: Final = Lasting()
REGULAR: Final = Regular()
NOTHING: Final = Nothing()


def duration_schema() -> dict[str, object]:
    """The JSON Schema of a duration; the upper limit depends on the unit."""
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": {unit: {"type": "integer", "minimum": 1, "maximum": Duration.largest(unit)} for unit in UNITS},
    }


def _kind_of(raw: object, kinds: Collection[Kind], subject: str, report: Report, *steps: int) -> Kind | None:
    for kind in kinds:
        if json_type_fits(kind, raw):
            return kind
    report("wrong_type", f"{subject}; received {received(raw)}", *steps)
    return None


def _item(raw: object, kind: Kind, report: Report, *steps: int) -> Scalar | None:
    try:
        return kind.read(raw)
    except Unreadable as problem:
        report(problem.code, problem.message, *steps)
        return None


def _items(raw: Sequence[object], kinds: Collection[Kind], subject: str, report: Report) -> Read:
    first = _kind_of(raw[0], kinds, subject, report, 0)
    if first is None:
        return None
    read: list[Scalar] = []
    for position, element in enumerate(raw):
        kind = _kind_of(element, kinds, subject, report, position)
        if kind is not None and kind is not first:
            report("mixed_list", f"the items of a list are of one type; received {received(element)}", position)
        item = _item(element, first, report, position) if kind is first else None
        if item is not None:
            read.append(item)
    return (first, tuple(read)) if len(read) == len(raw) else None


def _upside_down(low: Scalar, high: Scalar) -> bool:
    if isinstance(low, Moment) and isinstance(high, Moment):
        return low.start > high.start
    return not isinstance(low, Moment) and not isinstance(high, Moment) and low > high  # type: ignore[operator]


def _scalar(operand: Operand) -> Scalar:
    if operand is None or isinstance(operand, tuple | Duration | Pattern):
        raise TypeError(f"expected a single operand, got {operand!r}")
    return operand


def _tuple(operand: Operand) -> tuple[Scalar, ...]:
    if not isinstance(operand, tuple):
        raise TypeError(f"expected several operands, got {operand!r}")
    return operand


def _any_of(schemas: list[dict[str, object]]) -> dict[str, object]:
    distinct = [schema for position, schema in enumerate(schemas) if schema not in schemas[:position]]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
