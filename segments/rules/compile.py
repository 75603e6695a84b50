"""A rule, or one of its leaves, as a query for the ids of people, over a small logical schema.

Running the query, and what the tables are really called, don't belong here.

Logical tables: `profile(id)`, `trait_value(trait_id, profile_id, number, text, text_folded, moment, boolean, items)`,
`event(profile_id, name_id, occurred_at, message_id, value, properties)`, `event_total(profile_id, name_id, count,
value_sum, first_at, last_at)`, `membership(segment_id, profile_id)`.

Shape: each distinct leaf becomes one sub-query of distinct ids, joined to `profile` by LEFT JOIN; the rule is a WHERE
over "has a partner or not". That is two-valued by construction. A planner makes inner joins of what must hold and
anti-joins of what must not, and under OR it still has hash joins, which spill to disk where a hashed `IN` sub-plan
that outgrew its memory would be scanned again for every profile.

A leaf that must hold takes the place of `profile`, and alternatives with such a leaf each are a UNION: then nobody is
looked at of whom nothing is recorded. It asks of the engine that each trait value, event and total belongs to a profile.

The tree is built in place (`copy=False`): sqlglot's builders copy all that was built before, which makes a rule of 200
conditions take seconds.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias

from sqlglot import exp

from segments.rules import dialects
from segments.rules.algebra import leaves, positive
from segments.rules.binding import AS_OF, SCOPE, Bind, Bindable, Binder, Plain, at_moment, is_one_of
from segments.rules.catalog import Catalog
from segments.rules.check import check
from segments.rules.dialects import lower
from segments.rules.errors import RuleErrors
from segments.rules.kinds import SCALARS
from segments.rules.measures import MeasuredSql
from segments.rules.nodes import (
    EVER,
    All,
    Any,
    Compared,
    Everyone,
    Filter,
    InSegment,
    Joining,
    Leaf,
    Not,
    Performed,
    Rule,
    Sequence,
    Step,
    Trait,
    Where,
)
from segments.rules.windows import Rolling

PositiveLeaf: TypeAlias = Trait | Performed | Compared | Sequence | InSegment

LOGICAL_TABLES: Final = ("profile", "trait_value", "event", "event_total", "membership")


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A SELECT; of one column, `profile_id`, without repetition, where nothing else is said.

    `params` holds the operands by the name of their placeholder; `at` gives them as they are at a moment, with `as_of`.
    Besides them the text may have `scope` (a list of profile ids), which the caller adds; it may be given even where it
    doesn't occur.
    """

    expression: exp.Select
    params: Mapping[str, Bindable]

    def sql(self, dialect: str = "postgres", tables: Mapping[str, str] | None = None) -> str:
        """The text for a dialect, with `tables` giving the real name of each logical table.

        For "postgres" the placeholders are psycopg's `%(name)s`. Nothing a user wrote is in the text, so there is no
        percent sign to double.
        """
        return _named(lower(self.expression, dialect), tables or {}).sql(dialect=dialect, identify=True)

    def at(self, as_of: datetime) -> dict[str, Plain]:
        """What to send along. The time zone of `as_of` is the one whose calendar is meant."""
        return at_moment(self.params, as_of)

    @property
    def placeholders(self) -> frozenset[str]:
        """The names of all placeholders in the text, `as_of` and `scope` among them where they occur."""
        return frozenset(node.name for node in self.expression.find_all(exp.Placeholder))


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
        case Performed() if _is_total(leaf):
            found = ["total", leaf.event]
        case Performed(within=Rolling(ago=None)):
            # Windows that roll lie within each other, so the widest has what all of them look at.
            found = ["event", leaf.event, [one.canonical() for one in leaf.where], "rolling"]
        case Performed():
            found = ["event", leaf.event, [one.canonical() for one in leaf.where], leaf.within.canonical()]
        case Sequence() | Compared():
            found = list(leaf.canonical())
    return json.dumps(found)


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


def compile_filters(where: Collection[Where], alias: str, bind: Bind) -> list[exp.Expr]:
    """The filters on events, as conditions on the rows of a table or alias."""
    return [_filter(one, alias, bind) for one in where]


def _filter(one: Where, alias: str, bind: Bind) -> exp.Expr:
    if isinstance(one, Filter):
        value = one.comparison.kind.property_sql(exp.column("properties", alias), bind(one.property))
        return one.comparison.operator.compile(value, one.comparison.operand, bind)
    parts = compile_filters(one.parts, alias, bind)
    match one.joining:
        case Joining.ALL:
            return exp.Paren(this=exp.and_(*parts, copy=False))
        case Joining.ANY:
            return exp.Paren(this=exp.or_(*parts, copy=False))
        case Joining.NOT:
            # Two-valued: what is unknown is not so, and its negation is.
            positive = exp.Is(this=exp.Paren(this=parts[0]), expression=exp.true())
            return exp.Not(this=exp.Paren(this=positive))


def _must_hold(rule: Rule) -> PositiveLeaf | None:
    """A leaf that is true of everybody of whom the rule is, and that only people with a profile are found by."""
    match rule:
        case All(rules):
            return next((must for must in map(_must_hold, rules) if must is not None), None)
        case Trait() | Performed() | Compared() | Sequence():
            return rule
        case _:
            # A merge ends the memberships of whom it absorbed a moment after it did away with the profile.
            return None


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


def _once(leaf: PositiveLeaf) -> bool:
    """Whether a single event is enough, whatever it is."""
    if not isinstance(leaf, Performed) or leaf.measure != "count" or leaf.per is not None:
        return False
    return leaf.amount.op == "gte" and leaf.amount.operand == 1


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
        if isinstance(rule, All | Any) and len(rule.rules) == 1:
            return self.people(rule.rules[0])
        if isinstance(rule, Any) and _are_apart(rule.rules) and all(map(_must_hold, rule.rules)):
            each = exp.union(*(self.people(one) for one in rule.rules), distinct=True, copy=False)
            return exp.select(exp.column("profile_id", "either")).from_(each.subquery("either", copy=False), copy=False)
        must = _must_hold(rule)
        if must is not None and must == rule:
            return self.leaf(must)
        if must is not None:
            person = exp.column("profile_id", "leaf_0")
            query = exp.select(person).from_(self.leaf(must).subquery("leaf_0", copy=False), copy=False)
            holds: dict[Leaf, exp.Expr] = {must: exp.true()}
        else:
            person = exp.column("id", "profile")
            query = exp.select(exp.alias_(person, "profile_id")).from_("profile", copy=False)
            holds = {}
            if self.scoped:
                query.where(is_one_of(person.copy(), SCOPE.copy()), copy=False)
        unwanted = _must_not_hold(rule)
        for position, leaf in enumerate((one for one in leaves(rule) if one != must), start=1):
            alias = f"leaf_{position}"
            partner = exp.EQ(this=exp.column("profile_id", alias), expression=person.copy())
            others = self._partners(leaf, unwanted=leaf in unwanted).subquery(alias, copy=False)
            query.join(others, on=partner, join_type="left", copy=False)
            has_none = exp.Is(this=exp.column("profile_id", alias), expression=exp.null())
            holds[leaf] = exp.Not(this=exp.Paren(this=has_none))
        return query.where(condition(rule, holds), copy=False)

    def _partners(self, leaf: PositiveLeaf, *, unwanted: bool) -> exp.Select:
        # Whoever has an unwanted partner is dropped, so it doesn't matter how often: the events needn't be grouped.
        if unwanted and isinstance(leaf, Performed) and _once(leaf) and not _is_total(leaf):
            return self._events(leaf, repeated=True)
        return self.leaf(leaf)

    def leaf(self, leaf: PositiveLeaf) -> exp.Select:
        match leaf:
            case Trait():
                return self._records(leaf).where(self._holds(leaf), copy=False)
            case InSegment() | Sequence() | Compared():
                return self._records(leaf)
            case Performed() if _is_total(leaf):
                return self._ever(leaf)
            case Performed() if _once(leaf):
                return self._records(leaf)
            case Performed():
                return self._records(leaf).having(self._holds(leaf), copy=False)

    def together(self, leaves: Collection[PositiveLeaf]) -> exp.Select:
        """The records of the leaves' one place, read once, with the verdict of each leaf as a bit."""
        one = max(leaves, key=_reach)  # of leaves of one place it has the records of all
        records = self._records(one)
        conditions = [self._holds(leaf, read=one) for leaf in leaves]
        bits: exp.Expr = _whole(0)
        for number, condition in enumerate(conditions):
            bits = exp.Add(
                this=bits, expression=exp.Paren(this=_case(condition.copy(), _whole(1 << number), _whole(0)))
            )
        any_holds = exp.or_(*conditions, copy=False)
        if isinstance(one, Performed) and _is_total(one):
            ahead = exp.GTE(this=exp.column("last_at", "event_total"), expression=AS_OF.copy())
            bits = _case(ahead, _whole(AHEAD), bits)
            records = records.where(exp.Paren(this=exp.or_(ahead.copy(), any_holds, copy=False)), copy=False)
        elif isinstance(one, Performed):
            records = records.having(any_holds, copy=False)
        else:
            records = records.where(exp.Paren(this=any_holds), copy=False)
        return records.select(exp.alias_(bits, "holds"), copy=False)

    def _records(self, leaf: PositiveLeaf) -> exp.Select:
        """What is recorded where the leaf looks, before it is asked whether the leaf holds of it."""
        match leaf:
            case Trait(trait=trait):
                return self._rows("trait_value", _is("trait_value", "trait_id", self.catalog.traits[trait].id))
            case InSegment(segment=segment):
                return self._rows("membership", _is("membership", "segment_id", self.catalog.segments[segment].id))
            case Performed() if _is_total(leaf):
                return self._rows("event_total", _is("event_total", "name_id", self.catalog.events[leaf.event].id))
            case Performed():
                return self._events(leaf)
            case Sequence():
                return self._sequence(leaf)
            case Compared():
                return self._comparison(leaf)

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
            case Performed() if _is_total(leaf):
                total = leaf.computed.from_total()
                assert total is not None, "see _is_total"
                return self._compared(leaf, MeasuredSql(value=total))
            case Performed():
                within = None
                if isinstance(read, Performed) and read.within != leaf.within:
                    within = leaf.within.compile(exp.column("occurred_at", "event"), self.bind)
                return self._compared(leaf, leaf.computed.sql(leaf, within, self.bind))

    def _events(self, leaf: Performed, *among: exp.Expr, repeated: bool = False) -> exp.Select:
        """The events that the leaf looks at, by person; ``repeated`` leaves them as they are."""
        moment = exp.column("occurred_at", "event")
        events = self._rows(
            "event",
            _is("event", "name_id", self.catalog.events[leaf.event].id),
            leaf.within.compile(moment, self.bind),
            *among,
            *self._filters(leaf.where, "event"),
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

    def _ever(self, leaf: Performed) -> exp.Select:
        """Totals answer for those whose last such event has happened; for the few dated ahead, events do.

        That somebody did it at all, totals can tell of everybody.
        """
        if _once(leaf):
            first_at = exp.column("first_at", "event_total")
            return self._records(leaf).where(exp.LT(this=first_at, expression=AS_OF.copy()), copy=False)
        last_at = exp.column("last_at", "event_total")
        happened = exp.LT(this=last_at, expression=AS_OF.copy())
        from_totals = self._records(leaf).where(happened, self._holds(leaf), copy=False)
        # Asked of the events, whose index has their time: of the totals it would be a look at each of them.
        ahead = self._rows(
            "event",
            _is("event", "name_id", self.catalog.events[leaf.event].id),
            exp.GTE(this=exp.column("occurred_at", "event"), expression=AS_OF.copy()),
        )
        among = exp.In(this=exp.column("profile_id", "event"), query=ahead.subquery(copy=False))
        measured = leaf.computed.sql(leaf, None, self.bind)
        from_events = self._events(leaf, among).having(self._compared(leaf, measured), copy=False)
        both = exp.union(from_totals, from_events, distinct=False, copy=False)
        return exp.select(exp.column("profile_id", "either")).from_(both.subquery("either", copy=False), copy=False)

    def _comparison(self, leaf: Compared) -> exp.Select:
        """Both sides by person, joined so that who has only one of them is among them."""
        left, right = self._side(leaf.left, "left_side"), self._side(leaf.right, "right_side")
        person = exp.func("COALESCE", exp.column("profile_id", "left_side"), exp.column("profile_id", "right_side"))
        partner = exp.EQ(this=exp.column("profile_id", "left_side"), expression=exp.column("profile_id", "right_side"))
        ours = _times(_side_value(leaf.left, "left_side"), _side_factor(leaf.right, "right_side"))
        theirs = _times(_side_value(leaf.right, "right_side"), _side_factor(leaf.left, "left_side"))
        if leaf.times != 1:
            theirs = _times(theirs, self.bind(leaf.times))
        found = exp.select(exp.alias_(person, "profile_id")).from_(left, copy=False)
        found.join(right, on=partner, join_type="full", copy=False)
        return found.where(leaf.operator.compile(ours, None, lambda _: theirs), copy=False)

    def _side(self, side: Performed, alias: str) -> exp.Subquery:
        measured = side.computed.sql(side, None, self.bind)
        events = self._events(side).select(exp.alias_(measured.value, "measured"), copy=False)
        if measured.times is not None:
            events.select(exp.alias_(measured.times, "factor"), copy=False)
        return events.subquery(alias, copy=False)

    def _sequence(self, leaf: Sequence) -> exp.Select:
        """The people in whose events the steps are found one after the other: a join of the events with themselves."""
        first, *others = leaf.steps
        person = exp.column("profile_id", "step_0")
        scope = (is_one_of(person.copy(), SCOPE.copy()),) if self.scoped else ()
        found = exp.select(person).distinct(copy=False).from_(_aliased("step_0"), copy=False)
        found.where(
            *self._step(first, "step_0"),
            leaf.within.compile(exp.column("occurred_at", "step_0"), self.bind),
            *scope,
            *(self._same(leaf.same, "step_0", "step_0") if leaf.same else ()),
            copy=False,
        )
        last = "step_0"
        for number, step in enumerate(others, start=1):
            this = f"step_{number}"
            found.join(_aliased(this), on=exp.and_(*self._follows(leaf, step, this, last)), copy=False)
            last = this
        if leaf.missing is not None and leaf.missing.within is not None:
            moment = exp.column("occurred_at", last)
            time_is_over = exp.LTE(this=_later(moment, leaf.missing.within.seconds), expression=AS_OF.copy())
            did = exp.select(exp.Literal.number(1)).from_(_aliased("missing"), copy=False)
            did.where(*self._follows(leaf, leaf.missing, "missing", last), copy=False)
            found.where(time_is_over, exp.Not(this=exp.Exists(this=did)), copy=False)
        return found

    def _step(self, step: Step, alias: str) -> list[exp.Expr]:
        return [
            _is(alias, "name_id", self.catalog.events[step.event].id),
            exp.LT(this=exp.column("occurred_at", alias), expression=AS_OF.copy()),
            *self._filters(step.where, alias),
        ]

    def _follows(self, leaf: Sequence, step: Step, this: str, last: str) -> list[exp.Expr]:
        """That the event `this` is the step, and comes after the event `last` and in time."""
        now, then = (exp.column("occurred_at", alias) for alias in (this, last))
        message, other = (dialects.ByBytes(this=exp.column("message_id", alias)) for alias in (this, last))
        at_once = exp.and_(exp.EQ(this=now.copy(), expression=then.copy()), exp.GT(this=message, expression=other))
        conditions = [
            exp.EQ(this=exp.column("profile_id", this), expression=exp.column("profile_id", last)),
            *self._step(step, this),
            # Said by itself too, so that an index by time can be used.
            exp.GTE(this=now.copy(), expression=then.copy()),
            exp.Paren(this=exp.or_(exp.GT(this=now.copy(), expression=then.copy()), at_once)),
        ]
        if step.within is not None:
            conditions.append(exp.LT(this=now.copy(), expression=_later(then, step.within.seconds)))
        return conditions + (self._same(leaf.same, this, last) if leaf.same else [])

    def _same(self, name: str, one: str, other: str) -> list[exp.Expr]:
        values = [
            [kind.property_sql(exp.column("properties", alias), self.bind(name)) for alias in (one, other)]
            for kind in SCALARS
        ]
        return [exp.Paren(this=exp.or_(*(exp.EQ(this=here, expression=there) for here, there in values)))]

    def _filters(self, where: Collection[Where], alias: str) -> list[exp.Expr]:
        return compile_filters(where, alias, self.bind)

    def _compared(self, leaf: Performed, measured: MeasuredSql) -> exp.Expr:
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
        return exp.select(profile_id).from_(table, copy=False).where(*conditions, *scope, copy=False)


def _is_total(leaf: Performed) -> bool:
    """Whether the running totals have what the leaf asks for."""
    plain = leaf.within == EVER and leaf.of is None and not leaf.where and leaf.per is None
    return plain and leaf.computed.from_total() is not None


def _side_value(side: Performed, alias: str) -> exp.Expr:
    value: exp.Expr = exp.column("measured", alias)
    if side.computed.over_nothing is None:
        return value
    return exp.func("COALESCE", value, exp.Literal.number(0))


def _side_factor(side: Performed, alias: str) -> exp.Expr | None:
    return exp.column("factor", alias) if side.measure == "average" else None


def _times(value: exp.Expr, factor: exp.Expr | None) -> exp.Expr:
    return value if factor is None else exp.Mul(this=value, expression=factor)


def _aliased(alias: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier("event"), alias=exp.TableAlias(this=exp.to_identifier(alias)))


def _later(moment: exp.Expr, seconds: int) -> exp.Expr:
    length = exp.Interval(this=exp.Literal.string(str(seconds)), unit=exp.Var(this="SECOND"))
    return exp.Add(this=moment.copy(), expression=length)


def _reach(leaf: PositiveLeaf) -> int:
    """How far back the leaf looks, in seconds, among leaves of one place."""
    return leaf.within.duration.seconds if isinstance(leaf, Performed) and isinstance(leaf.within, Rolling) else 0


def _whole(number: int) -> exp.Expr:
    return exp.cast(exp.Literal.number(number), "BIGINT")


def _case(condition: exp.Expr, then: exp.Expr, otherwise: exp.Expr) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=condition, true=then)], default=otherwise)


def _is(table: str, column: str, row_id: int) -> exp.Expr:
    return exp.EQ(this=exp.column(column, table), expression=exp.Literal.number(int(row_id)))


def _named(tree: exp.Expr, tables: Mapping[str, str]) -> exp.Expr:
    for table in list(tree.find_all(exp.Table)):
        if table.name in tables and table.name in LOGICAL_TABLES:
            alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))
            table.replace(exp.Table(**{**exp.to_table(tables[table.name]).args, "alias": alias}))
    return tree
