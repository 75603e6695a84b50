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

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sqlglot import exp

from segments.rules.algebra import leaves, positive
from segments.rules.binding import AS_OF, SCOPE, Bindable, Binder, is_one_of
from segments.rules.catalog import Catalog
from segments.rules.check import check
from segments.rules.dialects import lower
from segments.rules.errors import RuleErrors
from segments.rules.nodes import EVER, All, Any, Everyone, InSegment, Leaf, Measure, Not, Performed, Rule, Trait

LOGICAL_TABLES: Final = ("profile", "trait_value", "event", "event_total", "membership")


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A SELECT of one column, `profile_id`, without repetition.

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
    joined: dict[Leaf, str] = {leaf: f"leaf_{position}" for position, leaf in enumerate(leaves(rule))}
    query = exp.select(exp.alias_(exp.column("id", "profile"), "profile_id")).from_("profile", copy=False)
    if scoped:
        query.where(is_one_of(exp.column("id", "profile"), SCOPE.copy()), copy=False)
    for leaf in leaves(rule):
        alias = joined[leaf]
        partner = exp.EQ(this=exp.column("profile_id", alias), expression=exp.column("id", "profile"))
        query.join(compiler.leaf(leaf).subquery(alias, copy=False), on=partner, join_type="left", copy=False)
    query.where(_condition(positive(rule), joined), copy=False)
    return Compiled(expression=query, params=compiler.bind.params)


def compile_leaf(
    leaf: Trait | Performed | InSegment, catalog: Catalog, *, scoped: bool, settled: bool = False
) -> Compiled:
    """The people of whom a leaf, as `leaves` gives it, is true: all of them, or those among `scope`.

    Args:
        settled: the caller knows that nobody in question has an event at or after `as_of`. Totals then answer by
            themselves, and the query needn't be planned over every partition of the events.

    Raises:
        RuleErrors: the leaf doesn't fit the catalogue (any more).
        ValueError: the leaf is not positive, so it can't be answered from records alone.
    """
    _refuse_errors(leaf, catalog)
    if positive(leaf) != leaf:
        raise ValueError(f"not a positive leaf: {leaf.key}")
    compiler = _Compiler(catalog, scoped, settled)
    return Compiled(expression=compiler.leaf(leaf), params=compiler.bind.params)


def _refuse_errors(rule: Rule, catalog: Catalog) -> None:
    if errors := check(rule, catalog):
        raise RuleErrors(errors)


def _condition(rule: Rule, joined: Mapping[Leaf, str]) -> exp.Expr:
    match rule:
        case All(rules):
            return exp.Paren(this=exp.and_(*(_condition(one, joined) for one in rules), copy=False))
        case Any(rules):
            return exp.Paren(this=exp.or_(*(_condition(one, joined) for one in rules), copy=False))
        case Not(inner):
            return exp.Not(this=exp.Paren(this=_condition(inner, joined)))
        case Everyone():
            return exp.true()
        case leaf:
            partner = exp.Is(this=exp.column("profile_id", joined[leaf]), expression=exp.null())
            return exp.Not(this=exp.Paren(this=partner))


class _Compiler:
    """Compiles leaves into sub-queries that share one set of parameters."""

    def __init__(self, catalog: Catalog, scoped: bool, settled: bool = False) -> None:
        self.catalog = catalog
        self.scoped = scoped
        self.settled = settled
        self.bind = Binder()

    def leaf(self, leaf: Trait | Performed | InSegment) -> exp.Select:
        match leaf:
            case Trait():
                return self._trait(leaf)
            case InSegment(segment=segment):
                return self._rows("membership", _is("membership", "segment_id", self.catalog.segments[segment].id))
            case Performed(within=within, of=None, where=()) if within == EVER:
                return self._performed_ever(leaf)
            case Performed():
                return self._performed(leaf)

    def _trait(self, leaf: Trait) -> exp.Select:
        comparison = leaf.comparison.stored
        holds = comparison.operator.compile(comparison.kind.trait_sql("trait_value"), comparison.operand, self.bind)
        return self._rows("trait_value", _is("trait_value", "trait_id", self.catalog.traits[leaf.trait].id), holds)

    def _performed(self, leaf: Performed, *among: exp.Expr) -> exp.Select:
        properties = exp.column("properties", "event")
        filters = []
        for one in leaf.where:
            value = one.comparison.kind.property_sql(properties.copy(), self.bind(one.property))
            filters.append(one.comparison.operator.compile(value, one.comparison.operand, self.bind))
        events = self._rows(
            "event",
            _is("event", "name_id", self.catalog.events[leaf.event].id),
            leaf.within.compile(exp.column("occurred_at", "event"), self.bind),
            *among,
            *filters,
        )
        if leaf.measure is Measure.COUNT:
            measured: exp.Expr = exp.Count(this=exp.Star())
        elif leaf.of is None:
            measured = _sum(exp.column("value", "event"))
        else:
            measured = _sum(leaf.amount.kind.property_sql(properties, self.bind(leaf.of)))
        grouped = events.group_by(exp.column("profile_id", "event"), copy=False)
        return grouped.having(self._amount(leaf, measured), copy=False)

    def _performed_ever(self, leaf: Performed) -> exp.Select:
        """Totals answer for those whose last such event has happened; for the few dated ahead, events do."""
        measured: exp.Expr = exp.column("count", "event_total")
        if leaf.measure is Measure.SUM:
            measured = _or_nothing(exp.column("value_sum", "event_total"))
        name = _is("event_total", "name_id", self.catalog.events[leaf.event].id)
        last_at = exp.column("last_at", "event_total")
        happened = exp.LT(this=last_at, expression=AS_OF.copy())
        from_totals = self._rows("event_total", name, happened, self._amount(leaf, measured))
        if self.settled:
            return from_totals
        ahead = self._rows("event_total", name.copy(), exp.GTE(this=last_at.copy(), expression=AS_OF.copy()))
        among = exp.In(this=exp.column("profile_id", "event"), query=ahead.subquery(copy=False))
        both = exp.union(from_totals, self._performed(leaf, among), distinct=False, copy=False)
        return exp.select(exp.column("profile_id", "either")).from_(both.subquery("either", copy=False), copy=False)

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
