"""What helps somebody to say the value of a condition: where suggestions come from, how it lies among people, in what it counts.

Pure: what is known of the fields is given. The suggestions and histograms themselves are in `segments.fields`, the phrases for
days in `segments.builder.phrases`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from segments.rules import Catalog, Type
from segments.rules.drafting import declared_type, is_figure, measure_of
from segments.rules.edit import Document
from segments.rules.kinds import NUMBER
from segments.rules.parts import Input, Part

# What a figure is counted from; what it is compared with makes no difference to how it lies.
_OF_A_FIGURE: Final = ("performed", "measure", "of", "where", "within", "per", "each")
_MEASURABLE: Final = (Type.NUMBER, Type.DATE)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known beside the catalogue.

    Attributes:
        types: of properties, by event and name, what their values mostly are.
        currency: in which the value of events is counted.
        may_count: whether the reader may have figures counted over events.
    """

    types: Mapping[tuple[str, str], Type] = field(default_factory=dict)
    currency: str = ""
    may_count: bool = False


@dataclass(frozen=True, kw_only=True)
class Aid:
    """What stands by one input.

    Attributes:
        suggest: the query by which values are suggested; empty where none are.
        reads: what is typed is read as: "number", "boolean", or nothing where that goes by the part itself.
        unit: said behind it.
        histogram: what is posted for a histogram; `pictured` says of what it is, whatever it is compared with.
    """

    suggest: str = ""
    reads: str = ""
    unit: str = ""
    histogram: Mapping[str, Any] = field(default_factory=dict)
    pictured: str = ""


def aid(part: Part, leaf: Document, catalog: Catalog, known: Known) -> Aid:
    """What helps with this part of the condition."""
    if part.input is Input.MOMENT:
        is_value = part.at == ("value",)
        suggest = urlencode({"moving": "yes"} if is_value and not is_figure(leaf) else {})
        return Aid(suggest=f"phrases?{suggest}", **_histogram(part, leaf, catalog, known))
    if part.at[0] != "value":
        return Aid()
    if part.input is Input.NUMBER:
        return Aid(unit=_unit(leaf, known), **_histogram(part, leaf, catalog, known))
    if part.input in (Input.TEXT, Input.LIST):
        reads = {Type.NUMBER: "number", Type.BOOLEAN: "boolean"}.get(_type(part, known), "") if not part.kind else ""  # type: ignore[arg-type]
        picture = _histogram(part, leaf, catalog, known) if reads == "number" and part.input is Input.TEXT else {}
        return Aid(suggest=_suggest(part), reads=reads, **picture)
    return Aid()


def properties_in(node: Any) -> Iterator[tuple[str, str]]:
    """The event and name of each property that a draft compares with something."""
    if isinstance(node, list):
        for one in node:
            yield from properties_in(one)
    elif isinstance(node, dict):
        event = node.get("performed") or node.get("not_performed")
        if isinstance(event, str):
            if isinstance(node.get("of"), str):
                yield event, node["of"]
            yield from ((event, name) for name in _names(node.get("where")))
        for one in node.values():
            yield from properties_in(one)


def _names(filters: Any) -> Iterator[str]:
    if isinstance(filters, list):
        for one in filters:
            yield from _names(one)
    elif isinstance(filters, dict):
        if isinstance(filters.get("property"), str):
            yield filters["property"]
        for key in ("not", "all", "any"):
            yield from _names(filters.get(key))


def _suggest(part: Part) -> str:
    match part.about:
        case ("property", event, name) if event and name:
            return f"values?{urlencode({'kind': 'property', 'event': event, 'key': name})}"
        case ("trait" | "score" as kind, key) if key:
            return f"values?{urlencode({'kind': kind, 'key': key})}"
    return ""


def _type(part: Part, known: Known) -> Type | None:
    return known.types.get((part.about[1], part.about[2])) if len(part.about) == 3 else None


def _unit(leaf: Document, known: Known) -> str:
    """Money is counted in one currency wherever it is the value of events."""
    measure = measure_of(leaf)
    is_value = is_figure(leaf) and measure.takes_property and not measure.needs_property and not leaf.get("of")
    return known.currency if is_value else ""


def _histogram(part: Part, leaf: Document, catalog: Catalog, known: Known) -> dict[str, Any]:
    """How what the condition looks at lies among people, under what it is compared with; once for both ends of a span."""
    if part.at not in (("value",), ("value", 0)):
        return {}
    asked = _asked(leaf, part, catalog, known)
    if asked is None:
        return {}
    value = leaf.get("value")
    compared = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str | int | float)]
    posted = {**asked, "op": str(leaf.get("op", "")), "value": [str(one) for one in compared]}
    pictured = json.dumps([leaf.get(key) for key in ("trait", "score", "property", "performed", "measure", "of")])
    return {"histogram": posted, "pictured": pictured}


def _asked(leaf: Document, part: Part, catalog: Catalog, known: Known) -> dict[str, str] | None:
    if is_figure(leaf):
        # Counting people over events is for those who may; a date lies nowhere among numbers.
        if not known.may_count or measure_of(leaf).kinds != (NUMBER,):
            return None
        return {"figure": json.dumps({key: leaf[key] for key in _OF_A_FIGURE if key in leaf}, ensure_ascii=False)}
    if "trait" in leaf:
        return {"kind": "trait", "key": str(leaf["trait"])} if declared_type(leaf, catalog) in _MEASURABLE else None
    if "score" in leaf:
        return {"kind": "score", "key": str(leaf["score"])} if part.input is Input.NUMBER else None
    if "property" in leaf and _type(part, known) in _MEASURABLE:
        return {"kind": "property", "event": part.about[1], "key": part.about[2]}
    return None
