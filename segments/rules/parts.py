"""What a condition is made of for somebody who builds it: its parts in the order in which it is read, with the choices for each.

From here a screen knows which inputs to show without knowing the operators: a new operator appears by itself, and needs another
piece of screen only if it asks in a new way (`Input`). How the parts are kept in line is in `segments.rules.drafting`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from segments.rules.calendar import PERIODS
from segments.rules.catalog import Catalog
from segments.rules.drafting import (
    MONTH,
    change,
    fitted,
    is_comparable,
    is_figure,
    is_rolling,
    kind_of,
    measure_of,
    operators,
    spelled_out,
)
from segments.rules.edit import Document
from segments.rules.errors import Path
from segments.rules.kinds import EXACT, NUMBER, TEXT
from segments.rules.measures import MEASURES, RATES, Measure
from segments.rules.nodes import ORDERS
from segments.rules.operands import UNITS
from segments.rules.operators import Operator
from segments.rules.shapes import ALL_OF, ANY_OF, LASTING, NOTHING, PAIR

Choices = tuple[tuple[str, str], ...]


class Input(StrEnum):
    """How a part is asked for. A screen has one piece for each of them."""

    WORDS = "words"
    SUBJECT = "subject"
    CHOICE = "choice"
    NUMBER = "number"
    TEXT = "text"
    LIST = "list"
    MOMENT = "moment"
    DURATION = "duration"
    FLAG = "flag"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a condition, in the order in which the sentence goes.

    ``at`` is its place below the condition; of an `Input.CHOICE` that stands for several places it is the first of them, and
    ``sets`` has what each choice makes of the condition. ``label`` names it for who can't see where it stands. ``about`` is whose
    values it is compared with: ("trait", key), ("score", key), or ("property", event, name); of a property to be named, its event.
    A subject with choices can be one of these instead of what is searched for.
    """

    at: Path
    input: Input
    label: str
    value: Any = None
    choices: Choices = ()
    kind: str = ""
    about: tuple[str, ...] = ()
    sets: Mapping[str, Document] = field(default_factory=dict)
    # Left as it is nearly always; a screen may put it aside.
    is_rare: bool = False


NOUNS: Final = {
    "trait": "Trait", "performed": "Event", "in_segment": "Segment", "in_list": "List", "consented": "Purpose",
    "score": "Score", "property": "Property",
}  # fmt: skip
_VALUE: Final = (("", "value"),)
_BOOLEANS: Final = (("true", "true"), ("false", "false"))
_RATES: Final = (("", "in all"), *((rate, f"a {rate}") for rate in RATES))
_WINDOWS: Final[tuple[tuple[str, str, Any], ...]] = (
    ("last", "in the last", MONTH),
    ("before", "before the last", {**MONTH, "ago": dict(MONTH)}),
    *((period, period.replace("_", " "), period) for period in PERIODS),
    ("between", "between", {"from": "", "to": ""}),
    ("from", "since", {"from": ""}),
    ("to", "before", {"to": ""}),
    ("since", "since they last did", {"since": ""}),
    ("ever", "ever", None),
)
_BESIDE: Final = (("value", "a number"), ("percentile", "a percentile"), ("figure", "another figure"))


def step_parts(step: Document) -> list[Part]:
    """What a step of a sequence is made of; it happened, or it didn't, and isn't measured."""
    form = "performed" if "performed" in step else "not_performed"
    found = [_subject(form, step)]
    if "within" in step:
        found.append(Part(at=("within",), input=Input.DURATION, label="Within", value=step["within"]))
    return found


def parts(leaf: Document, catalog: Catalog, *, event: str = "") -> list[Part]:
    """What the condition or filter is made of, in the order in which it is read; its filters and steps are not among it.

    Args:
        event: of a filter, the name of the event whose property it is about.
    """
    if "sequence" in leaf:
        same = leaf.get("same", "")
        asked = Part(
            at=("same",), input=Input.TEXT, label="The same property in all steps", value=same, is_rare=not same
        )
        return [*_window(leaf, is_sequence=True), asked]
    if "everyone" in leaf:
        return [Part(at=("everyone",), input=Input.WORDS, label="", value="Everybody")]
    if is_figure(leaf):
        return _figure(leaf, catalog)
    for form in ("in_segment", "in_list", "consented"):
        if form in leaf:
            return [_subject(form, leaf)]
    for form in ("trait", "score", "property"):
        if form in leaf:
            about = ("property", event, str(leaf[form])) if form == "property" else (form, str(leaf[form]))
            return [
                _subject(form, leaf, about=about[1:2] if form == "property" else ()),
                *_comparison(leaf, catalog, about=about),
            ]
    if "bucket" in leaf:
        seed = Part(at=("bucket",), input=Input.TEXT, label="Name of the draw", value=leaf["bucket"])
        return [seed, *_comparison(leaf, catalog)]
    return []


def _subject(form: str, leaf: Document, *, about: tuple[str, ...] = ()) -> Part:
    label = NOUNS.get(form, "Event")
    return Part(at=(form,), input=Input.SUBJECT, label=label, value=leaf.get(form, ""), kind=form, about=about)


def _measured_property(leaf: Document, measure: Measure) -> Part:
    """Which property is measured; where none need be named, the value of the events themselves is."""
    return Part(
        at=("of",), input=Input.SUBJECT, label="Property", value=leaf.get("of", ""), kind="of",
        about=(str(leaf.get("performed", "")),), choices=() if measure.needs_property else _VALUE,
    )  # fmt: skip


def _figure(leaf: Document, catalog: Catalog) -> list[Part]:
    measure = measure_of(leaf)
    measures = tuple((one.key, _measured(one)) for one in MEASURES.values())
    measured = [Part(at=("measure",), input=Input.CHOICE, label="Measure", value=measure.key, choices=measures)]
    if measure.takes_property:
        measured.append(_measured_property(leaf, measure))
    # "At least 3 times", but "total of price more than 500".
    is_times = measure.key == "count"
    found = [_subject("performed", leaf), *([] if is_times else measured)]
    than = leaf.get("than")
    is_compared = is_comparable(leaf) and (isinstance(than, dict) or spelled_out(leaf).get("op") in ORDERS)
    about = ("property", str(leaf["performed"]), str(leaf.get("of", "")))
    found += _operator(leaf, catalog)
    if is_compared:
        found.append(
            Part(
                at=("than",), input=Input.CHOICE, label="Compared with", choices=_BESIDE,
                value="value" if than is None else "percentile" if "percentile" in than else "figure",
                sets={"value": {"than": None}, "percentile": {"than": {"percentile": 90}, "value": None},
                      "figure": {"than": {"performed": leaf["performed"]}, "value": None}},
                is_rare=than is None,
            )
        )  # fmt: skip
    if isinstance(than, dict) and "percentile" in than:
        found.append(Part(at=("than", "percentile"), input=Input.NUMBER, label="Percentile", value=than["percentile"]))
    elif isinstance(than, dict):
        found.append(Part(at=("times",), input=Input.NUMBER, label="Times", value=leaf.get("times", 1)))
        found += [_below("than", one) for one in _measured_parts(than)]
    else:
        found += _values(leaf, catalog, about=about)
    found += measured if is_times else []
    if is_times and than is None:
        rate = leaf.get("per", "")
        found.append(Part(at=("per",), input=Input.CHOICE, label="Rate", value=rate, choices=_RATES, is_rare=not rate))
    if "each" in leaf:
        found.append(Part(at=("each",), input=Input.DURATION, label="Length of a period", value=leaf["each"]))
    return [*found, *_window(leaf)]


def _measured_parts(than: Document) -> list[Part]:
    measure = measure_of(than)
    figures = tuple((m.key, _measured(m)) for m in MEASURES.values() if m.kinds == (NUMBER,) and m.key != "periods")
    found = [_subject("performed", than)]
    found.append(Part(at=("measure",), input=Input.CHOICE, label="Measure", value=measure.key, choices=figures))
    if measure.takes_property:
        found.append(_measured_property(than, measure))
    return [*found, *_window(than)]


def _measured(measure: Measure) -> str:
    return "times" if measure.key == "count" else f"{measure.noun} of" if measure.takes_property else measure.noun


def _comparison(leaf: Document, catalog: Catalog, *, about: tuple[str, ...] = ()) -> list[Part]:
    return [*_operator(leaf, catalog), *_values(leaf, catalog, about=about)]


def _operator(leaf: Document, catalog: Catalog) -> list[Part]:
    is_amount = is_figure(leaf) and measure_of(leaf).kinds == (NUMBER,)
    allowed = operators(leaf, catalog)
    if isinstance(leaf.get("than"), dict):
        allowed = {key: allowed[key] for key in ORDERS}
    labels = tuple((key, (one.amount if is_amount else None) or _label(one, allowed)) for key, one in allowed.items())
    return [
        Part(
            at=("op",),
            input=Input.CHOICE,
            label="Comparison",
            value=spelled_out(leaf).get("op", ""),
            choices=labels,
        )
    ]


def _label(one: Operator, among: Mapping[str, Operator]) -> str:
    """What it is called among the others: where two read alike in a sentence, by how many values they take."""
    if one.shape not in (ANY_OF, ALL_OF) or sum(other.label == one.label for other in among.values()) < 2:
        return one.label
    return f"{one.label} {'any of' if one.shape is ANY_OF else 'all of'}"


def _values(leaf: Document, catalog: Catalog, *, about: tuple[str, ...]) -> list[Part]:
    leaf = spelled_out(leaf)
    chosen = operators(leaf, catalog).get(str(leaf.get("op", "")))
    if chosen is None or chosen.shape is NOTHING:
        return []
    kind, value = kind_of(leaf, catalog, chosen), leaf.get("value")
    name = kind.name if kind is not None else ""
    one = {"number": Input.NUMBER, "date": Input.MOMENT, "boolean": Input.CHOICE}.get(name, Input.TEXT)
    choices = _BOOLEANS if one is Input.CHOICE else ()
    found: list[Part]
    if chosen.shape is LASTING:
        found = [Part(at=("value",), input=Input.DURATION, label="How long", value=value)]
    elif chosen.shape is PAIR:
        low, high = value if isinstance(value, list) and len(value) == 2 else (None, None)
        found = [
            Part(at=("value", 0), input=one, label="From", value=low, kind=name, about=about),
            Part(at=("value", 1), input=one, label="To", value=high, kind=name, about=about),
        ]
    elif chosen.shape in (ANY_OF, ALL_OF):
        found = [Part(at=("value",), input=Input.LIST, label="Values", value=value or [], kind=name, about=about)]
    else:
        found = [Part(at=("value",), input=one, label="Value", value=value, choices=choices, kind=name, about=about)]
    if "trait" in leaf and EXACT in chosen.kinds and kind is TEXT and chosen.shape is not LASTING:
        found.append(
            Part(
                at=("exact",), input=Input.FLAG, label="Letter for letter", value=leaf.get("exact", False), is_rare=True
            )
        )
    return found


def _window(leaf: Document, *, is_sequence: bool = False) -> list[Part]:
    within = leaf.get("within")
    kind = _window_kind(within)
    must_roll = "per" in leaf or "each" in leaf
    offered = [
        one for one in _WINDOWS
        if not (must_roll and one[0] not in ("last", "before")) and not (is_sequence and one[0] == "since")
    ]  # fmt: skip
    found = [
        Part(
            at=("within",), input=Input.CHOICE, label="When", value=kind, choices=tuple((key, said) for key, said, _ in offered),
            sets={key: {"within": _carried(within, begins)} for key, _, begins in offered},
        )
    ]  # fmt: skip
    if not isinstance(within, dict):
        return found
    if kind in ("last", "before"):
        lasts = {unit: within[unit] for unit in UNITS if unit in within}
        found.append(Part(at=("within",), input=Input.DURATION, label="How long", value=lasts))
        if kind == "before":
            found.append(Part(at=("within", "ago"), input=Input.DURATION, label="Before the last", value=within["ago"]))
    elif kind in ("between", "from", "to"):
        names = {"from": "From", "to": "Until before"}
        found += [
            Part(at=("within", key), input=Input.MOMENT, label=names[key], value=within[key], kind="date")
            for key in names
            if key in within
        ]
    elif kind == "since":
        found.append(
            Part(at=("within", "since"), input=Input.SUBJECT, label="Event", value=within["since"], kind="performed")
        )
    return found


def _window_kind(within: object) -> str:
    if within is None:
        return "ever"
    if isinstance(within, str):
        return within if within in PERIODS else ""
    if not isinstance(within, dict):
        return ""
    if "since" in within:
        return "since"
    if "from" in within or "to" in within:
        return "between" if "from" in within and "to" in within else "from" if "from" in within else "to"
    return "before" if "ago" in within else "last"


def _carried(within: object, begins: Any) -> Any:
    """What a window begins as, with what of the one before it still says something."""
    if not isinstance(within, dict) or not isinstance(begins, dict):
        return begins
    lasts = {unit: within[unit] for unit in UNITS if unit in within}
    if lasts and is_rolling(begins):
        return {**lasts, **({"ago": begins["ago"]} if "ago" in begins else {})}
    return {key: within.get(key, value) for key, value in begins.items()}


def _below(step: str, part: Part) -> Part:
    sets: Mapping[str, Any] = {key: {step: changes} for key, changes in part.sets.items()}
    return replace(part, at=(step, *part.at), label=f"{part.label} of the other figure", sets=sets)


def choose(leaf: Document, part: Part, choice: str, catalog: Catalog) -> Document:
    """The condition after one of the part's choices.

    Raises:
        KeyError: there is no such choice.
    """
    if choice not in dict(part.choices):
        raise KeyError(choice)
    if choice == ({True: "true", False: "false"}[part.value] if isinstance(part.value, bool) else part.value):
        return dict(leaf)
    if part.sets:
        return fitted(_merged(spelled_out(leaf), part.sets[choice]), catalog)
    value: Any = {"true": True, "false": False}[choice] if part.choices == _BOOLEANS else choice
    if part.at[-1] in ("per", "measure") and choice in ("", "count"):
        value = None
    return change(leaf, part.at, value, catalog)


def _merged(leaf: Document, changes: Mapping[str, Any]) -> Document:
    found = dict(leaf)
    for key, value in changes.items():
        if value is None:
            found.pop(key, None)
        elif key == "than" and "than" in found and set(value) == {"within"}:
            found["than"] = _merged(found["than"], value)
        else:
            found[key] = value
    return found
