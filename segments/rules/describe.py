"""A rule as one English sentence, in plain text. Labels come from the catalogue, meaning from the operators.

Markup and other languages don't belong here.
"""

from decimal import Decimal
from typing import Final

from segments.rules.catalog import ByHand, Catalog, Type
from segments.rules.comparisons import Comparison, Filter, FilterGroup, Joining, Where
from segments.rules.countries import COUNTRIES
from segments.rules.kinds import TEXT, Kind, Text
from segments.rules.nodes import (
    EVER,
    All,
    Any,
    Bucket,
    Compared,
    Consented,
    Everyone,
    InList,
    InSegment,
    Not,
    Performed,
    Ranked,
    Rule,
    Score,
    Sequence,
    Step,
    Trait,
)
from segments.rules.operands import Scalar, plain


def describe(rule: Rule, catalog: Catalog) -> str:
    """The rule as a sentence about people. What the catalogue doesn't know is named by its key."""
    if isinstance(rule, Everyone):
        return "Everyone."
    return f"People {_clause(rule, catalog, is_inner=False)}."


def _clause(rule: Rule, catalog: Catalog, *, is_inner: bool) -> str:
    match rule:
        case All(rules):
            return _joined([_clause(one, catalog, is_inner=True) for one in rules], "and", is_inner)
        case Any(rules):
            return _joined([_clause(one, catalog, is_inner=True) for one in rules], "or", is_inner)
        case Not(InSegment(segment=segment)):
            return f"who are not in the segment {_segment(segment, catalog)}"
        case Not(InList(list_key=key)):
            return f"who {listed(key, catalog, is_on=False, plural=True)}"
        case Not(Consented(purpose=purpose)):
            return f"who do not permit {permission(purpose, catalog)}"
        case Not(Everyone()):
            return "who are nobody at all"
        case Not(Performed() as leaf) if _at_least_once(leaf):
            return _did_not(leaf, catalog)
        case Not(Any(rules)):
            return _joined([_clause(Not(one), catalog, is_inner=True) for one in rules], "and", is_inner)
        case Not(inner):
            return f"who are not among those {_clause(inner, catalog, is_inner=True)}"
        case Everyone():
            return "whoever they are"
        case InSegment(segment=segment):
            return f"who are in the segment {_segment(segment, catalog)}"
        case Trait():
            return _trait(rule, catalog)
        case Performed():
            return _performed(rule, catalog)
        case Compared():
            factor = f"{plain(rule.times)} times " if rule.times != 1 else ""
            figures = [_figure(side, catalog) for side in (rule.left, rule.right)]
            return f"whose {figures[0]} {rule.operator.label} {factor}their {figures[1]}"
        case Sequence():
            return _sequence(rule, catalog)
        case Ranked(op="gte"):
            return f"who are among the top {plain(100 - rule.percentile)} % by {_figure(rule.figure, catalog)}"
        case Ranked(op="lte"):
            return f"who are among the bottom {plain(rule.percentile)} % by {_figure(rule.figure, catalog)}"
        case Ranked():
            side = "above" if rule.op == "gt" else "below"
            return f"whose {_figure(rule.figure, catalog)} is {side} the {ordinal(rule.percentile)} percentile"
        case Score():
            unknown = (
                " (or is not known)" if rule.comparison.operator.negative and rule.comparison.op != "missing" else ""
            )
            return f"whose {score(rule.score, catalog)} {_predicate(rule.comparison, rule.comparison.kind)}{unknown}"
        case Bucket(bucket=seed):
            return f'whose number in the draw "{seed}" {_predicate(rule.comparison, rule.comparison.kind)}'
        case Consented(purpose=purpose):
            return f"who permit {permission(purpose, catalog)}"
        case InList(list_key=key):
            return f"who {listed(key, catalog, is_on=True, plural=True)}"


def ordinal(number: Decimal) -> str:
    """1st, 2nd, 11th, 99.5th."""
    said = plain(number)
    if "." in said or said[-2:] in ("11", "12", "13"):
        return f"{said}th"
    return said + {"1": "st", "2": "nd", "3": "rd"}.get(said[-1], "th")


def score(key: str, catalog: Catalog) -> str:
    """What a score is called."""
    info = catalog.scores.get(key)
    return info.label if info else key


def permission(purpose: str, catalog: Catalog) -> str:
    """What a purpose is called, in quotation marks."""
    info = catalog.purposes.get(purpose)
    return f'"{info.label if info else purpose}"'


def static_list(key: str, catalog: Catalog) -> str:
    """What a list is called, in quotation marks."""
    info = catalog.lists.get(key)
    return f'"{info.name if info else key}"'


def listed(key: str, catalog: Catalog, *, is_on: bool, plural: bool) -> str:
    """That somebody is on a list or isn't: of a segment's own lists, that they were added or removed by hand."""
    info, named = catalog.lists.get(key), static_list(key, catalog)
    no = "" if is_on else "not "
    if info is None or info.by_hand is None:
        return f"{'are' if plural else 'is'} {no}on the list {named}"
    moved = f"added to {named}" if info.by_hand is ByHand.ADDED else f"removed from {named}"
    return f"{'were' if plural else 'was'} {no}{moved} by hand"


def _joined(clauses: list[str], word: str, is_inner: bool) -> str:
    if len(clauses) == 1:
        return clauses[0]
    joined = f" {word} ".join(clauses)
    return f"({joined})" if is_inner else joined


def _trait(leaf: Trait, catalog: Catalog) -> str:
    info = catalog.traits.get(leaf.trait)
    kind = (
        _COUNTRY
        if info is not None and info.type is Type.COUNTRY and leaf.comparison.kind is TEXT
        else leaf.comparison.kind
    )
    predicate = _predicate(leaf.comparison, kind)
    if leaf.comparison.operator.negative and leaf.comparison.op != "missing":
        predicate += " (or is not known)"
    return f"whose {info.label if info else leaf.trait} {predicate}"


def _performed(leaf: Performed, catalog: Catalog) -> str:
    events = _events(leaf.event, leaf.where, catalog)
    when = leaf.within.describe()
    said = leaf.amount.said()
    how_much = f"{leaf.amount.operator.amount} {said}"
    times = "time" if said == "1" else "times"
    match leaf.measure:
        case "count" if leaf.per is not None:
            return f"who did {events} {how_much} {times} a {leaf.per} {when}"
        case "count" if _at_least_once(leaf):
            return f"who did {events} {'at least once' if leaf.within == EVER else when}"
        case "count" if (leaf.amount.op, said) in {("equals", "0"), ("lte", "0"), ("lt", "1")}:
            return _did_not(leaf, catalog)
        case "count":
            return f"who did {events} {how_much} {times} {when}"
        case "days":
            return f"who did {events} on {how_much} {'day' if said == '1' else 'days'} {when}"
        case "periods":
            return f"who did {events} in {how_much} of the periods of {leaf.each} {when}"
        case "first_at" | "last_at":
            return f"whose {leaf.computed.noun} {events} {when} {_predicate(leaf.amount, leaf.amount.kind)}"
        case "first" | "last":
            kind = _EXACT if leaf.amount.kind is TEXT else leaf.amount.kind
            return f'whose {leaf.computed.noun} "{leaf.of}" of {events} {when} {_predicate(leaf.amount, kind)}'
        case _:
            of = "value" if leaf.of is None else f'"{leaf.of}"'
            return f"whose {leaf.computed.noun} {of} of {events} is {how_much} {when}"


def _figure(side: Performed, catalog: Catalog) -> str:
    of = f' "{side.of}"' if side.of else " value" if side.computed.takes_property else ""
    return f"{side.computed.noun}{of} of {_events(side.event, side.where, catalog)} {side.within.describe()}"


def _sequence(leaf: Sequence, catalog: Catalog) -> str:
    said = f"who did {_events(leaf.steps[0].event, leaf.steps[0].where, catalog)}"
    said += "" if leaf.within == EVER else f" {leaf.within.describe()}"
    for step in leaf.steps[1:]:
        said += f" and then {_step(step, catalog)}"
    if leaf.missing is not None:
        said += f" and then not {_step(leaf.missing, catalog)}"
    return said + (f', with the same "{leaf.same}"' if leaf.same else "")


def _step(step: Step, catalog: Catalog) -> str:
    in_time = f" within {step.within}" if step.within else ""
    return f"{_events(step.event, step.where, catalog)}{in_time}"


def _at_least_once(leaf: Performed) -> bool:
    is_once = (leaf.amount.op, leaf.amount.said()) == ("gte", "1")
    return leaf.measure == "count" and leaf.per is None and is_once


def _did_not(leaf: Performed, catalog: Catalog) -> str:
    events = _events(leaf.event, leaf.where, catalog)
    return f"who never did {events}" if leaf.within == EVER else f"who did not do {events} {leaf.within.describe()}"


def _events(name: str, where: tuple[Where, ...], catalog: Catalog) -> str:
    info = catalog.events.get(name)
    label = info.label if info else name
    return f"{label} ({' and '.join(_where(one) for one in where)})" if where else label


def _where(one: Where) -> str:
    match one:
        case Filter():
            return _filter(one)
        case FilterGroup(joining=Joining.NOT, parts=(inner,)):
            return f"not ({_where(inner)})"
        case FilterGroup(joining=joining, parts=parts):
            word = " and " if joining is Joining.ALL else " or "
            return f"({word.join(_where(part) for part in parts)})"


def _filter(one: Filter) -> str:
    kind = _EXACT if one.comparison.kind is TEXT else one.comparison.kind
    return f"{one.property} {_predicate(one.comparison, kind)}"


def _predicate(comparison: Comparison, kind: Kind) -> str:
    return comparison.operator.describe(comparison.operator.shape.say(kind, comparison.operand))


def _segment(key: str, catalog: Catalog) -> str:
    info = catalog.segments.get(key)
    return f'"{info.name if info else key}"'


class _CountryName(Text):
    """A country code that is read out as the country's name."""

    def say(self, item: Scalar) -> str:
        return COUNTRIES.get(str(item).upper(), str(item))


class _ExactText(Text):
    """Text that is compared letter for letter."""

    def say(self, item: Scalar) -> str:
        return f'exactly "{item}"'


_COUNTRY: Final = _CountryName()
_EXACT: Final = _ExactText()
