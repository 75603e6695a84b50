"""When time alone changes a verdict: for each positive leaf, whose verdict may change between two moments.

`compile_edges` asks the records of everybody, by one range of an index per edge; `edges` asks one person's, for the
reference engine. Both give candidates: whether a verdict did change is for whoever evaluates the rule. What an edge is
stands with each window and operator, and what doesn't say so is refused here. Running the query doesn't belong here.

Everything here speaks of `(t1, t2]`: a verdict as of `t1` is known, the one as of `t2` is wanted.
"""

import json
from collections.abc import Iterator
from datetime import datetime

from sqlglot import exp

from segments.rules.binding import SCOPE, Binder, is_one_of
from segments.rules.catalog import Catalog
from segments.rules.check import check
from segments.rules.compile import Compiled
from segments.rules.errors import RuleErrors
from segments.rules.evaluate import Person, matches
from segments.rules.filters import compile_filters
from segments.rules.nodes import (
    Bucket,
    Consented,
    Filter,
    InList,
    InSegment,
    Performed,
    PositiveLeaf,
    Score,
    Trait,
    Where,
)
from segments.rules.standing import expiring


def edge_place(leaf: PositiveLeaf) -> str:
    """Leaves with the same place have the same candidates between any two moments: asked once, they serve for all."""
    match leaf:
        case Performed():
            filters = sorted((one.canonical() for one in leaf.where), key=json.dumps)
            return json.dumps(["performed", leaf.event, filters, leaf.within.canonical()])
        case _:
            return leaf.key


def compile_edges(leaf: PositiveLeaf, catalog: Catalog, *, scoped: bool) -> Compiled | None:
    """The people, all or those among `scope`, whose verdict on the leaf may change by time alone in `(t1, t2]`.

    None when time alone never changes it. Membership of another segment is such a leaf: when that changes, whoever
    changes it evaluates the rules that read it; so with scores and lists.

    Raises:
        RuleErrors: the leaf doesn't fit the catalogue (any more).
        NotImplementedError: part of it looks at the clock without saying when its edges pass.
    """
    if errors := check(leaf, catalog):
        raise RuleErrors(errors)
    bind = Binder()
    match leaf:
        case InSegment() | Score() | Bucket() | InList():
            return None
        case Consented():
            ends = expiring(leaf, catalog, scoped=scoped)
            return None if ends is None else Compiled(expression=ends, params={})
        case Trait():
            comparison = leaf.comparison.stored
            table, row_id = "trait_value", ("trait_id", catalog.traits[leaf.trait].id)
            value = comparison.kind.trait_sql(table)
            ranges = comparison.operator.compile_edges(value, comparison.operand, bind)
            also: list[exp.Expr] = []
        case Performed():
            table, row_id = "event", ("name_id", catalog.events[leaf.event].id)
            _refuse_clock_in(leaf)
            ranges = leaf.within.compile_edges(exp.column("occurred_at", table), bind)
            also = compile_filters(leaf.where, table, bind)
        case _:
            raise NotImplementedError(f"{type(leaf).__name__} doesn't say when its edges pass")
    if not ranges:
        return None
    column, number = row_id
    of_leaf = exp.EQ(this=exp.column(column, table), expression=exp.Literal.number(int(number)))
    if scoped:
        also.append(is_one_of(exp.column("profile_id", table), SCOPE.copy()))
    # One query per range and not one with OR: each walks its own stretch of the index, and is pruned to its months.
    asked = [
        exp.select(exp.column("profile_id", table))
        .from_(table, copy=False)
        .where(of_leaf.copy(), one, *(condition.copy() for condition in also), copy=False)
        for one in ranges
    ]
    if len(asked) == 1:
        return Compiled(expression=asked[0].distinct(copy=False), params=bind.params)
    either = exp.union(*asked, distinct=True, copy=False).subquery("edge", copy=False)
    query = exp.select(exp.column("profile_id", "edge")).from_(either, copy=False)
    return Compiled(expression=query, params=bind.params)


def edges(leaf: PositiveLeaf, person: Person) -> Iterator[datetime]:
    """The values of `as_of` from which on the verdict on this person may be another, in no order.

    Raises:
        NotImplementedError: part of the leaf looks at the clock without saying when its edges pass.
    """
    match leaf:
        case InSegment() | Score() | Bucket() | InList():
            return
        case Consented(purpose=purpose):
            if (until := person.permits.get(purpose)) is not None:
                yield until
        case Trait(trait=trait, comparison=comparison):
            value = person.traits.get(trait)
            readable = None if value is None else comparison.kind.of_trait(value)
            if readable is not None:
                yield from comparison.operator.edges(readable, comparison.stored.operand)
        case Performed():
            _refuse_clock_in(leaf)
            for event in person.events:
                # No filter looks at the clock, so any moment will do.
                if event.name == leaf.event and matches(leaf.where, event, event.occurred_at):
                    yield from leaf.within.edges(event.occurred_at)
        case _:
            raise NotImplementedError(f"{type(leaf).__name__} doesn't say when its edges pass")


def _refuse_clock_in(leaf: Performed) -> None:
    """Refuses what depends on the clock by more than the window of the events."""
    if leaf.measure == "periods" or leaf.amount.operator.looks_at_clock:
        raise NotImplementedError(f"{leaf.measure} with {leaf.amount.op} doesn't say when its edges pass")
    for one in leaf.where:
        _refuse_clock_in_filter(one)


def _refuse_clock_in_filter(one: Where) -> None:
    if not isinstance(one, Filter):
        for part in one.parts:
            _refuse_clock_in_filter(part)
    elif one.comparison.operator.compile_edges(exp.column("value"), one.comparison.operand, Binder()):
        raise NotImplementedError(f"a filter that looks at the clock ({one.comparison.op}) doesn't say when it changes")
