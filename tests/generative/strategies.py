"""Random rules over the small world, and random people who live at the edges of those rules.

Rules are drawn as JSON documents, so that the parser is on the way.
"""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from segments.rules import MEASURES, OPERATORS, Measure, Occurrence, Operator, Person, Type
from segments.rules.calendar import PERIODS
from segments.rules.kinds import BOOLEAN, DATE, EXACT, NUMBER, TEXT, Kind
from segments.rules.nodes import ORDERS
from segments.rules.shapes import ALL_OF, ANY_OF, LASTING, NOTHING, PAIR, REGULAR
from tests.generative import ranks, standing
from tests.generative.fused import FUSED, fused_forms
from tests.spec.world import AS_OF, CATALOG, person

MICROSECOND = timedelta(microseconds=1)
TEXTS = [
    "a",
    "A",
    "É",
    "e",
    "straße",
    "STRASSE",
    "100%",
    "1000",
    "a_b",
    "axb",
    "a\\b",
    "\\",
    "%",
    "_",
    "'",
    '"',
    "5",
    "2026-05-02",
    "İ",
    "ß",
    "日本",
    "x" * 512,
]
NUMBERS = [0, 1, -1, 2, 3, 5, 0.0001, -0.0001, 0.5, 2.5, 999999999999999.9, -999999999999999, 100]
DATES = [
    "2026-05-02",
    "2026-05-02T12:00:00Z",
    "2026-05-31",
    "2026-06-01",
    "2026-06-01T12:00:00Z",
    "1970-01-01",
    "0001-01-02",
    "9999-12-30",
    "2026-05-02T13:00:00.000001+01:00",
]
EMAILS = ["ann@b.ch", "ANN@B.CH", "x@mail.b.ch", "bob@c.org", "b.ch", "@b.ch"]
DOMAINS = ["b.ch", "c.org", "mail.b.ch", "B.CH"]
COUNTRIES = ["DE", "de", "FR", "AT", "US"]
ITEMS = ["Shoes", "bags", "É", "e", "a_b"]
DURATIONS = [{"days": 30}, {"days": 1}, {"hours": 1}, {"minutes": 1}, {"weeks": 4}, {"days": 36500}]
PROPERTIES = ["category", "price", "gift", "a.\"b'%s$/~[0]"]
ODD = [
    None,
    {},
    [],
    {"a": [1]},
    10**15,
    -(10**15),
    10**400,
    999999999999999.99996,
    0.00005,
    -0.00005,
    1e-320,
    1e22,
    [1, "a"],
    ["É", "SHOES"],
    True,
    False,
    "true",
    "",
]

OPERANDS = {
    Type.TEXT: TEXTS,
    Type.NUMBER: NUMBERS,
    Type.BOOLEAN: [True, False],
    Type.DATE: DATES,
    Type.LIST: ITEMS,
    Type.COUNTRY: COUNTRIES,
    Type.CURRENCY: ["EUR", "eur", "USD", "CHF"],
    Type.EMAIL: EMAILS,
    Type.PHONE: ["+41", "+41 44", "+49", "0041", "+4"],
}
PATTERNS = [
    "^a",
    "a$",
    "[a-c]",
    "\\d",
    "e|b",
    "^.{1,3}$",
    "s+e",
    "É",
    "ß",
    "[^a-z]",
    "\\.",
    "(a|x)(b|_)",
    "\\W",
    "@.+\\.ch$",
]
OF_KIND: dict[Kind, Sequence[Any]] = {TEXT: TEXTS, NUMBER: NUMBERS, BOOLEAN: [True, False], DATE: DATES}

Leaves = st.SearchStrategy[dict[str, Any]]


class Drawn:
    """Counts what rules were made of."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()

    def note(self, *what: str) -> None:
        self.counts[what] += 1

    @staticmethod
    def everything() -> set[tuple[str, ...]]:
        """All that must be drawn: every operator in every place where it may stand, and every kind of condition."""
        traits = {("trait", declared.value, one.key) for one in OPERATORS.values() for declared in one.accepts}
        filters = {("filter", kind.name, one.key) for kind, one in _filter_forms()}
        amounts = {(measure.key, of, one.key) for measure, of, one in _amount_forms()}
        windows = {("window", name) for name in WINDOWS} | {("period", name) for name in PERIODS}
        exact = {("exact", one.key) for one in OPERATORS.values() if EXACT in one.kinds}
        others = {("rate", "day"), ("rate", "week"), *(("joined", one) for one in ("all", "any", "not"))}
        others |= {("compared", op) for op in ORDERS} | {("compared", measure.key) for measure in FIGURES}
        others |= {("sequence", what) for what in ("then", "then not", "same", "2", "3")}
        groups = {("group", name) for name in ("all", "any", "not", "in_segment", "everyone", "at least once")}
        fused = {("fused", form) for form in FUSED}
        more = fused | ranks.forms(FIGURES) | standing.everything()
        return traits | filters | amounts | windows | groups | exact | others | more


def leaf_forms(drawn: Drawn) -> list[Leaves]:
    """One strategy for each form a leaf can have. Going through them leaves nothing of the language to luck."""
    traits = [_trait(drawn, declared, one.key) for one in OPERATORS.values() for declared in one.accepts]
    exact = [_exact(drawn, one.key) for one in OPERATORS.values() if EXACT in one.kinds]
    amounts = [_performed(drawn, measure, of, one) for measure, of, one in _amount_forms()]
    compared = [_compared(drawn, op, measure) for op in ORDERS for measure in FIGURES]
    endings = [(length, ending, same) for length in (2, 3) for ending in ("then", "then not") for same in (False, True)]
    sequences = [_sequence(drawn, *one) for one in endings]
    periods = [_in_period(drawn, period) for period in PERIODS]
    rates = [_rate(drawn, per) for per in ("day", "week")]
    filters = [_filtered(drawn, kind, one.key) for kind, one in _filter_forms()]
    wheres = _wheres(drawn).map(lambda where: {"where": where})
    ranked = ranks.ranked(drawn.note, FIGURES, lambda measure: _figure(drawn, measure), wheres)
    return [
        *traits,
        *exact,
        *amounts,
        *rates,
        *sequences,
        *periods,
        *compared,
        *ranked,
        *filters,
        *(_small(drawn, form) for form in ("in_segment", "everyone", "at least once")),
        *fused_forms(drawn),
        *standing.standing_forms(drawn.note),
    ]


def conditions(drawn: Drawn) -> st.SearchStrategy[dict[str, Any]]:
    """Any condition, a leaf or a group. Made once for all documents: Hypothesis looks through each one it meets."""
    return st.recursive(st.one_of(leaf_forms(drawn)), lambda inner: _group(drawn, inner), max_leaves=6)


def rules() -> Leaves:
    """Whole, valid documents with leaves of every form, each as often as any other."""
    others = conditions(Drawn())
    return st.one_of(*(documents(form, others) for form in leaf_forms(Drawn())))


def documents(first: Leaves, others: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Whole, valid documents with a leaf of the given form in them, alone or among others."""
    mixed = st.tuples(st.sampled_from(["all", "any"]), first, st.lists(others, max_size=3))
    group = mixed.map(lambda parts: {parts[0]: [*parts[2], parts[1]]})
    negated = st.one_of(first, group).map(lambda condition: {"not": condition})
    return st.one_of(first, group, negated).map(lambda condition: {"version": 1, **condition})


@st.composite
def _group(draw: st.DrawFn, drawn: Drawn, inner: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    form = draw(st.sampled_from(["all", "any", "not"]))
    drawn.note("group", form)
    return {form: draw(inner) if form == "not" else draw(st.lists(inner, min_size=1, max_size=4))}


@st.composite
def _small(draw: st.DrawFn, drawn: Drawn, form: str) -> dict[str, Any]:
    drawn.note("group", form)
    if form == "in_segment":
        return {"in_segment": draw(st.sampled_from(["loyal", "lapsed"]))}
    if form == "at least once":
        return {"performed": draw(st.sampled_from(sorted(CATALOG.events)))}
    return {"everyone": True}


@st.composite
def _trait(draw: st.DrawFn, drawn: Drawn, declared: Type, op: str) -> dict[str, Any]:
    drawn.note("trait", declared.value, op)
    return {"trait": declared.value, "op": op, **draw(_value(op, OPERANDS[declared]))}


@st.composite
def _exact(draw: st.DrawFn, drawn: Drawn, op: str) -> dict[str, Any]:
    drawn.note("exact", op)
    return {"trait": "text" if op != "at_domain" else "email", "op": op, "exact": True, **draw(_value(op, TEXTS))}


def _amount_forms() -> list[tuple[Measure, str, Operator]]:
    """Each measure, of a property or of none, with each operator that can compare it."""
    return [
        (measure, of, one)
        for measure in MEASURES.values()
        for of in (("of",) if measure.needs_property else ("", "of") if measure.takes_property else ("",))
        for one in OPERATORS.values()
        if (one.amount if measure.kinds == (NUMBER,) else set(one.kinds) & set(measure.kinds))
    ]


@st.composite
def _performed(draw: st.DrawFn, drawn: Drawn, measure: Measure, of: str, one: Operator) -> dict[str, Any]:
    drawn.note(measure.key, of, one.key)
    condition = {
        "performed": draw(st.sampled_from(sorted(CATALOG.events))),
        "measure": measure.key,
        "op": one.key,
        **draw(_operand(measure, one)),
        **(draw(_within(drawn)) if measure.key != "periods" else draw(_periods())),
    }
    if of:
        condition["of"] = draw(st.sampled_from(PROPERTIES))
    if draw(st.booleans()):
        condition["where"] = draw(_wheres(drawn))
    return condition


@st.composite
def _operand(draw: st.DrawFn, measure: Measure, one: Operator) -> dict[str, Any]:
    if measure.is_whole:
        return draw(_value(one.key, [0, 1, 2, 3, 7]))
    kinds = [kind for kind in one.kinds if kind in measure.kinds] or list(one.kinds)
    kind = draw(st.sampled_from(kinds))
    return draw(_value(one.key, OF_KIND.get(kind, TEXTS)))


@st.composite
def _rate(draw: st.DrawFn, drawn: Drawn, per: str) -> dict[str, Any]:
    drawn.note("rate", per)
    op = draw(st.sampled_from([one.key for one in OPERATORS.values() if one.amount]))
    name = draw(st.sampled_from(sorted(CATALOG.events)))
    rate = draw(_value(op, [0, 0.5, 1, 2.3333, 7]))
    return {"performed": name, "per": per, "op": op, **rate, "within": draw(st.sampled_from(DURATIONS))}


@st.composite
def _compared(draw: st.DrawFn, drawn: Drawn, op: str, measure: Measure) -> dict[str, Any]:
    drawn.note("compared", op)
    drawn.note("compared", measure.key)
    left = draw(_figure(drawn, measure))
    right = draw(_figure(drawn, draw(st.sampled_from(FIGURES))))
    factor = draw(st.sampled_from([{}, {"times": 2}, {"times": 0.5}]))
    return {**left, "op": op, "than": right, **factor}


@st.composite
def _figure(draw: st.DrawFn, drawn: Drawn, measure: Measure) -> dict[str, Any]:
    figure = {
        "performed": draw(st.sampled_from(sorted(CATALOG.events))),
        "measure": measure.key,
        **draw(_within(drawn)),
    }
    if measure.needs_property or (measure.takes_property and draw(st.booleans())):
        figure["of"] = draw(st.sampled_from(PROPERTIES))
    return figure


FIGURES = [one for one in MEASURES.values() if one.kinds == (NUMBER,) and one.key != "periods"]


@st.composite
def _periods(draw: st.DrawFn) -> dict[str, Any]:
    each, amounts = draw(st.sampled_from([({"days": 1}, [1, 7, 30]), ({"weeks": 1}, [1, 4])]))
    (unit,) = each
    window: dict[str, Any] = {unit: draw(st.sampled_from(amounts))}
    if draw(st.booleans()):
        window["ago"] = draw(st.sampled_from(DURATIONS[:4]))
    return {"each": each, "within": window}


@st.composite
def _wheres(draw: st.DrawFn, drawn: Drawn, depth: int = 0) -> list[dict[str, Any]]:
    forms = draw(st.lists(st.sampled_from(_filter_forms()), min_size=1, max_size=2))
    filters = [draw(_filter(drawn, kind, one.key)) for kind, one in forms]
    if depth < 2 and draw(st.booleans()):
        joining = draw(st.sampled_from(["all", "any", "not"]))
        drawn.note("joined", joining)
        inner = draw(_wheres(drawn, depth + 1))
        filters.append({joining: inner[0] if joining == "not" else inner})
    return filters


@st.composite
def _in_period(draw: st.DrawFn, drawn: Drawn, period: str) -> dict[str, Any]:
    drawn.note("period", period)
    return {"performed": draw(st.sampled_from(sorted(CATALOG.events))), "within": period}


@st.composite
def _sequence(draw: st.DrawFn, drawn: Drawn, length: int, ending: str, same: bool) -> dict[str, Any]:
    names = ["Order Completed", "Product Viewed"]
    drawn.note("sequence", ending)
    drawn.note("sequence", str(length))
    steps: list[dict[str, Any]] = []
    for number in range(length):
        missing = number == length - 1 and ending == "then not"
        step: dict[str, Any] = {"not_performed" if missing else "performed": draw(st.sampled_from(names))}
        if number and (missing or draw(st.booleans())):
            step["within"] = draw(st.sampled_from(DURATIONS))
        if draw(st.integers(0, 3)) == 0:
            step["where"] = draw(_wheres(drawn, 2))
        steps.append(step)
    condition: dict[str, Any] = {"sequence": steps}
    if same:
        drawn.note("sequence", "same")
        condition["same"] = draw(st.sampled_from(PROPERTIES[:3]))
    within = draw(_within(drawn))
    return condition if "since" in (within.get("within") or {}) else {**condition, **within}


WINDOWS = ("ever", "rolling", "offset", "between", "from", "to", "calendar", "since")


@st.composite
def _within(draw: st.DrawFn, drawn: Drawn) -> dict[str, Any]:
    form = draw(st.sampled_from(WINDOWS))
    drawn.note("window", form)
    spans = [
        ("2026-05-02", "2026-05-31"),
        ("2026-05-02T12:00:00Z", "2026-06-01T12:00:00Z"),
        ("1970-01-01", "9999-12-30"),
    ]
    start, end = draw(st.sampled_from(spans))
    match form:
        case "ever":
            return {}
        case "rolling":
            return {"within": draw(st.sampled_from(DURATIONS))}
        case "offset":
            return {"within": {**draw(st.sampled_from(DURATIONS[:4])), "ago": draw(st.sampled_from(DURATIONS[:4]))}}
        case "from":
            return {"within": {"from": start}}
        case "to":
            return {"within": {"to": end}}
        case "calendar":
            period = draw(st.sampled_from(sorted(PERIODS)))
            drawn.note("period", period)
            return {"within": period}
        case "since":
            return {"within": {"since": draw(st.sampled_from(sorted(CATALOG.events)))}}
        case _:
            return {"within": {"from": start, "to": end}}


def _filter_forms() -> list[tuple[Kind, Operator]]:
    return [(kind, one) for one in OPERATORS.values() for kind in one.kinds if kind.in_properties]


@st.composite
def _filtered(draw: st.DrawFn, drawn: Drawn, kind: Kind, op: str) -> dict[str, Any]:
    name = draw(st.sampled_from(["Order Completed", "Product Viewed"]))
    return {"performed": name, "where": [draw(_filter(drawn, kind, op))], **draw(_within(drawn))}


@st.composite
def _filter(draw: st.DrawFn, drawn: Drawn, kind: Kind, op: str) -> dict[str, Any]:
    drawn.note("filter", kind.name, op)
    return {"property": draw(st.sampled_from(PROPERTIES)), "op": op, **draw(_value(op, OF_KIND.get(kind, [])))}


@st.composite
def _value(draw: st.DrawFn, op: str, pool: Sequence[Any]) -> dict[str, Any]:
    shape = OPERATORS[op].shape
    if shape is NOTHING:
        return {}
    if shape is REGULAR:
        return {"value": draw(st.sampled_from(PATTERNS))}
    if op == "at_domain":
        pool = DOMAINS
    if op == "anniversary":
        return {"value": draw(st.sampled_from([{"days": 1}, {"days": 30}, {"weeks": 4}, {"days": 366}]))}
    if shape is LASTING:
        return {"value": draw(st.sampled_from(DURATIONS))}
    if shape is PAIR:
        low, high = sorted((draw(st.sampled_from(pool)), draw(st.sampled_from(pool))), key=_order)
        return {"value": [low, high]}
    if shape in (ANY_OF, ALL_OF):
        return {"value": draw(st.lists(st.sampled_from(pool), min_size=1, max_size=4))}
    return {"value": draw(st.sampled_from(pool))}


def _order(operand: Any) -> Any:
    return operand if not isinstance(operand, str) else DATE.read(operand).start  # type: ignore[union-attr]


def random_people(how_many: int, chance: random.Random) -> list[Person]:
    """People with traits and events missing, null, of the wrong type, extreme, and at the edges of windows."""
    return [_someone(number, chance) for number in range(1, how_many + 1)]


def _someone(number: int, chance: random.Random) -> Person:
    traits = {
        key: chance.choice(OPERANDS[info.type] if chance.random() < 0.7 else [*TEXTS, *NUMBERS, *DATES, *ODD])
        for key, info in CATALOG.traits.items()
        if chance.random() < 0.8
    }
    if chance.random() < 0.7:
        traits["list"] = chance.sample(ITEMS, chance.randint(0, 3))
    events = [_event(chance) for _ in range(chance.choice([0, 0, 1, 1, 2, 3, 8]))]
    segments = frozenset(key for key in ("loyal", "lapsed") if chance.random() < 0.4)
    return person(number, traits=traits, events=events, segments=segments, **standing.of_someone(chance))


def _event(chance: random.Random) -> Occurrence:
    edges = [
        timedelta(0),
        timedelta(minutes=1),
        timedelta(hours=1),
        timedelta(days=1),
        timedelta(days=2),
        timedelta(days=7),
        timedelta(days=28),
        timedelta(days=30),
        timedelta(days=31),
        timedelta(hours=12),
        timedelta(days=200),
        timedelta(days=600),
        timedelta(days=4000),
        -timedelta(days=1),
    ]
    values = [None, "0", "1", "-1", "2.5", "0.0001", "999999999999999.9999", "-999999999999999.9999", "100"]
    value = chance.choice(values)
    properties = {
        name: chance.choice([*TEXTS, *NUMBERS, *NUMBERS, *ODD]) for name in PROPERTIES if chance.random() < 0.7
    }
    return Occurrence(
        name=chance.choice(["Order Completed", "Order Completed", "Product Viewed"]),
        occurred_at=AS_OF - chance.choice(edges) + chance.choice([-1, 0, 0, 1]) * MICROSECOND,
        message_id=f"m{chance.randrange(10**9)}",
        value=None if value is None else Decimal(value),
        properties=properties,
    )
