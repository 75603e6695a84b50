"""Leaves that set events beside each other: sequences, figures compared with each other, several figures in one look.

How single events are found is the compiler's.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from segments.rules import dialects
from segments.rules.binding import AS_OF, SCOPE, before, is_one_of
from segments.rules.comparisons import Where
from segments.rules.compiled import logical
from segments.rules.fusing import Fused, Narrowed, in_one_look, is_total, same_filters
from segments.rules.kinds import SCALARS
from segments.rules.measures import MeasuredSql
from segments.rules.nodes import (
    Compared,
    Performed,
    Sequence,
    Step,
)

if TYPE_CHECKING:
    from segments.rules.compile import Compiler


def comparison(compiler: "Compiler", leaf: Compared) -> exp.Select:
    """Both sides by person, joined so that who has only one of them is among them."""
    if (shared := in_one_look(leaf)) is not None:
        return one_look(compiler, shared)
    found = _joined(compiler, leaf, "left" if _needs_left(leaf) else "full")
    return found.where(_of_sides(compiler, leaf), copy=False)


def comparisons(compiler: "Compiler", leaves: Collection[Compared]) -> tuple[exp.Select, list[exp.Expr]]:
    """Comparisons of the same two figures: the figures, read once, and what each comparison says of them."""
    one = next(iter(leaves))
    if (shared := in_one_look(one)) is not None:
        read = replace(shared.read, where=shared.common)
        conditions = [_told_by_events(compiler, leaf, read, shared.common) for leaf in leaves]
        return compiler.events(read), conditions
    return _joined(compiler, one, "full"), [_of_sides(compiler, leaf) for leaf in leaves]


def _joined(compiler: "Compiler", leaf: Compared, how: str) -> exp.Select:
    left, right = _side(compiler, leaf.left, "left_side"), _side(compiler, leaf.right, "right_side")
    person = exp.func("COALESCE", exp.column("profile_id", "left_side"), exp.column("profile_id", "right_side"))
    found = exp.select(exp.alias_(person, "profile_id")).from_(left, copy=False)
    return found.join(right, on=_partners(), join_type=how, copy=False)


def narrowed(compiler: "Compiler", leaf: Narrowed) -> exp.Select:
    """The people of one side of whom its condition is true, beside what they have of the other."""
    compared = leaf.compared
    ours, theirs = (compared.left, "left_side"), (compared.right, "right_side")
    narrow, other = (ours, theirs) if leaf.by_left else (theirs, ours)
    first, second = _side(compiler, *narrow, must=leaf.must), _total_of_each(compiler, *other)
    found = exp.select(exp.column("profile_id", first.alias)).from_(first, copy=False)
    found.join(second, on=_partners(), join_type="left", copy=False)
    holds = _of_sides(compiler, compared)
    return found.where(holds if leaf.is_wanted else _is_not_true(holds), copy=False)


def _partners() -> exp.Expr:
    return exp.EQ(this=exp.column("profile_id", "left_side"), expression=exp.column("profile_id", "right_side"))


def _is_not_true(condition: exp.Expr) -> exp.Expr:
    return exp.Not(this=exp.Paren(this=exp.Is(this=exp.Paren(this=condition), expression=exp.true())))


def _of_sides(compiler: "Compiler", leaf: Compared) -> exp.Expr:
    return _compared(
        compiler,
        leaf,
        _side_value(leaf.left, "left_side"),
        _side_factor(leaf.left, "left_side"),
        _side_value(leaf.right, "right_side"),
        _side_factor(leaf.right, "right_side"),
    )


def _needs_left(leaf: Compared) -> bool:
    """Whether it is false of everybody without any event of the left side: more than what is never negative is more than 0."""
    return leaf.op == "gt" and leaf.right.computed.is_whole


def _side(compiler: "Compiler", side: Performed, alias: str, *, must: Performed | None = None) -> exp.Subquery:
    """What is measured, by person; of totals only where ``must``, another condition on them, is true."""
    total = side.computed.from_total() if is_total(side) else None
    if total is not None:
        from_totals, from_events = compiler.parts_of_ever(side)
        from_totals.select(exp.alias_(total, "measured"), copy=False)
        _with_measured(compiler, side, from_events)
        if must is not None:
            from_totals.where(_told_by_total(compiler, must), copy=False)
            from_events.having(compiler.compared(must, must.computed.sql(must, None, compiler.bind)), copy=False)
        both = exp.union(from_totals, from_events, distinct=False, copy=False)
        return both.subquery(alias, copy=False)
    return _with_measured(compiler, side, compiler.events(side)).subquery(alias, copy=False)


def _total_of_each(compiler: "Compiler", side: Performed, alias: str) -> exp.Subquery:
    """What is measured for all time, by person, as one record of each: so that a few people can be looked up in it."""
    total, name = side.computed.from_total(), exp.Literal.number(int(compiler.catalog.events[side.event].id))
    assert total is not None, "see Narrowed"
    profile_id, moment = exp.column("profile_id", "event_total"), exp.column("occurred_at", "event")
    events = exp.select(side.computed.sql(side, None, compiler.bind).value).from_(logical("event"), copy=False)
    events.where(
        exp.EQ(this=exp.column("profile_id", "event"), expression=profile_id.copy()),
        exp.EQ(this=exp.column("name_id", "event"), expression=name.copy()),
        side.within.compile(moment, compiler.bind),
        copy=False,
    )
    happened = exp.LT(this=exp.column("last_at", "event_total"), expression=AS_OF.copy())
    measured = exp.Case(ifs=[exp.If(this=happened, true=total)], default=events.subquery(copy=False))
    totals = exp.select(profile_id, exp.alias_(measured, "measured")).from_(logical("event_total"), copy=False)
    return totals.where(exp.EQ(this=exp.column("name_id", "event_total"), expression=name), copy=False).subquery(alias)


def _with_measured(compiler: "Compiler", side: Performed, events: exp.Select) -> exp.Select:
    measured = side.computed.sql(side, None, compiler.bind)
    events.select(exp.alias_(measured.value, "measured"), copy=False)
    if measured.times is not None:
        events.select(exp.alias_(measured.times, "factor"), copy=False)
    return events


def one_look(compiler: "Compiler", leaf: Fused) -> exp.Select:
    """Conditions on the events of one name, asked in one look at them."""
    read = leaf.read if leaf.from_totals else replace(leaf.read, where=leaf.common)

    def holds(one: Performed | Compared, *, is_wanted: bool, total: bool) -> exp.Expr:
        found = _told_by_total(compiler, one) if total else _told_by_events(compiler, one, read, leaf.common)
        return found if is_wanted else _is_not_true(found)

    if not leaf.from_totals:
        conditions = [holds(one, is_wanted=wanted, total=False) for one, wanted in leaf.parts]
        return compiler.events(read).having(*conditions, copy=False)
    from_totals, from_events = compiler.parts_of_ever(read)
    from_totals.where(*(holds(one, is_wanted=wanted, total=True) for one, wanted in leaf.parts), copy=False)
    from_events.having(*(holds(one, is_wanted=wanted, total=False) for one, wanted in leaf.parts), copy=False)
    both = exp.union(from_totals, from_events, distinct=False, copy=False).subquery("either", copy=False)
    return exp.select(exp.column("profile_id", "either")).from_(both, copy=False)


def _told_by_total(compiler: "Compiler", leaf: Performed | Compared) -> exp.Expr:
    """The verdict of a leaf on a person of whom no such event is dated ahead."""
    assert isinstance(leaf, Performed), "see Fused"
    total = leaf.computed.from_total() if is_total(leaf) else None
    if total is not None:
        return compiler.compared(leaf, MeasuredSql(value=total))
    # One event of late is enough, and the last one is the latest.
    return leaf.within.compile(exp.column("last_at", "event_total"), compiler.bind)


def _told_by_events(
    compiler: "Compiler", leaf: Performed | Compared, read: Performed, common: tuple[Where, ...]
) -> exp.Expr:
    """The verdict of a leaf on the events of a person that ``read`` looks at."""

    def measured(figure: Performed) -> MeasuredSql:
        narrower = (
            ()
            if figure.within == read.within
            else (figure.within.compile(exp.column("occurred_at", "event"), compiler.bind),)
        )
        own = () if same_filters(figure.where, common) else compiler.filters(figure.where, "event")
        only = exp.and_(*narrower, *own, copy=False) if narrower or own else None
        return figure.computed.sql(figure, only, compiler.bind)

    if isinstance(leaf, Performed):
        return compiler.compared(leaf, measured(leaf))
    left, right = measured(leaf.left), measured(leaf.right)
    return _compared(compiler, leaf, left.value, left.times, right.value, right.times)


def _compared(
    compiler: "Compiler",
    leaf: Compared,
    left: exp.Expr,
    left_factor: exp.Expr | None,
    right: exp.Expr,
    right_factor: exp.Expr | None,
) -> exp.Expr:
    ours, theirs = _times(left, right_factor), _times(right, left_factor)
    if leaf.times != 1:
        theirs = _times(theirs, compiler.bind(leaf.times))
    return leaf.operator.compile(ours, None, lambda _: theirs)


def sequence(compiler: "Compiler", leaf: Sequence) -> exp.Select:
    """The people in whose events the steps are found one after the other: a join of the events with themselves."""
    first, *others = leaf.steps
    person = exp.column("profile_id", "step_0")
    scope = (is_one_of(person.copy(), SCOPE.copy()),) if compiler.scoped else ()
    found = exp.select(person).distinct(copy=False).from_(_aliased("step_0"), copy=False)
    found.where(
        *_step(compiler, first, "step_0"),
        leaf.within.compile(exp.column("occurred_at", "step_0"), compiler.bind),
        *scope,
        *(_has(compiler, leaf.same, "step_0") if leaf.same else ()),
        copy=False,
    )
    last = "step_0"
    for number, step in enumerate(others, start=1):
        this = f"step_{number}"
        found.join(_aliased(this), on=exp.and_(*_follows(compiler, leaf, step, this, last), copy=False), copy=False)
        last = this
    if leaf.missing is not None and leaf.missing.within is not None:
        moment = exp.column("occurred_at", last)
        # The moment stands alone, so that an index by time is read no further.
        time_is_over = exp.LTE(this=moment, expression=compiler.bind(before(leaf.missing.within.seconds)))
        did = exp.select(exp.Literal.number(1)).from_(_aliased("missing"), copy=False)
        did.where(*_follows(compiler, leaf, leaf.missing, "missing", last), copy=False)
        found.where(time_is_over, exp.Not(this=exp.Exists(this=did)), copy=False)
    return found


def _step(compiler: "Compiler", step: Step, alias: str) -> list[exp.Expr]:
    return [
        exp.EQ(
            this=exp.column("name_id", alias),
            expression=exp.Literal.number(int(compiler.catalog.events[step.event].id)),
        ),
        exp.LT(this=exp.column("occurred_at", alias), expression=AS_OF.copy()),
        *compiler.filters(step.where, alias),
    ]


def _follows(compiler: "Compiler", leaf: Sequence, step: Step, this: str, last: str) -> list[exp.Expr]:
    """That the event `this` is the step, and comes after the event `last` and in time."""
    now, then = (exp.column("occurred_at", alias) for alias in (this, last))
    message, other = (dialects.ByBytes(this=exp.column("message_id", alias)) for alias in (this, last))
    at_once = exp.and_(
        exp.EQ(this=now.copy(), expression=then.copy()), exp.GT(this=message, expression=other), copy=False
    )
    conditions = [
        exp.EQ(this=exp.column("profile_id", this), expression=exp.column("profile_id", last)),
        *_step(compiler, step, this),
        # Said by itself too, so that an index by time can be used.
        exp.GTE(this=now.copy(), expression=then.copy()),
        exp.Paren(this=exp.or_(exp.GT(this=now.copy(), expression=then.copy()), at_once, copy=False)),
    ]
    if step.within is not None:
        conditions.append(exp.LT(this=now.copy(), expression=_later(then, step.within.seconds)))
    # It follows from the rest, but a planner doesn't see it, and would look into months that are long past.
    if (begins := leaf.within.begins(compiler.bind)) is not None:
        conditions.append(exp.GTE(this=now.copy(), expression=begins))
    return conditions + (_same(compiler, leaf.same, this, last) if leaf.same else [])


def _has(compiler: "Compiler", name: str, alias: str) -> list[exp.Expr]:
    """That the property has a value by which events can be the same. A planner takes `x = x` for something rare."""
    values = (kind.property_sql(exp.column("properties", alias), compiler.bind(name)) for kind in SCALARS)
    has = (exp.Not(this=exp.Paren(this=exp.Is(this=value, expression=exp.null()))) for value in values)
    return [exp.Paren(this=exp.or_(*has, copy=False))]


def _same(compiler: "Compiler", name: str, one: str, other: str) -> list[exp.Expr]:
    values = [
        [kind.property_sql(exp.column("properties", alias), compiler.bind(name)) for alias in (one, other)]
        for kind in SCALARS
    ]
    return [exp.Paren(this=exp.or_(*(exp.EQ(this=here, expression=there) for here, there in values), copy=False))]


def _side_value(side: Performed, alias: str) -> exp.Expr:
    value: exp.Expr = exp.column("measured", alias)
    if side.computed.over_nothing is None:
        return value
    return exp.func("COALESCE", value, exp.Literal.number(0))


def _side_factor(side: Performed, alias: str) -> exp.Expr | None:
    return exp.column("factor", alias) if side.measure == "average" else None


def _times(value: exp.Expr, factor: exp.Expr | None) -> exp.Expr:
    # A figure may be a sum of several, of which all are meant.
    return value if factor is None else exp.Mul(this=exp.Paren(this=value), expression=factor)


def _aliased(alias: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier("event"), alias=exp.TableAlias(this=exp.to_identifier(alias)))


def _later(moment: exp.Expr, seconds: int) -> exp.Expr:
    length = exp.Interval(this=exp.Literal.string(str(seconds)), unit=exp.Var(this="SECOND"))
    return exp.Add(this=moment.copy(), expression=length)
