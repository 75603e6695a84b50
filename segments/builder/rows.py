"""What the screen shows of a draft: rows, the controls in them, and what is wrong; each says what is posted when it is used.

Pure. How they are made of a document is in `segments.builder.tree`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from segments.builder.aids import Aid
from segments.rules.edit import GroupKind, text_of
from segments.rules.operands import UNITS
from segments.rules.parts import Choices, Input

GROUPS: Final[tuple[tuple[GroupKind, str, str], ...]] = (
    (GroupKind.ALL, "All of", "these must be true"),
    (GroupKind.ANY, "Any of", "one of these is enough"),
    (GroupKind.NONE, "None of", "these may be true"),
    (GroupKind.NOT_ALL, "Not all of", "these may be true together"),
)
GROUP_CHOICES: Final[Choices] = tuple((kind.value, label) for kind, label, _ in GROUPS)
UNIT_CHOICES: Final[Choices] = tuple((unit, unit) for unit in UNITS)


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """What is wrong, where in the document, and the value that was probably meant."""

    code: str
    message: str
    at: str
    mend: int | float | None = None

    @property
    def mend_it(self) -> str:
        return json.dumps({"do": "mend", "place": self.at})


@dataclass(frozen=True, kw_only=True)
class Control:
    """One input. ``at`` is its place in the document; ``id`` is made of it, so that focus finds it again.

    ``shown`` is what the person sees of the value: a name for a key. ``amount`` and ``unit`` are of durations.
    """

    at: str
    id: str
    input: Input
    label: str
    value: Any
    shown: str
    choices: Choices = ()
    kind: str = ""
    about: tuple[str, ...] = ()
    icon: str = ""
    amount: Any = ""
    unit: str = ""
    is_bad: bool = False
    node: str = ""
    number: int = 0
    is_rare: bool = False
    aid: Aid = field(default_factory=Aid)
    names: Mapping[str, str] = field(default_factory=dict)

    def vals(self, do: str, **more: str) -> str:
        """What is posted with the value that is chosen or typed, as JSON."""
        reads = {"as": self.aid.reads} if self.aid.reads else {}
        return json.dumps({"do": do, "node": self.node, "at": self.at, "part": str(self.number), **reads, **more})

    @property
    def set(self) -> str:
        return self.vals("set")

    @property
    def look(self) -> str:
        """What is posted for its histogram, as JSON."""
        return json.dumps({**self.aid.histogram, "id": f"p{self.id}"})

    @property
    def set_amount(self) -> str:
        return self.vals("set", unit=self.unit)

    @property
    def set_unit(self) -> str:
        return self.vals("set", value=str(self.amount))

    @property
    def units(self) -> Choices:
        return UNIT_CHOICES

    @property
    def is_event(self) -> bool:
        """Whether it must be an event: where a condition is about one, as it is in a step or a window."""
        return self.node != self.at.rpartition("/")[0] or "/sequence/" in self.at

    @property
    def is_property(self) -> bool:
        return self.kind in ("of", "property")

    @property
    def change_subject(self) -> str:
        return self.vals("set" if self.is_event or self.is_property else "subject")

    @property
    def pick(self) -> str:
        """The query by which the picker finds what this can be changed to."""
        if self.is_property:
            return urlencode(
                {"event": self.about[0] if self.about else "", **({"value": "yes"} if self.choices else {})}
            )
        return urlencode({"only": "event"} if self.is_event else {})

    @property
    def is_day(self) -> bool:
        """Whether a calendar can say it: a date, or nothing yet."""
        return len(self.shown) in (0, 10)

    @property
    def choose(self) -> str:
        return self.vals("choose")

    @property
    def list_add(self) -> str:
        return self.vals("list_add")

    @property
    def items(self) -> list[tuple[str, str, str]]:
        """The values of a list as the rule has them and as they are called, each with what takes it away."""
        values = self.value if isinstance(self.value, list) else []
        return [
            (
                written(one),
                self.names.get(written(one).upper(), written(one)),
                self.vals("list_remove", position=str(n)),
            )
            for n, one in enumerate(values)
        ]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A group, a condition, a filter or a step.

    ``at`` is its place, ``inner`` that of what can be changed in it: the same, or below a "not". ``into`` is the list that more can be
    added to: the conditions of a group, the filters of a condition or step, the steps of a sequence. ``event`` is the one that is
    filtered. ``other`` has the filters of the figure that this one is compared with.
    """

    form: str
    at: str
    inner: str
    number: str
    join: str
    name: str
    icon: str
    position: int
    of: int
    is_negated: bool = False
    group: GroupKind | None = None
    says: str = ""
    into: str = ""
    filters_into: str = ""
    event: str = ""
    controls: tuple[Control, ...] = ()
    rows: tuple["Row", ...] = ()
    filters: tuple["Row", ...] = ()
    steps: tuple["Row", ...] = ()
    other: "Row | None" = None
    mistakes: tuple[Mistake, ...] = ()
    node: Any = None

    @property
    def id(self) -> str:
        return f"n{self.at.replace('/', '-')}"

    @property
    def here(self) -> str:
        """What every step on this row has with it, as JSON."""
        return json.dumps({"what": self.at, "node": self.inner})

    def _vals(self, do: str, **more: str) -> str:
        return json.dumps({"do": do, "what": self.at, **more})

    @property
    def group_choices(self) -> Choices:
        return GROUP_CHOICES

    @property
    def regroup(self) -> str:
        return self._vals("regroup")

    @property
    def add_here(self) -> str:
        return self._vals("add", into=self.into)

    @property
    def filter_pick(self) -> str:
        """The query by which the picker finds the properties that can be filtered by."""
        return urlencode({"event": self.event})

    @property
    def group_here(self) -> str:
        return self._vals("group", into=self.into, kind="any")

    @property
    def filter_into(self) -> str:
        return self._vals("add", into=self.filters_into)

    @property
    def filter_group(self) -> str:
        return self._vals("group", into=self.filters_into, kind="any")

    @property
    def negate(self) -> str:
        return self._vals("negate")

    @property
    def missing(self) -> str:
        return self._vals("missing")

    @property
    def within(self) -> str:
        return self._vals("within")

    @property
    def remove(self) -> str:
        return self._vals("remove")

    @property
    def json(self) -> str:
        """It as it is copied."""
        return text_of((self.node,)) if isinstance(self.node, dict) else ""

    @property
    def is_first(self) -> bool:
        return self.position == 0

    @property
    def is_last(self) -> bool:
        return self.position == self.of - 1

    @property
    def usual(self) -> list[Control]:
        return [one for one in self.controls if not one.is_rare or one.is_bad]

    @property
    def rare(self) -> list[Control]:
        """Controls that are put aside until somebody asks for them."""
        return [one for one in self.controls if one.is_rare and not one.is_bad]

    @property
    def all_mistakes(self) -> list[Mistake]:
        """Its own, and those of all below it."""
        other = (self.other,) if self.other else ()
        below = (one for row in (*self.rows, *self.filters, *self.steps, *other) for one in row.all_mistakes)
        return [*self.mistakes, *below]


def written(value: Any) -> str:
    """A value as it stands in a field; nothing of what a field can't hold."""
    if value is None or isinstance(value, dict | list):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:,}" if abs(value) < 1e15 else str(value)
    return str(value)
