"""A rule, or one of its leaves, as a query for the ids of people, over a small logical schema.

Running the query, and what the tables are really called, don't belong here.

Logical tables: `profile(id)`, `trait_value(trait_id, profile_id, number, text, text_folded, moment, boolean, items)`,
`event(profile_id, name_id, occurred_at, message_id, value, properties)`, `event_total(profile_id, name_id, count,
value_sum, first_at, last_at)`, `membership(segment_id, profile_id)`.

Shape: each distinct leaf becomes one sub-query of distinct ids, joined to `profile` by LEFT JOIN; the rule is a WHERE
over "has a partner or not". That is two-valued by construction. A planner makes inner joins of what must hold and
anti-joins of what must not, and under OR it still has hash joins, which spill to disk where a hashed `IN` sub-plan
that outgrew its memory would be scanned again for every profile.

The tree is built in place (`copy=False`): sqlglot's builders copy all that was built before, which makes a rule of 200
conditions take seconds.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from sqlglot import exp

from segments.rules.algebra import leaves, positive
from segments.rules.binding import AS_OF, SCOPE, Bindable, Binder, is_one_of
from segments.rules.catalog import Catalog
from segments.rules.check import check
from segments.rules.dialects import lower
from segments.rules.errors import RuleErrors
from segments.rules.nodes import EVER, All, Any, Everyone, InSegment, Leaf, Measure, Not, Performed, Rule, Trait
from segments.rules.windows import Rolling

PositiveLeaf: TypeAlias = Trait | Performed | InSegment

LOGICAL_TABLES: Final = ("profile", "trait_value", "event", "event_total", "membership")


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A SELECT; of one column, `profile_id`, without repetition, where nothing else is said.

    `params` holds the operands by the name of their placeholder. Besides them the text may have `as_of` (an aware
    datetime) and `scope` (a list of profile ids), which the caller adds; those that don't occur may be given too.
    """

    expression: exp.Select
    params: Mapping[str, Bindable]

    def sql(self, dialect: str = "postgres", tables: Mapping[str, str] | None = None) -> str:
        """The text for a dialect, with `tables` giving the real name of each logical table.

        For "postgres" the placeholders are psycopg's `%(name)s`. Nothing a user wrote is in the text, so there is no
        percent sign to double.
        """
        return _named(lower(self.expression, dialect), tables or {}).sql(dialect=dialect, identify=True)

    @property
    def placeholders(self) -> frozenset[str]:
        """The names of all placeholders in the text, `as_of` and `scope` among them where they occur."""
        return frozenset(node.name for node in self.expression.find_all(exp.Placeholder))


def compile_rule(rule: Rule, catalog: Catalog, *, scoped: bool) -> Compiled:
    """The people of whom the rule is true: all of them, or those among `scope`.

    Raises:
        RuleErrors: the rule doesn't fit the catalogue (any more).
    """
    _refuse_errors(rule, catalog)
    compiler = _Compiler(catalog, scoped)
    query = exp.select(exp.alias_(exp.column("id", "profile"), "profile_id")).from_("profile", copy=False)
    if scoped:
        query.where(is_one_of(exp.column("id", "profile"), SCOPE.copy()), copy=False)
    holds: dict[Leaf, exp.Expr] = {}
    for position, leaf in enumerate(leaves(rule)):
        alias = f"leaf_{position}"
        partner = exp.EQ(this=exp.column("profile_id", alias), expression=exp.column("id", "profile"))
        query.join(compiler.leaf(leaf).subquery(alias, copy=False), on=partner, join_type="left", copy=False)
        has_none = exp.Is(this=exp.column("profile_id", alias), expression=exp.null())
        holds[leaf] = exp.Not(this=exp.Paren(this=has_none))
    query.where(_condition(positive(rule), holds), copy=False)
    return Compiled(expression=query, params=compiler.bind.params)


def compile_counts(rules: Sequence[Rule], catalog: Catalog) -> Compiled:
    """One row: how many people there are, then of how many each of the rules is true, in their order.

    A leaf that several of the rules have is looked up once. Who is found by which leaves is gathered as bits, so that the
    people are joined to it once and not to each leaf: the parts of one rule cost little more than the whole.

    Raises:
        RuleErrors: one of the rules doesn't fit the catalogue (any more).
    """
    for rule in rules:
        _refuse_errors(rule, catalog)
    compiler = _Compiler(catalog, scoped=False)
    found = list(dict.fromkeys(leaf for rule in rules for leaf in leaves(rule)))
    query = exp.select(exp.Count(this=exp.Star())).from_("profile", copy=False)
    if found:
        partner = exp.EQ(this=exp.column("profile_id", "found"), expression=exp.column("id", "profile"))
        query.join(_gathered(found, compiler).subquery("found", copy=False), on=partner, join_type="left", copy=False)
    holds: dict[Leaf, exp.Expr] = {leaf: _bit_is_set(position) for position, leaf in enumerate(found)}
    for rule in rules:
        where = exp.Where(this=_condition(positive(rule), holds))
        query.select(exp.Filter(this=exp.Count(this=exp.Star()), expression=where), copy=False)
    return Compiled(expression=query, params=compiler.bind.params)


def _gathered(found: Sequence[PositiveLeaf], compiler: "_Compiler") -> exp.Select:
    """Who any of the leaves is true of, with the leaves as bits, `MOST_TOGETHER` to a column."""
    columns = [f"holds_{number}" for number in range((len(found) - 1) // MOST_TOGETHER + 1)]
    each = []
    for position, leaf in enumerate(found):
        number, bit = divmod(position, MOST_TOGETHER)
        bits = [_whole(1 << bit if one == number else 0) for one in range(len(columns))]
        each.append(compiler.leaf(leaf).select(*map(exp.alias_, bits, columns), copy=False))
    together = each[0] if len(each) == 1 else exp.union(*each, distinct=False, copy=False)
    gathered = exp.select(exp.column("profile_id", "each")).from_(together.subquery("each", copy=False), copy=False)
    for column in columns:
        bits_of_all = exp.BitwiseOrAgg(this=exp.column(column, "each"))
        gathered.select(exp.alias_(bits_of_all, column), copy=False)
    return gathered.group_by(exp.column("profile_id", "each"), copy=False)


def _bit_is_set(position: int) -> exp.Expr:
    number, bit = divmod(position, MOST_TOGETHER)
    holds = _or_nothing(exp.column(f"holds_{number}", "found"))
    masked = exp.BitwiseAnd(this=holds, expression=_whole(1 << bit))
    return exp.NEQ(this=exp.Paren(this=masked), expression=exp.Literal.number(0))


def compile_leaf(leaf: PositiveLeaf, catalog: Catalog, *, scoped: bool) -> Compiled:
    """The people of whom a leaf, as `leaves` gives it, is true: all of them, or those among `scope`.

    Raises:
        RuleErrors: the leaf doesn't fit the catalogue (any more).
        ValueError: the leaf is not positive, so it can't be answered from records alone.
    """
    _refuse(leaf, catalog)
    compiler = _Compiler(catalog, scoped)
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
        case Performed():
            # Windows that roll lie within each other, so the widest has what all of them look at.
            window = "rolling" if isinstance(leaf.within, Rolling) else leaf.within.canonical()
            found = ["event", leaf.event, [one.canonical() for one in leaf.where], window]
    return json.dumps(found)


def compile_together(leaves: Sequence[PositiveLeaf], catalog: Catalog) -> Compiled:
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
    compiler = _Compiler(catalog, scoped=True)
    return Compiled(expression=compiler.together(leaves), params=compiler.bind.params)


def _refuse(leaf: PositiveLeaf, catalog: Catalog) -> None:
    _refuse_errors(leaf, catalog)
    if positive(leaf) != leaf:
        raise ValueError(f"not a positive leaf: {leaf.key}")


def _refuse_errors(rule: Rule, catalog: Catalog) -> None:
    if errors := check(rule, catalog):
        raise RuleErrors(errors)


def _condition(rule: Rule, holds: Mapping[Leaf, exp.Expr]) -> exp.Expr:
    match rule:
        case All(rules):
            return exp.Paren(this=exp.and_(*(_condition(one, holds) for one in rules), copy=False))
        case Any(rules):
            return exp.Paren(this=exp.or_(*(_condition(one, holds) for one in rules), copy=False))
        case Not(inner):
            return exp.Not(this=exp.Paren(this=_condition(inner, holds)))
        case Everyone():
            return exp.true()
        case leaf:
            return holds[leaf].copy()


class _Compiler:
    """Compiles leaves into sub-queries that share one set of parameters."""

    def __init__(self, catalog: Catalog, scoped: bool) -> None:
        self.catalog = catalog
        self.scoped = scoped
        self.bind = Binder()

    def leaf(self, leaf: PositiveLeaf) -> exp.Select:
        match leaf:
            case Trait():
                return self._records(leaf).where(self._holds(leaf), copy=False)
            case InSegment():
                return self._records(leaf)
            case Performed() if _is_total(leaf):
                return self._ever(leaf)
            case Performed():
                return self._records(leaf).having(self._holds(leaf), copy=False)

    def together(self, leaves: Sequence[PositiveLeaf]) -> exp.Select:
        """The records of the leaves' one place, read once, with the verdict of each leaf as a bit."""
        one = max(leaves, key=_reach)
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
            case InSegment():
                return exp.true()
            case Performed() if _is_total(leaf):
                if leaf.measure is Measure.COUNT:
                    return self._amount(leaf, exp.column("count", "event_total"))
                return self._amount(leaf, _or_nothing(exp.column("value_sum", "event_total")))
            case Performed():
                within = None
                if isinstance(read, Performed) and read.within != leaf.within:
                    within = leaf.within.compile(exp.column("occurred_at", "event"), self.bind)
                return self._amount(leaf, self._measured(leaf, within))

    def _events(self, leaf: Performed, *among: exp.Expr) -> exp.Select:
        filters = []
        for one in leaf.where:
            value = one.comparison.kind.property_sql(exp.column("properties", "event"), self.bind(one.property))
            filters.append(one.comparison.operator.compile(value, one.comparison.operand, self.bind))
        events = self._rows(
            "event",
            _is("event", "name_id", self.catalog.events[leaf.event].id),
            leaf.within.compile(exp.column("occurred_at", "event"), self.bind),
            *among,
            *filters,
        )
        return events.group_by(exp.column("profile_id", "event"), copy=False)

    def _ever(self, leaf: Performed) -> exp.Select:
        """Totals answer for those whose last such event has happened; for the few dated ahead, events do."""
        last_at = exp.column("last_at", "event_total")
        happened = exp.LT(this=last_at, expression=AS_OF.copy())
        from_totals = self._records(leaf).where(happened, self._holds(leaf), copy=False)
        ahead = self._records(leaf).where(exp.GTE(this=last_at.copy(), expression=AS_OF.copy()), copy=False)
        among = exp.In(this=exp.column("profile_id", "event"), query=ahead.subquery(copy=False))
        from_events = self._events(leaf, among).having(self._amount(leaf, self._measured(leaf)), copy=False)
        both = exp.union(from_totals, from_events, distinct=False, copy=False)
        return exp.select(exp.column("profile_id", "either")).from_(both.subquery("either", copy=False), copy=False)

    def _measured(self, leaf: Performed, within: exp.Expr | None = None) -> exp.Expr:
        """The count or sum over a person's events: of all that are read, or of those ``within`` holds of."""
        if leaf.measure is Measure.COUNT:
            return exp.Count(this=_only(within, _whole(1)) if within else exp.Star())
        value: exp.Expr = exp.column("value", "event")
        if leaf.of is not None:
            value = leaf.amount.kind.property_sql(exp.column("properties", "event"), self.bind(leaf.of))
        return _sum(_only(within, value) if within else value)

    def _amount(self, leaf: Performed, measured: exp.Expr) -> exp.Expr:
        # Counts are compared with integers: with a numeric, PostgreSQL would cast every count and miss the index.
        bind = self._bind_whole if leaf.measure is Measure.COUNT else self.bind
        return leaf.amount.operator.compile(measured, leaf.amount.operand, bind)

    def _bind_whole(self, value: Bindable) -> exp.Expr:
        return self.bind(int(value) if isinstance(value, Decimal) else value)

    def _rows(self, table: str, *conditions: exp.Expr) -> exp.Select:
        profile_id = exp.column("profile_id", table)
        scope = (is_one_of(profile_id.copy(), SCOPE.copy()),) if self.scoped else ()
        return exp.select(profile_id).from_(table, copy=False).where(*conditions, *scope, copy=False)


def _is_total(leaf: Performed) -> bool:
    """Whether the running totals have what the leaf asks for."""
    return leaf.within == EVER and leaf.of is None and not leaf.where


def _reach(leaf: PositiveLeaf) -> int:
    """How far back the leaf looks, in seconds, among leaves of one place."""
    return leaf.within.duration.seconds if isinstance(leaf, Performed) and isinstance(leaf.within, Rolling) else 0


def _only(condition: exp.Expr, value: exp.Expr) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=condition, true=value)])


def _whole(number: int) -> exp.Expr:
    return exp.cast(exp.Literal.number(number), "BIGINT")


def _case(condition: exp.Expr, then: exp.Expr, otherwise: exp.Expr) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=condition, true=then)], default=otherwise)


def _is(table: str, column: str, row_id: int) -> exp.Expr:
    return exp.EQ(this=exp.column(column, table), expression=exp.Literal.number(int(row_id)))


def _sum(amount: exp.Expr) -> exp.Expr:
    return _or_nothing(exp.Sum(this=amount))


def _or_nothing(amount: exp.Expr) -> exp.Expr:
    return exp.func("COALESCE", amount, exp.Literal.number(0))


def _named(tree: exp.Expr, tables: Mapping[str, str]) -> exp.Expr:
    for table in list(tree.find_all(exp.Table)):
        if table.name in tables and table.name in LOGICAL_TABLES:
            alias = exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))
            table.replace(exp.Table(**{**exp.to_table(tables[table.name]).args, "alias": alias}))
    return tree
