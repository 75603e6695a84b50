"""When time alone changes a verdict: for each positive leaf, whose verdict may change between two moments.

Each leaf says once on which records of a person which clocks run (`sources`). From that follow `compile_edges`, which asks
the records of everybody, by one range of an index per clock, and `edges`, which asks one person's, for the reference engine:
they name the same people because they read the same description. Both give candidates: whether a verdict did change is for
whoever evaluates the rule. What is not described is refused here. Running the query doesn't belong here.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from heapq import nsmallest
from typing import Final

from sqlglot import exp

from segments.rules.binding import SCOPE, Bind, Binder, Span, is_one_of
from segments.rules.catalog import Catalog
from segments.rules.check import check
from segments.rules.clocks import Clock, Passing
from segments.rules.comparisons import Filter, Where
from segments.rules.compiled import Compiled, logical
from segments.rules.errors import RuleErrors
from segments.rules.evaluate import Person, matches
from segments.rules.filters import compile_filters
from segments.rules.nodes import (
    Bucket,
    Compared,
    Consented,
    InList,
    InSegment,
    Performed,
    PositiveLeaf,
    Ranked,
    Score,
    Sequence,
    Trait,
)
from segments.rules.standing import ends_of_grants

# To look further ahead would tell nothing more: in ten years each day of the calendar has come round, leap days too.
FURTHEST: Final = timedelta(days=3653)
# The last day that every time zone has.
LAST: Final = datetime(9999, 12, 31, tzinfo=UTC)


# ---- On which records which clocks run ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Records in SQL: a table, what is true of those that are meant, and their moment."""

    table: str
    moment: exp.Expr
    conditions: tuple[exp.Expr, ...]


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """Records that are dated, and the clocks that run on their moments."""

    clocks: tuple[Clock, ...]

    @abstractmethod
    def moments(self, person: Person) -> Iterator[datetime]:
        """The moments of the person's records."""

    @abstractmethod
    def rows(self, catalog: Catalog, bind: Bind) -> Rows | None:
        """The records of everybody; None where by the catalogue there is none whose moment counts."""

    @abstractmethod
    def canonical(self) -> list[object]:
        """JSON that is equal for equal records."""


@dataclass(frozen=True, kw_only=True)
class Events(Source):
    """Events of a name of which the filters hold."""

    event: str
    where: tuple[Where, ...] = ()

    def __post_init__(self) -> None:
        _refuse_clocks_in(self.where)

    def moments(self, person: Person) -> Iterator[datetime]:
        for event in person.events:
            # No filter looks at the clock, so any moment will do.
            if event.name == self.event and matches(self.where, event, event.occurred_at):
                yield event.occurred_at

    def rows(self, catalog: Catalog, bind: Bind) -> Rows:
        name = _is("event", "name_id", catalog.events[self.event].id)
        filters = compile_filters(self.where, "event", bind)
        return Rows(table="event", moment=exp.column("occurred_at", "event"), conditions=(name, *filters))

    def canonical(self) -> list[object]:
        return ["event", self.event, sorted((one.canonical() for one in self.where), key=json.dumps)]


@dataclass(frozen=True, kw_only=True)
class Dates(Source):
    """The values of a trait that can be read as moments."""

    trait: Trait

    def moments(self, person: Person) -> Iterator[datetime]:
        value = person.traits.get(self.trait.trait)
        readable = None if value is None else self.trait.comparison.kind.of_trait(value)
        if isinstance(readable, datetime):
            yield readable

    def rows(self, catalog: Catalog, bind: Bind) -> Rows:
        moment = self.trait.comparison.kind.trait_sql("trait_value")
        name = _is("trait_value", "trait_id", catalog.traits[self.trait.trait].id)
        return Rows(table="trait_value", moment=moment, conditions=(name,))

    def canonical(self) -> list[object]:
        return ["trait", self.trait.trait, self.trait.comparison.kind.name]


@dataclass(frozen=True, kw_only=True)
class Grants(Source):
    """Grants of a purpose that end by themselves, at the moment of their end."""

    purpose: str

    def moments(self, person: Person) -> Iterator[datetime]:
        if (until := person.permits.get(self.purpose)) is not None:
            yield until

    def rows(self, catalog: Catalog, bind: Bind) -> Rows | None:
        found = ends_of_grants(catalog, self.purpose)
        return None if found is None else Rows(table="consent", moment=found[0], conditions=found[1:])

    def canonical(self) -> list[object]:
        return ["grants", self.purpose]


# Asked for each of the people in a sweep, and worked out from the leaf alone. What is refused isn't kept.
@lru_cache(maxsize=1000)
def sources(leaf: PositiveLeaf) -> tuple[Source, ...]:
    """All records by which time alone may change the verdict on the leaf, with their clocks. None: it never does.

    Raises:
        NotImplementedError: part of the leaf looks at the clock without saying when its edges pass.
    """
    match leaf:
        case Trait():
            comparison = leaf.comparison.stored
            clocks = comparison.operator.clocks(comparison.operand)
            return (Dates(trait=leaf, clocks=clocks),) if clocks else ()
        case Performed():
            counted = Events(event=leaf.event, where=leaf.where, clocks=leaf.computed.clocks(leaf))
            if leaf.within.since is None:
                return (counted,)
            # The later anchor begins the window anew; whatever happened between the two is no longer in it.
            return counted, Events(event=leaf.within.since, clocks=(Passing(),))
        case Compared(left=left, right=right):
            return *sources(left), *sources(right)
        case Sequence():
            return _of_sequence(leaf)
        case Ranked(figure=figure):
            # Where it stands changes when its figure does; a threshold doesn't move by itself.
            return sources(figure)
        case Consented(purpose=purpose):
            return (Grants(purpose=purpose, clocks=(Passing(at_once=True),)),)
        case InSegment() | Score() | Bucket() | InList():
            # When one of them changes, whoever changes it has the rules that read it evaluated.
            return ()
        # A condition on what never goes out of date (a score, a list, a draw) has none either: `return ()`. What expires has
        # a source of its own, with the day on which it does and `Passing(at_once=True)`.
        case _:
            raise NotImplementedError(f"{type(leaf).__name__} doesn't say when its edges pass")


def _of_sequence(leaf: Sequence) -> tuple[Source, ...]:
    """The first step comes into its window and goes out of it; the last one completes the sequence.

    Steps between them have happened once the last one has, so nothing changes when they do. Nor does it when what must be
    missing happens: until the time for it is over the sequence isn't true, and by then it has happened or never will in time.
    """
    first, last, missing = leaf.steps[0], leaf.steps[-1], leaf.missing
    _refuse_clocks_in(one for step in (*leaf.steps, *((missing,) if missing else ())) for one in step.where)
    if missing is None or missing.within is None:
        completes = Passing()
    else:
        completes = Passing(missing.within.seconds, at_once=True)
    return (
        Events(event=first.event, where=first.where, clocks=leaf.within.clocks()),
        Events(event=last.event, where=last.where, clocks=(completes,)),
    )


def _refuse_clocks_in(where: Iterable[Where]) -> None:
    """Events are judged as they are: a filter that looked at the clock would need edges of its own."""
    for one in where:
        if not isinstance(one, Filter):
            _refuse_clocks_in(one.parts)
        elif one.comparison.operator.clocks(one.comparison.operand):
            raise NotImplementedError(
                f"a filter looks at the clock ({one.comparison.op}) without saying when it changes"
            )


# ---- Whose verdict may change --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Records on which one clock runs: those that it passes in a span of time are one range of an index."""

    source: Source
    clock: Clock

    def compile(self, catalog: Catalog, bind: Bind, *, scoped: bool) -> exp.Select | None:
        """The people, all or those among `scope`, of whom such records are passed in a span of time; some more than once.

        None where by the catalogue there is no record whose moment counts.
        """
        rows = self.source.rows(catalog, bind)
        if rows is None:
            return None
        profile_id = exp.column("profile_id", rows.table)
        scope = (is_one_of(profile_id.copy(), SCOPE.copy()),) if scoped else ()
        found = exp.select(profile_id.copy()).from_(logical(rows.table), copy=False)
        return found.where(self.clock.compile(rows.moment, bind), *rows.conditions, *scope, copy=False)


# Asked for each leaf in every sweep.
@lru_cache(maxsize=1000)
def stretches(leaf: PositiveLeaf) -> Mapping[str, Stretch]:
    """What of the records of people time may pass so that the verdict on the leaf changes, by a text equal for equal ones.

    None: time alone never changes it.

    Raises:
        NotImplementedError: part of the leaf looks at the clock without saying when its edges pass.
    """
    return {
        json.dumps([source.canonical(), clock.canonical()]): Stretch(source=source, clock=clock)
        for source in sources(leaf)
        for clock in source.clocks
    }


def compile_stretch(stretch: Stretch, catalog: Catalog, *, scoped: bool) -> Compiled | None:
    """`Stretch.compile` by itself. The operands are given by `Compiled.over`; the rows come in no order, with repetition."""
    bind = Binder()
    query = stretch.compile(catalog, bind, scoped=scoped)
    return None if query is None else Compiled(expression=query, params=bind.params)


def compile_edges(leaf: PositiveLeaf, catalog: Catalog, *, scoped: bool) -> Compiled | None:
    """The people, all or those among `scope`, whose verdict on the leaf may change by time alone in a span of time.

    None when time alone never changes it. The operands are given by `Compiled.over`.

    Raises:
        RuleErrors: the leaf doesn't fit the catalogue (any more).
        NotImplementedError: part of it looks at the clock without saying when its edges pass.
    """
    if errors := check(leaf, catalog):
        raise RuleErrors(errors)
    bind = Binder()
    # One query per clock and not one with OR: each walks its own stretch of an index, and is pruned to its months.
    each = (one.compile(catalog, bind, scoped=scoped) for one in stretches(leaf).values())
    asked = [one for one in each if one is not None]
    if not asked:
        return None
    if len(asked) == 1:
        return Compiled(expression=asked[0].distinct(copy=False), params=bind.params)
    either = exp.union(*asked, distinct=True, copy=False).subquery("edge", copy=False)
    query = exp.select(exp.column("profile_id", "edge")).from_(either, copy=False)
    return Compiled(expression=query, params=bind.params)


def edges(leaf: PositiveLeaf, person: Person, span: Span) -> Iterator[datetime]:
    """The values of `as_of` in the span from which on the verdict on this person may be another, in UTC, in no order.

    Raises:
        NotImplementedError: part of the leaf looks at the clock without saying when its edges pass.
    """
    for source in sources(leaf):
        clocks = tuple(dict.fromkeys(source.clocks))
        for moment in source.moments(person):
            for clock in clocks:
                yield from clock.edges(moment, span)


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """The edges that lie ahead, in order and in UTC; all of them before ``until``, or all there will ever be."""

    moments: tuple[datetime, ...]
    until: datetime | None


def edges_ahead(leaves: Iterable[PositiveLeaf], person: Person, *, as_of: datetime, most: int) -> Ahead:
    """The first edges after `as_of` of any of the leaves, at most so many.

    Where something comes round every year, it is looked no further ahead than `FURTHEST`.

    Raises:
        NotImplementedError: part of a leaf looks at the clock without saying when its edges pass.
    """
    leaves = tuple(leaves)
    comes_round = any(
        clock.recurs
        for leaf in leaves
        for source in sources(leaf)
        if any(True for _ in source.moments(person))
        for clock in source.clocks
    )
    until = min(as_of.astimezone(UTC) + FURTHEST, LAST) if comes_round else LAST
    span = Span(after=as_of, until=until, zone=as_of.tzinfo)
    found = nsmallest(most + 1, {at for leaf in leaves for at in edges(leaf, person, span)})
    if len(found) > most:
        return Ahead(moments=tuple(found[:most]), until=found[most])
    return Ahead(moments=tuple(found), until=until if comes_round else None)


def _is(table: str, column: str, row_id: int) -> exp.Expr:
    return exp.EQ(this=exp.column(column, table), expression=exp.Literal.number(int(row_id)))
