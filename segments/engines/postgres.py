"""Runs compiled rules on PostgreSQL: the one place where a rule meets real tables.

The meaning of a rule is in `segments.rules`; what is done with the answer is the caller's.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import QuerySet

from cdp.database import PLACEHOLDER, ask_prepared, bound_cursor, with_numbers
from segments.rules import (
    AHEAD,
    MOST_TOGETHER,
    Catalog,
    Compiled,
    PositiveLeaf,
    Rule,
    compile_counts,
    compile_leaf,
    compile_rule,
    compile_stretch,
    compile_together,
    place,
    stretches,
)
from segments.rules.binding import Span, Spanning, at_moment, over_span
from segments.rules.edges import Stretch
from segments.rules.sampling import one_by_one

TABLES = {
    "profile": "profiles_profile",
    "trait_value": "profiles_traitvalue",
    "event": "profiles_event",
    "event_total": "profiles_eventtotal",
    "membership": "segments_membership",
    "threshold": "segments_percentilethreshold",
    "score": "profiles_currentscore",
    "consent": "consent_consentstate",
    "stop": "consent_stopped",
    "list_entry": "segments_listentry",
}


# How many sets of leaves are kept compiled: batches ask for the same few again and again.
KEPT = 500
# For statements on few rows of many parts.
CHEAPLY = "SELECT set_config('max_parallel_workers_per_gather', '0', true), set_config('jit', 'off', true)"
# Up to so many answers, of a person on a leaf, it takes longer to plan their look-ups than to make them.
FEW = 1000


class Text(NamedTuple):
    """A printed query with its operands."""

    sql: str
    params: Mapping[str, Any]


class _Edges(NamedTuple):
    """The people of all stretches of records that some leaves look at, as one query."""

    parts: int
    sql: str
    names: tuple[str, ...]
    params: Mapping[str, Any]
    # By leaf, the numbers of its parts.
    of: Mapping[PositiveLeaf, Sequence[int]]


def _sql(compiled: Compiled) -> str:
    return compiled.sql("postgres", TABLES)


def count(rule: Rule, catalog: Catalog, *, as_of: datetime) -> int:
    """How many people the rule is true of."""
    compiled = compile_rule(rule, catalog, scoped=False)
    with bound_cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({_sql(compiled)}) AS matched", compiled.at(as_of))
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def people_of(rule: Rule, catalog: Catalog, *, as_of: datetime, is_laid_out: bool = False) -> Text:
    """The statement that finds the people of whom the rule is true: one column, `profile_id`. It isn't run.

    Args:
        is_laid_out: over several lines, for somebody to read.
    """
    compiled = compile_rule(rule, catalog, scoped=False)
    return Text(compiled.sql("postgres", TABLES, is_laid_out=is_laid_out), compiled.at(as_of))


def counts(rules: Sequence[Rule], catalog: Catalog, *, as_of: datetime) -> tuple[int, list[int]]:
    """How many people there are, and of how many each of the rules is true; one pass over them, so it all adds up."""
    compiled = compile_counts(rules, catalog)
    with bound_cursor() as cursor:
        cursor.execute(_sql(compiled), compiled.at(as_of))
        everybody, *each = cursor.fetchone() or (0,)
    return everybody, each


def sample(rule: Rule, catalog: Catalog, *, as_of: datetime, size: int, may_show: QuerySet[Any]) -> list[int]:
    """Ids of some of the people the rule is true of, the same ones each time.

    Args:
        may_show: one column, the ids of those who may be drawn. Asked together with the rule: of a draw made before,
            a rare permission might leave nobody.
    """
    return count_and_sample(rule, catalog, as_of=as_of, size=size, may_show=may_show)[1]


def count_and_sample(
    rule: Rule, catalog: Catalog, *, as_of: datetime, size: int, may_show: QuerySet[Any]
) -> tuple[int, list[int]]:
    """How many people the rule is true of, and a `sample` of them; they are looked for once."""
    compiled = compile_rule(rule, catalog, scoped=False)
    permitted, operands = as_subquery(may_show, "shown")
    with bound_cursor() as cursor:
        # A hash of the id spreads the sample over old and new people, and needs no chance.
        cursor.execute(
            f"WITH matched AS MATERIALIZED ({_sql(compiled)}) SELECT (SELECT count(*) FROM matched),"
            f" ARRAY(SELECT profile_id FROM matched WHERE profile_id IN ({permitted})"
            " ORDER BY hashint8(profile_id), profile_id LIMIT %(size)s)",
            {**compiled.at(as_of), **operands, "size": size},
        )
        found, ids = cursor.fetchone() or (0, [])
    return found, ids


def as_subquery(wanted: QuerySet[Any], name: str) -> Text:
    """A queryset as text for a statement of ours, its operands named after `name`."""
    sql, values = wanted.order_by().query.sql_with_params()
    names = [f"{name}_{number}" for number in range(len(values))]
    return Text(sql % tuple(f"%({one})s" for one in names), dict(zip(names, values, strict=True)))


def first_true(rule: Rule, catalog: Catalog, moments: Sequence[datetime]) -> Text:
    """Whom the rule is true of at one of the moments, ascending, with the first at which it is: `profile_id`, `at`."""
    compiled = compile_rule(rule, catalog, scoped=False)
    sql, parts = _sql(compiled), []
    operands: dict[str, Any] = {}
    for number, moment in enumerate(moments):
        mine = f"m{number}"
        text = PLACEHOLDER.sub(lambda found, mine=mine: f"%({mine}_{found[1]})s", sql)  # type: ignore[misc]
        parts.append(f"SELECT profile_id, %({mine})s::timestamptz AS at FROM ({text}) AS {mine}")
        operands |= {f"{mine}_{key}": value for key, value in compiled.at(moment).items()} | {mine: moment}
    return Text(
        f"SELECT profile_id, min(at) AS at FROM ({' UNION ALL '.join(parts)}) AS each GROUP BY profile_id", operands
    )


def among(rule: Rule, catalog: Catalog, *, as_of: datetime, scope: Iterable[int]) -> set[int]:
    """Those of the given people the rule is true of."""
    compiled = compile_rule(rule, catalog, scoped=True)
    with bound_cursor() as cursor:
        cursor.execute(_sql(compiled), {**compiled.at(as_of), "scope": sorted(scope)})
        return {row[0] for row in cursor.fetchall()}


def difference(rule: Rule, catalog: Catalog, *, segment_id: int, as_of: datetime) -> "array[int]":
    """Ids, in order, of the people whose membership disagrees with the rule: who would enter and who would leave.

    Read through a server-side cursor into eight bytes each, so that a first refresh of millions stays small.
    """
    compiled = compile_rule(rule, catalog, scoped=False)
    # One join, which more than one process may work at: nobody is in either side twice.
    query = (
        "SELECT coalesce(matched.profile_id, member.profile_id)"
        f"  FROM ({_sql(compiled)}) AS matched"
        "  FULL JOIN (SELECT profile_id FROM segments_membership WHERE segment_id = %(segment_id)s) AS member"
        "    ON member.profile_id = matched.profile_id"
        " WHERE matched.profile_id IS NULL OR member.profile_id IS NULL"
        " ORDER BY 1"
    )
    ids = array("q")
    with bound_cursor() as cursor:
        for row in cursor.stream(query, {**compiled.at(as_of), "segment_id": segment_id}, size=1000):
            ids.append(row[0])
    return ids


class LeafQueries:
    """Answers leaves for given people. Leaves that look at the same records are asked together, in one look at them."""

    def __init__(self, catalog: Catalog, leaves: Iterable[PositiveLeaf] = ()) -> None:
        """
        Args:
            leaves: those that will be asked again and again. Of few people all that look at the same records are asked,
                whichever are wanted: so the text is always the same, and has its plan already.
        """
        self._catalog = catalog
        self._regulars = {leaf: group for group in _by_place(dict.fromkeys(leaves)) for leaf in group}
        self._together: dict[tuple[tuple[PositiveLeaf, ...], bool], Text] = {}
        self._alone: dict[tuple[PositiveLeaf, bool], Text] = {}
        self._edges: dict[tuple[tuple[PositiveLeaf, ...], bool], _Edges] = {}
        self._stretches: dict[tuple[str, bool], Text | None] = {}

    def answer(
        self, wanted: Mapping[PositiveLeaf, Set[int]], *, as_of: datetime, nothing_else: bool = False
    ) -> dict[PositiveLeaf, set[int]]:
        """For each leaf, those of its people it is true of, and perhaps others it is true of as well.

        Args:
            nothing_else: ask no other leaf along with them: it is to be found out which of them fails.
        """
        answers: dict[PositiveLeaf, set[int]] = {leaf: set() for leaf in wanted}
        few = sum(map(len, wanted.values())) <= FEW
        groups = self._groups(wanted) if few and not nothing_else else _by_place(wanted)
        scopes = [set().union(*(wanted.get(leaf, ()) for leaf in group)) for group in groups]
        ask = _ask_few if few else _ask
        ahead: dict[PositiveLeaf, set[int]] = {}
        found = [[answers.get(leaf, set()) for leaf in group] for group in groups]
        for number, profile_id, holds in ask([self._text_together(group, few=few) for group in groups], scopes, as_of):
            if holds == AHEAD:
                for leaf in groups[number]:
                    if leaf in wanted:
                        ahead.setdefault(leaf, set()).add(profile_id)
                continue
            for bit, true_of in enumerate(found[number]):
                if holds >> bit & 1:
                    true_of.add(profile_id)
        each = list(ahead)
        for number, profile_id, _ in ask(
            [self._text_alone(leaf, few=few) for leaf in each], [ahead[leaf] for leaf in each], as_of
        ):
            answers[each[number]].add(profile_id)
        return answers

    def _groups(self, wanted: Iterable[PositiveLeaf]) -> list[tuple[PositiveLeaf, ...]]:
        regulars = dict.fromkeys(self._regulars[leaf] for leaf in wanted if leaf in self._regulars)
        return [*regulars, *_by_place(leaf for leaf in wanted if leaf not in self._regulars)]

    def touched(
        self,
        leaves: Iterable[PositiveLeaf],
        span: Span,
        *,
        scope: Set[int] | None = None,
    ) -> dict[PositiveLeaf, list["array[int]"]]:
        """For each leaf, the ids of the people whose verdict on it may change by time alone in the span.

        Of everybody, or of the people in ``scope``; all leaves in one statement. They come in arrays, each in order and
        one for each stretch of records: what several leaves look at is read once, into eight bytes for each of the people,
        so that a day made up for at once stays small.
        """
        asked = self._edges_together(tuple(leaves), is_scoped=scope is not None)
        parts = [array("q") for _ in range(asked.parts)]
        if parts:
            operands = {**over_span(asked.params, span), "scope": sorted(scope or ())}
            with bound_cursor(numbered=True) as cursor:
                # Many parts together look dear enough for helpers and for a compiler; starting those takes longer.
                cursor.execute(CHEAPLY)
                # Text of ours, made of rules' trees: what a user wrote is a parameter in it.
                for number, profile_id in cursor.stream(asked.sql, [operands[name] for name in asked.names], size=1000):
                    parts[number].append(profile_id)
        return {leaf: [parts[number] for number in numbers] for leaf, numbers in asked.of.items()}

    def have_edges(self, leaves: Iterable[PositiveLeaf]) -> bool:
        """Whether each of the leaves says when time changes it, or that it never does."""
        try:
            for leaf in leaves:
                stretches(leaf)
        except NotImplementedError:
            return False
        return True

    def _edges_together(self, leaves: tuple[PositiveLeaf, ...], *, is_scoped: bool) -> "_Edges":
        key = leaves, is_scoped
        if key not in self._edges:
            if len(self._edges) > KEPT:
                self._edges.clear()
            self._edges[key] = self._compiled_edges(leaves, is_scoped=is_scoped)
        return self._edges[key]

    def _compiled_edges(self, leaves: tuple[PositiveLeaf, ...], *, is_scoped: bool) -> "_Edges":
        parts: dict[str, int | None] = {}
        selects: list[str] = []
        params: dict[str, Any] = {}
        ends: dict[Any, str] = {}
        of: dict[PositiveLeaf, list[int]] = {}
        for leaf in leaves:
            for where, stretch in stretches(leaf).items():
                if where in parts:
                    continue
                text = self._text_of_stretch(stretch, where, is_scoped=is_scoped)
                parts[where] = len(selects) if text else None
                if text is None:
                    continue
                names = {"scope": "scope", "t1": "t1", "t2": "t2"}
                for name, operand in text.params.items():
                    own = f"e{len(selects)}_{name}"
                    # Windows of one length share their ends: a statement has 65,535 operands at most.
                    names[name] = ends.setdefault(operand, own) if isinstance(operand, Spanning) else own
                    params[names[name]] = operand
                renamed = _renamed(text.sql, names)
                selects.append(f"SELECT {len(selects)} AS part, profile_id FROM ({renamed}) AS part_{len(selects)}")
            numbers = (parts[where] for where in stretches(leaf))
            of[leaf] = [number for number in numbers if number is not None]
        sql = f"SELECT DISTINCT part, profile_id FROM ({' UNION ALL '.join(selects)}) AS edge ORDER BY 1, 2"
        return _Edges(len(selects), *with_numbers(sql), params, of)

    def _text_of_stretch(self, stretch: Stretch, where: str, *, is_scoped: bool) -> Text | None:
        key = where, is_scoped
        if key not in self._stretches:
            if len(self._stretches) > KEPT:
                self._stretches.clear()
            compiled = compile_stretch(stretch, self._catalog, scoped=is_scoped)
            self._stretches[key] = None if compiled is None else Text(_sql(compiled), compiled.params)
        return self._stretches[key]

    def _text_together(self, group: tuple[PositiveLeaf, ...], *, few: bool) -> Text:
        # Kept in hand, since another thread may empty what is kept.
        text = self._together.get((group, few))
        if text is None:
            if len(self._together) > KEPT:
                self._together.clear()
            text = self._together[group, few] = _text(compile_together(group, self._catalog), few=few)
        return text

    def _text_alone(self, leaf: PositiveLeaf, *, few: bool) -> Text:
        text = self._alone.get((leaf, few))
        if text is None:
            alone = _text(compile_leaf(leaf, self._catalog, scoped=True), few=few)
            text = Text(f"SELECT profile_id, 1 AS holds FROM ({alone.sql}) AS alone", alone.params)
            self._alone[leaf, few] = text
        return text


def _text(compiled: Compiled, *, few: bool) -> Text:
    expression = one_by_one(compiled.expression) if few else compiled.expression
    return Text(_sql(Compiled(expression=expression, params=compiled.params)), compiled.params)


def _by_place(leaves: Iterable[PositiveLeaf]) -> list[tuple[PositiveLeaf, ...]]:
    places: dict[str, list[PositiveLeaf]] = {}
    for leaf in leaves:
        places.setdefault(place(leaf), []).append(leaf)
    return [
        tuple(there[start : start + MOST_TOGETHER])
        for there in places.values()
        for start in range(0, len(there), MOST_TOGETHER)
    ]


def _ask(texts: Sequence[Text], scopes: Sequence[Set[int]], as_of: datetime) -> list[tuple[int, int, int]]:
    """(number of the text, profile id, what holds) for all texts, in one round trip."""
    if not texts:
        return []
    parts: list[str] = []
    params: dict[str, Any] = {"as_of": as_of}
    named: dict[frozenset[int], str] = {}
    for number, (text, scope) in enumerate(zip(texts, scopes, strict=True)):
        people = frozenset(scope)
        if people not in named:
            named[people] = f"scope_{len(named)}"
            params[named[people]] = sorted(people)
        names = {name: f"t{number}_{name}" for name in text.params} | {"scope": named[people], "as_of": "as_of"}
        params |= {names[name]: operand for name, operand in at_moment(text.params, as_of).items()}
        renamed = _renamed(text.sql, names)
        parts.append(f"SELECT {number} AS part, profile_id, holds FROM ({renamed}) AS part_{number}")
    with bound_cursor() as cursor:
        # All parts together look dear enough for helpers; starting those takes longer than the few people do.
        cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        cursor.execute(" UNION ALL ".join(parts), params)
        return cursor.fetchall()


def _ask_few(texts: Sequence[Text], scopes: Sequence[Set[int]], as_of: datetime) -> list[tuple[int, int, int]]:
    """The same, by plans that are made once."""
    if not texts:
        return []
    rows = ask_prepared(
        [
            (text.sql, {**at_moment(text.params, as_of), "scope": sorted(scope)})
            for text, scope in zip(texts, scopes, strict=True)
        ]
    )
    return [(number, *row) for number, part in enumerate(rows) for row in part]


def _renamed(sql: str, names: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: f"%({names[match[1]]})s", sql)
