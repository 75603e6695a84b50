"""What a condition begins as when its subject was chosen, and what becomes of the rest of it when one part is changed.

A part that only the person can say is left out, so the condition isn't sound until they say it. What parts there are, and the
choices for each, is in `segments.rules.parts`; where in a rule a change goes, in `segments.rules.edit`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from segments.rules.catalog import Catalog, Type
from segments.rules.edit import Document
from segments.rules.errors import Path
from segments.rules.kinds import EXACT, KIND_OF_TYPE, NUMBER, PRESENCE, SCALARS, TEXT, Kind
from segments.rules.measures import MEASURES, Measure
from segments.rules.nodes import ORDERS
from segments.rules.operands import UNITS
from segments.rules.operators import OPERATORS, Operator
from segments.rules.parse_standing import BUCKET_OPERATORS, SCORE_OPERATORS
from segments.rules.shapes import LASTING, NOTHING, ONE, PAIR, REGULAR

MONTH: Final = {"days": 30}


# ---- Beginning ---------------------------------------------------------------------------------------------------

_FIRST_OPERATOR: Final = {
    Type.TEXT: "any_of",
    Type.NUMBER: "gte",
    Type.BOOLEAN: "equals",
    Type.DATE: "within_last",
    Type.LIST: "contains_any",
    Type.COUNTRY: "any_of",
    Type.CURRENCY: "any_of",
    Type.EMAIL: "at_domain",
    Type.PHONE: "starts_with",
}


def begin(subject: str, key: str, catalog: Catalog) -> Document:
    """A condition on what somebody chose; of what only they can say nothing is made up.

    Args:
        subject: the form of the condition: `trait`, `performed`, `sequence`, `in_segment`, `in_list`, `score`, `consented`,
            `bucket`, `everyone`; or `property`, for a filter.
    """
    match subject:
        case "trait":
            declared = catalog.traits[key].type if key in catalog.traits else Type.TEXT
            return fitted({"trait": key, "op": _FIRST_OPERATOR[declared]}, catalog)
        case "performed":
            return {"performed": key, "op": "gte", "value": 1, "within": dict(MONTH)}
        case "sequence":
            return {"sequence": [{"performed": key}]}
        case "score":
            info = catalog.scores.get(key)
            return {"score": key, "op": "gte" if info is None or info.has_numbers else "equals"}
        case "bucket":
            return {"bucket": key, "op": "lt"}
        case "property":
            return {"property": key, "op": "equals"}
        case "everyone":
            return {"everyone": True}
        case "in_segment" | "in_list" | "consented":
            return {subject: key}
    raise ValueError(f"there is no condition on {subject!r}")


# ---- Keeping it together -----------------------------------------------------------------------------------------


def fitted(leaf: Document, catalog: Catalog) -> Document:
    """The condition or filter with all of its parts brought in line with each other, after one of them was changed.

    What still makes sense stays as it is; what has no meaning any more goes. Applied twice it changes nothing more.
    """
    found = dict(leaf)
    if is_figure(found):
        found = _fitted_figure(found)
        if spelled_out(found) is not found:
            return found
    than = found.get("than")
    if isinstance(than, dict) and is_comparable(found):
        if "percentile" not in than:
            found["than"] = _fitted_figure({key: than[key] for key in than if key in _OF_A_FIGURE})
            if not is_comparable({"performed": "", **found["than"]}):
                found["than"] = _fitted_figure({**found["than"], "measure": "count"})
        gone = {"value", "per", "each", *(("times",) if "percentile" in than else ())}
        found = {key: value for key, value in found.items() if key not in gone}
        return found if found.get("op") in ORDERS else {**found, "op": "gte"}
    for key in ("than", "times"):
        found.pop(key, None)
    allowed = operators(found, catalog)
    if not allowed:
        return found
    if not isinstance(found.get("op"), str) or found["op"] not in allowed:
        declared = declared_type(found, catalog)
        wanted = _FIRST_OPERATOR[declared] if declared else "gte"
        found["op"] = wanted if wanted in allowed else next(iter(allowed))
    chosen = allowed[found["op"]]
    kind = kind_of(found, catalog, chosen)
    if EXACT not in chosen.kinds or (kind is not None and kind is not TEXT):
        found.pop("exact", None)
    value = _fitted_value(found.get("value"), chosen)
    return {key: one for key, one in found.items() if key != "value"} | ({} if value is None else {"value": value})


def operators(leaf: Document, catalog: Catalog) -> Mapping[str, Operator]:
    """Those that the condition can have, by key and in the order of the language; none where it has no operator."""
    return {one.key: one for one in _operators(leaf, catalog)}


def _operators(leaf: Document, catalog: Catalog) -> Iterable[Operator]:
    if "trait" in leaf:
        declared = declared_type(leaf, catalog)
        return [one for one in OPERATORS.values() if declared is None or declared in one.accepts]
    if "property" in leaf:
        return [one for one in OPERATORS.values() if any(kind.in_properties for kind in one.kinds)]
    if "score" in leaf:
        readable = set(kinds_of(leaf, catalog))
        return [one for key in SCORE_OPERATORS if readable & set((one := OPERATORS[key]).kinds)]
    if "bucket" in leaf:
        return [OPERATORS[key] for key in BUCKET_OPERATORS]
    if is_figure(leaf):
        kinds = measure_of(leaf).kinds
        if kinds == (NUMBER,):
            return [one for one in OPERATORS.values() if one.amount is not None]
        return [one for one in OPERATORS.values() if set(one.kinds) & set(kinds)]
    return []


_OF_A_FIGURE: Final = ("performed", "measure", "of", "where", "within")


def is_figure(leaf: Document) -> bool:
    """Whether something is measured."""
    return "performed" in leaf


def is_comparable(leaf: Document) -> bool:
    """Whether what is measured can be compared with another figure or a percentile."""
    measure = measure_of(leaf)
    return is_figure(leaf) and measure.kinds == (NUMBER,) and measure.key != "periods"


def measure_of(leaf: Document) -> Measure:
    key = leaf.get("measure", "count")
    return MEASURES[key] if isinstance(key, str) and key in MEASURES else MEASURES["count"]


def declared_type(leaf: Document, catalog: Catalog) -> Type | None:
    info = catalog.traits.get(leaf["trait"]) if isinstance(leaf.get("trait"), str) else None
    return info.type if info else None


def kinds_of(leaf: Document, catalog: Catalog) -> tuple[Kind, ...]:
    """The ways in which what the condition looks at can be read."""
    if (declared := declared_type(leaf, catalog)) is not None:
        return (KIND_OF_TYPE[declared], PRESENCE, *((EXACT,) if KIND_OF_TYPE[declared] is TEXT else ()))
    if "bucket" in leaf:
        return (NUMBER,)
    if "score" in leaf:
        info = catalog.scores.get(leaf["score"]) if isinstance(leaf["score"], str) else None
        labels, numbers = ((EXACT,), (NUMBER,))
        return (
            PRESENCE,
            *(numbers if not info or info.has_numbers else ()),
            *(labels if not info or info.has_labels else ()),
        )
    if is_figure(leaf):
        return measure_of(leaf).kinds
    return SCALARS


def kind_of(leaf: Document, catalog: Catalog, chosen: Operator) -> Kind | None:
    """How its value is read by that operator; None where that goes by how the value is written."""
    kinds = [kind for kind in kinds_of(leaf, catalog) if kind in chosen.kinds and kind not in (PRESENCE, EXACT)]
    kinds = kinds or [kind for kind in kinds_of(leaf, catalog) if kind in chosen.kinds]
    return kinds[0] if len(kinds) == 1 else None


def _fitted_figure(leaf: Document) -> Document:
    measure = measure_of(leaf)
    found = dict(leaf)
    if not measure.takes_property:
        found.pop("of", None)
    if measure.key != "count":
        found.pop("per", None)
    if measure.key != "periods":
        found.pop("each", None)
    elif "each" not in found:
        found["each"] = {"weeks": 1}
    if ("per" in found or "each" in found) and not is_rolling(found.get("within")):
        found["within"] = {"weeks": 4}
    return found


def is_rolling(within: object) -> bool:
    return isinstance(within, dict) and any(unit in within for unit in UNITS)


def _fitted_value(value: Any, chosen: Operator) -> Any:
    """The value in the shape that the operator takes; None where nothing of it can stay."""
    shape = chosen.shape
    if shape is NOTHING:
        return None
    if shape is LASTING:
        return value if isinstance(value, dict) else dict(MONTH)
    if isinstance(value, dict):
        return None
    items = value if isinstance(value, list) else [] if value is None else [value]
    if shape is PAIR:
        return [*items, *items[-1:]][:2] if items else None
    if shape in (ONE, REGULAR):
        return items[0] if items else None
    return items


def change(leaf: Document, at: Path, value: Any, catalog: Catalog) -> Document:
    """The condition with one part set, and the others brought in line; a part set to None is taken away."""
    return fitted(_set(spelled_out(leaf), at, value), catalog)


def spelled_out(leaf: Document) -> Document:
    """The condition with what it leaves unsaid: that something was done means at least once."""
    if not is_figure(leaf) or not measure_of(leaf).is_whole or {"op", "value", "than"} & leaf.keys():
        return leaf
    return {**leaf, "op": "gte", "value": 1}


def _set(node: Any, at: Path, value: Any) -> Any:
    step, rest = at[0], at[1:]
    if isinstance(step, int):
        items = list(node) if isinstance(node, list) else []
        items += [None] * (step + 1 - len(items))
        items[step] = _set(items[step], rest, value) if rest else value
        return items
    found = dict(node) if isinstance(node, dict) else {}
    if rest:
        found[step] = _set(found.get(step, [] if isinstance(rest[0], int) else {}), rest, value)
    elif value is None:
        found.pop(step, None)
    else:
        found[step] = value
    return found
