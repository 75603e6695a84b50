"""A rule, or one of its leaves, as a query for the ids of people, over a small logical schema.

Running the query, and what the tables are really called, don't belong here.

Shape: each distinct leaf becomes one sub-query of distinct ids, joined to `profile` by LEFT JOIN; the rule is a WHERE
over "has a partner or not". That is two-valued by construction. A planner makes inner joins of what must hold and
anti-joins of what must not, and under OR it still has hash joins, which spill to disk where a hashed `IN` sub-plan
that outgrew its memory would be scanned again for every profile.

Many leaves are gathered in one pass instead (`segments.rules.gathering`): of joins the planner's memory grows with the
square of their number.

A leaf that must hold takes the place of `profile`, and alternatives with such a leaf each are a UNION: then nobody is
looked at of whom nothing is recorded. It asks of the engine that each trait value, event and total belongs to a profile.

The tree is built in place (`copy=False`): sqlglot's builders copy all that was built before, which makes a rule of 200
conditions take seconds.
"""

import json
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Final

from sqlglot import exp

from segments.rules import gathering, ranks, relations, standing
from segments.rules.algebra import leaves, positive
from segments.rules.binding import AS_OF, SCOPE, Bind, Bindable, Binder, is_one_of
from segments.rules.catalog import Catalog
from segments.rules.check import check
from segments.rules.comparisons import Where
from segments.rules.compiled import Compiled, logical
from segments.rules.errors import RuleErrors
from segments.rules.filters import compile_filters
from segments.rules.fusing import Fused, Narrowed, fused, is_once, is_total, total_of
from segments.rules.measures import MeasuredSql
from segments.rules.nodes import (
    All,
    Any,
    Bucket,
    Compared,
    Consented,
    Everyone,
    InList,
    InSegment,
    Leaf,
    Not,
    Performed,
    PositiveLeaf,
    Ranked,
    Rule,
    Score,
    Sequence,
    Trait,
)
from segments.rules.windows import Rolling

# From some twenty leaves on, gathering them is the faster way, and the planner needs a tenth of the memory.
MOST_JOINED: Final = 20


def compile_rule(rule: Rule, catalog: Catalog, *, scoped: bool) -> Compiled:
    """The people of whom the rule is true: all of them, or those among `scope`.

    Raises:
        RuleErrors: the rule doesn't fit the catalogue (any more).
    """
    refuse_errors(rule, catalog)
    compiler = Compiler(catalog, scoped)
    return Compiled(expression=compiler.people(positive(rule)), params=compiler.bind.params)


def compile_leaf(leaf: PositiveLeaf, catalog: Catalog, *, scoped: bool) -> Compiled:
    """The people of whom a leaf, as `leaves` gives it, is true: all of them, or those among `scope`.

    Raises:
        RuleErrors: the leaf doesn't fit the catalogue (any more).
        ValueError: the leaf is not positive, so it can't be answered from records alone.
    """
    _refuse(leaf, catalog)
    compiler = Compiler(catalog, scoped)
    return Compiled(expression=compiler.leaf(leaf), params=compiler.bind.params)


# A set of verdicts is one whole number: bit i says that the i-th leaf is true. This bit says that none of them can be
# told from totals, because an event of the person is dated at or after `as_of`.
AHEAD: Final = 1 << 62
MOST_TOGETHER: Final = 60


def place(leaf: PositiveLeaf) -> str:
    """Leaves with the same place look at the same records, and can be answered in one look (`compile_together`)."""
    match leaf:
        case Trait(trait=trait):
            found: list[object] = ["trait", trait]
        case InSegment(segment=segment):
            found = ["segment", segment]
        case Performed() if is_total(leaf):
            found = ["total", leaf.event]
        case Performed(within=Rolling(ago=None)):
            # Windows that roll lie within each other, so the widest has what all of them look at.
            found = ["event", leaf.event, [one.canonical() for one in leaf.where], "rolling"]
        case Performed():
            found = ["event", leaf.event, [one.canonical() for one in leaf.where], leaf.within.canonical()]
        case Compared(left=left, right=right):
            found = ["compared", left.canonical(), right.canonical()]
        case Sequence():
            found = list(leaf.canonical())
        case Ranked(figure=figure):
            return place(figure)
        case Score() | Bucket() | Consented() | InList():
            found = standing.place(leaf)
    return json.dumps(found)


def look_place(leaf: PositiveLeaf) -> str:
    """Its `place`, but for leaves on totals: those can't tell of everybody, so each is asked by itself."""
    return leaf.key if isinstance(leaf, Performed | Ranked) and is_total(_figure(leaf)) else place(leaf)


def looks(leaves: Collection[PositiveLeaf]) -> list[gathering.Look]:
    """The leaves by what is looked at, in groups that are answered together."""
    places: dict[str, list[PositiveLeaf]] = {}
    for leaf in leaves:
        places.setdefault(look_place(leaf), []).append(leaf)
    return [
        tuple(there[start : start + MOST_TOGETHER])
        for there in places.values()
        for start in range(0, len(there), MOST_TOGETHER)
    ]


def compile_together(leaves: Collection[PositiveLeaf], catalog: Catalog) -> Compiled:
    """Two columns, `profile_id` and `holds`, for the people among `scope` of whom one of the leaves is true.

    The leaves have one place. `holds` has their verdicts as bits, or is `AHEAD`: of those few people each leaf must be
    asked by itself. Everybody else needn't be looked up in every partition of the events.

    Raises:
        RuleErrors: a leaf doesn't fit the catalogue (any more).
        ValueError: a leaf is not positive, they have several places, or there are too many or none.
    """
    for leaf in leaves:
        _refuse(leaf, catalog)
    if len({place(leaf) for leaf in leaves}) != 1 or len(leaves) > MOST_TOGETHER:
        raise ValueError(f"expected 1 to {MOST_TOGETHER} leaves of one place")
    compiler = Compiler(catalog, scoped=True)
    return Compiled(expression=compiler.together(leaves), params=compiler.bind.params)


def _refuse(leaf: PositiveLeaf, catalog: Catalog) -> None:
    refuse_errors(leaf, catalog)
    if positive(leaf) != leaf:
        raise ValueError(f"not a positive leaf: {leaf.key}")


def refuse_errors(rule: Rule, catalog: Catalog) -> None:
    """Raises what is wrong with the rule."""
    if errors := check(rule, catalog):
        raise RuleErrors(errors)


def condition(rule: Rule, holds: Mapping[Leaf, exp.Expr]) -> exp.Expr:
    """The rule over its leaves, each given by what says that it is true."""
    match rule:
        case All(rules):
            return exp.Paren(this=exp.and_(*(condition(one, holds) for one in rules), copy=False))
        case Any(rules):
            return exp.Paren(this=exp.or_(*(condition(one, holds) for one in rules), copy=False))
        case Not(inner):
            return exp.Not(this=exp.Paren(this=condition(inner, holds)))
        case Everyone():
            return exp.true()
        case leaf:
            return holds[leaf].copy()


def _driver(rule: Rule) -> PositiveLeaf | Fused | Narrowed | None:
    """A leaf that is true of everybody of whom the rule is, to begin with; None where profiles are the place to begin."""
    # A merge ends the memberships of whom it absorbed a moment after it did away with the profile; so with scores and lists.
    found = [leaf for leaf in _must_hold(rule) if not isinstance(leaf, InSegment | Score | InList)]
    return min(found, key=_breadth, default=None)


def _breadth(leaf: Leaf) -> int:
    """How little a leaf is fit to begin with: rather one that finds few by their records, and each person once."""
    return 2 if isinstance(leaf, Bucket | Consented) else int(_is_any_event(leaf))


def _is_any_event(leaf: Leaf) -> bool:
    """Whether a person has a row for each event that would do, and one is enough."""
    return isinstance(leaf, Performed) and is_once(leaf) and not is_total(leaf)


def _must_hold(rule: Rule) -> list[PositiveLeaf | Fused | Narrowed]:
    """Leaves that are true of everybody of whom the rule is, as far as that is plain."""
    match rule:
        case All(rules):
            return [leaf for one in rules for leaf in _must_hold(one)]
        case Leaf():
            return [rule]
        case _:
            return []


def _must_not_hold(rule: Rule) -> frozenset[Leaf]:
    """Leaves that are false of everybody of whom the rule is true, as far as that is plain."""
    match rule:
        case All(rules):
            return frozenset[Leaf]().union(*map(_must_not_hold, rules))
        case Not(Any(rules)):
            return frozenset[Leaf]().union(*(_must_not_hold(Not(one)) for one in rules))
        case Not(Leaf() as leaf):
            return frozenset({leaf})
        case _:
            return frozenset()


def _are_apart(rules: Collection[Rule]) -> bool:
    """Whether no leaf occurs in two of the rules: it would be computed twice."""
    found = [leaf for rule in rules for leaf in leaves(rule)]
    return len(found) == len(set(found))


class Compiler:
    """Compiles leaves into sub-queries that share one set of parameters."""

    def __init__(self, catalog: Catalog, scoped: bool) -> None:
        self.catalog = catalog
        self.scoped = scoped
        self.bind = Binder()

    def people(self, rule: Rule) -> exp.Select:
        """The people of whom a rule without negated leaves is true."""
        if len(found := leaves(rule)) > MOST_JOINED:
            return self._gathered(rule, found)
        if isinstance(rule, All | Any) and len(rule.rules) == 1:
            return self.people(rule.rules[0])
        rule = fused(rule)
        if isinstance(rule, Any) and _are_apart(rule.rules) and all(map(_driver, rule.rules)):
            each = exp.union(*(self.people(one) for one in rule.rules), distinct=True, copy=False)
            return exp.select(exp.column("profile_id", "either")).from_(each.subquery("either", copy=False), copy=False)
        must = _driver(rule)
        if must is not None and must == rule:
            return self.leaf(must)
        if must is not None:
            person = exp.column("profile_id", "leaf_0")
            is_repeated = isinstance(must, Performed) and _is_any_event(must)
            # Its events needn't be made one before it is known of whom the others are true.
            first = self.events(must, repeated=True) if is_repeated else self.leaf(must)  # type: ignore[arg-type]
            query = exp.select(person).from_(first.subquery("leaf_0", copy=False), copy=False)
            query = query.distinct(copy=False) if is_repeated else query
            holds: dict[Leaf, exp.Expr] = {must: exp.true()}
        else:
            person = exp.column("id", "profile")
            query = exp.select(exp.alias_(person, "profile_id")).from_(logical("profile"), copy=False)
            holds = {}
            if self.scoped:
                query.where(is_one_of(person.copy(), SCOPE.copy()), copy=False)
        wanted, unwanted = _must_hold(rule), _must_not_hold(rule)
        for position, leaf in enumerate((one for one in leaves(rule) if one != must), start=1):
            if leaf in wanted and isinstance(leaf, Performed) and _is_any_event(leaf):
                # A semi-join: of all the events that would do, a planner needs no more than one.
                events = self.events(leaf, repeated=True)
                query.where(exp.In(this=person.copy(), query=events.subquery(copy=False)), copy=False)
                holds[leaf] = exp.true()
                continue
            alias = f"leaf_{position}"
            partner = exp.EQ(this=exp.column("profile_id", alias), expression=person.copy())
            others = self._partners(leaf, unwanted=leaf in unwanted).subquery(alias, copy=False)
            query.join(others, on=partner, join_type="left", copy=False)
            has_none = exp.Is(this=exp.column("profile_id", alias), expression=exp.null())
            holds[leaf] = exp.Not(this=exp.Paren(this=has_none))
        return query.where(condition(rule, holds), copy=False)

    def _gathered(self, rule: Rule, found: tuple[PositiveLeaf, ...]) -> exp.Select:
        person = exp.column("id", "profile")
        query = exp.select(exp.alias_(person, "profile_id")).from_(logical("profile"), copy=False)
        holds = gathering.join(self, query, looks(found))
        scope = (is_one_of(person.copy(), SCOPE.copy()),) if self.scoped else ()
        return query.where(*scope, condition(rule, holds), copy=False)

    def _partners(self, leaf: PositiveLeaf, *, unwanted: bool) -> exp.Select:
        # Whoever has an unwanted partner is dropped, so it doesn't matter how often: the events needn't be grouped.
        if unwanted and isinstance(leaf, Performed) and _is_any_event(leaf):
            return self.events(leaf, repeated=True)
        return self.leaf(leaf)

    def leaf(self, leaf: PositiveLeaf | Fused | Narrowed) -> exp.Select:
        match leaf:
            case Fused():
                return relations.one_look(self, leaf)
            case Narrowed():
                return relations.narrowed(self, leaf)
            case Trait():
                return self._records(leaf).where(self._holds(leaf), copy=False)
            case Score() | Bucket():
                return self._records(leaf).where(self._holds(leaf), copy=False)
            case InSegment() | Sequence() | Compared() | Consented() | InList():
                return self._records(leaf)
            case Performed() if is_total(leaf):
                return self._ever(leaf)
            case Performed() if is_once(leaf):
                return self._records(leaf)
            case Ranked(figure=figure) if is_total(figure):
                return self._ever(leaf)
            case Performed() | Ranked():
                return self._records(leaf).having(self._holds(leaf), copy=False)

    def together(self, leaves: Collection[PositiveLeaf]) -> exp.Select:
        """The records of the leaves' one place, read once, with the verdict of each leaf as a bit."""
        one, records, conditions = self._looked_up(leaves)
        bits: exp.Expr = _whole(0)
        for number, condition in enumerate(conditions):
            bits = exp.Add(
                this=bits, expression=exp.Paren(this=_case(condition.copy(), _whole(1 << number), _whole(0)))
            )
        any_holds = exp.or_(*conditions, copy=False)
        if isinstance(one, Performed) and is_total(one):
            ahead = exp.GTE(this=exp.column("last_at", "event_total"), expression=AS_OF.copy())
            bits = _case(ahead, _whole(AHEAD), bits)
            records = records.where(exp.Paren(this=exp.or_(ahead.copy(), any_holds, copy=False)), copy=False)
        elif records.args.get("group"):
            records = records.having(any_holds, copy=False)
        else:
            records = records.where(exp.Paren(this=any_holds), copy=False)
        return records.select(exp.alias_(bits, "holds"), copy=False)

    def true_of_any(self, leaves: Collection[PositiveLeaf]) -> tuple[exp.Select, list[exp.Expr]]:
        """The people of whom one of the leaves of one look is true, and what says of each leaf that it is."""
        if len(leaves) == 1:
            (leaf,) = leaves
            return self.leaf(leaf), [exp.true()]
        _, records, conditions = self._looked_up(leaves)
        any_holds = exp.Paren(this=exp.or_(*conditions, copy=False))
        is_grouped = records.args.get("group") is not None
        return (records.having if is_grouped else records.where)(any_holds, copy=False), conditions

    def _looked_up(self, leaves: Collection[PositiveLeaf]) -> tuple[PositiveLeaf, exp.Select, list[exp.Expr]]:
        """Of leaves of one place: the one that has the records of all, those records, and of each leaf whether it holds."""
        one = max((_figure(leaf) if isinstance(leaf, Ranked) else leaf for leaf in leaves), key=_reach)
        if isinstance(one, Compared):
            return one, *relations.comparisons(self, leaves)  # type: ignore[arg-type]  # they have one place
        return one, self._records(one), [self._holds(leaf, read=one) for leaf in leaves]

    def _records(self, leaf: PositiveLeaf) -> exp.Select:
        """What is recorded where the leaf looks, before it is asked whether the leaf holds of it."""
        match leaf:
            case Trait(trait=trait):
                return self._rows("trait_value", _is("trait_value", "trait_id", self.catalog.traits[trait].id))
            case InSegment(segment=segment):
                return self._rows("membership", _is("membership", "segment_id", self.catalog.segments[segment].id))
            case Performed() if is_total(leaf):
                return self._rows("event_total", _is("event_total", "name_id", self.catalog.events[leaf.event].id))
            case Performed():
                return self.events(leaf)
            case Sequence():
                return relations.sequence(self, leaf)
            case Compared():
                return relations.comparison(self, leaf)
            case Ranked(figure=figure):
                return self._records(figure)
            case Score() | Bucket() | Consented() | InList():
                return standing.records(self, leaf)

    def _holds(self, leaf: PositiveLeaf, *, read: PositiveLeaf | None = None) -> exp.Expr:
        """Whether the leaf is true, asked of a record, or of all the events of a person.

        Args:
            read: the leaf whose records are read, where that is another with a wider window.
        """
        match leaf:
            case Trait():
                comparison = leaf.comparison.stored
                value = comparison.kind.trait_sql("trait_value")
                return comparison.operator.compile(value, comparison.operand, self.bind)
            case InSegment() | Sequence() | Compared():
                return exp.true()
            case Score() | Bucket() | Consented() | InList():
                return standing.holds(self, leaf)
            case Performed() | Ranked():
                figure = _figure(leaf)
                if (total := total_of(figure)) is not None:
                    return self.compared(leaf, MeasuredSql(value=total))
                within = None
                if isinstance(read, Performed) and read.within != figure.within:
                    within = figure.within.compile(exp.column("occurred_at", "event"), self.bind)
                compared = self.compared(leaf, figure.computed.sql(figure, within, self.bind))
                if within is None or not isinstance(leaf, Ranked):
                    return compared
                # Of nothing in its own window a sum is 0, and beside a threshold that may be enough.
                return exp.and_(ranks.is_ranked(within), compared, copy=False)

    def events(self, leaf: Performed, *among: exp.Expr, repeated: bool = False) -> exp.Select:
        """The events that the leaf looks at, by person; ``repeated`` leaves them as they are."""
        moment = exp.column("occurred_at", "event")
        events = self._rows(
            "event",
            _is("event", "name_id", self.catalog.events[leaf.event].id),
            leaf.within.compile(moment, self.bind),
            *among,
            *self.filters(leaf.where, "event"),
        )
        if leaf.within.since is not None:
            anchor = self._rows(
                "event",
                _is("event", "name_id", self.catalog.events[leaf.within.since].id),
                exp.LT(this=moment.copy(), expression=AS_OF.copy()),
            ).select(exp.alias_(exp.Max(this=moment.copy()), "began_at"), copy=False)
            anchor.group_by(exp.column("profile_id", "event"), copy=False)
            began = exp.and_(
                exp.EQ(this=exp.column("profile_id", "anchor"), expression=exp.column("profile_id", "event")),
                exp.GT(this=moment.copy(), expression=exp.column("began_at", "anchor")),
            )
            events.join(anchor.subquery("anchor", copy=False), on=began, copy=False)
        return events if repeated else events.group_by(exp.column("profile_id", "event"), copy=False)

    def _ever(self, leaf: Performed | Ranked) -> exp.Select:
        """Totals answer for those whose last such event has happened; for the few dated ahead, events do.

        That somebody did it at all, and when first, totals can tell of everybody.
        """
        began = exp.LT(this=exp.column("first_at", "event_total"), expression=AS_OF.copy())
        if is_once(leaf):
            return self._records(leaf).where(began, copy=False)
        figure = _figure(leaf)
        if figure.measure == "first_at":
            return self._records(leaf).where(began, self._holds(leaf), copy=False)
        from_totals, from_events = self.parts_of_ever(figure)
        from_totals.where(self._holds(leaf), copy=False)
        from_events.having(self.compared(leaf, figure.computed.sql(figure, None, self.bind)), copy=False)
        return either(from_totals, from_events)

    def parts_of_ever(self, leaf: Performed) -> tuple[exp.Select, exp.Select]:
        """The totals that tell all of a person, and by person the events of those who have some dated ahead."""
        happened = exp.LT(this=exp.column("last_at", "event_total"), expression=AS_OF.copy())
        # Asked of the events, whose index has their time: of the totals it would be a look at each of them.
        ahead = self._rows(
            "event",
            _is("event", "name_id", self.catalog.events[leaf.event].id),
            exp.GTE(this=exp.column("occurred_at", "event"), expression=AS_OF.copy()),
        )
        among = exp.In(this=exp.column("profile_id", "event"), query=ahead.subquery(copy=False))
        return self._records(leaf).where(happened, copy=False), self.events(leaf, among)

    def filters(self, where: Collection[Where], alias: str) -> list[exp.Expr]:
        return compile_filters(where, alias, self.bind)

    def compared(self, leaf: Performed | Ranked, measured: MeasuredSql) -> exp.Expr:
        if isinstance(leaf, Ranked):
            return ranks.compared(self, leaf, measured)
        bind: Bind = self.bind
        if measured.times is not None:
            factor = measured.times
            bind = lambda value: exp.Mul(this=self.bind(value), expression=factor.copy())  # noqa: E731
        elif leaf.computed.is_whole:
            # Counts are compared with integers: with a numeric, PostgreSQL would cast every count and miss the index.
            bind = self._bind_whole
        return leaf.amount.operator.compile(measured.value, leaf.amount.operand, bind)

    def _bind_whole(self, value: Bindable) -> exp.Expr:
        return self.bind(int(value) if isinstance(value, Decimal) else value)

    def _rows(self, table: str, *conditions: exp.Expr) -> exp.Select:
        profile_id = exp.column("profile_id", table)
        scope = (is_one_of(profile_id.copy(), SCOPE.copy()),) if self.scoped else ()
        return exp.select(profile_id).from_(logical(table), copy=False).where(*conditions, *scope, copy=False)


def either(one: exp.Select, other: exp.Select, *more: str) -> exp.Select:
    """The rows of both, of which nobody is in both: their people, and what else is named."""
    both = exp.union(one, other, distinct=False, copy=False).subquery("either", copy=False)
    columns = (exp.column(name, "either") for name in ("profile_id", *more))
    return exp.select(*columns).from_(both, copy=False)


def _figure(leaf: Performed | Ranked) -> Performed:
    return leaf.figure if isinstance(leaf, Ranked) else leaf


def _reach(leaf: PositiveLeaf) -> int:
    """How far back the leaf looks, in seconds, among leaves of one place."""
    return leaf.within.duration.seconds if isinstance(leaf, Performed) and isinstance(leaf.within, Rolling) else 0


def _whole(number: int) -> exp.Expr:
    return exp.cast(exp.Literal.number(number), "BIGINT")


def _case(condition: exp.Expr, then: exp.Expr, otherwise: exp.Expr) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=condition, true=then)], default=otherwise)


def _is(table: str, column: str, row_id: int) -> exp.Expr:
    return exp.EQ(this=exp.column(column, table), expression=exp.Literal.number(int(row_id)))
