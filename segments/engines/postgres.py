"""Runs compiled rules on PostgreSQL: the one place where a rule meets real tables.

The meaning of a rule is in `segments.rules`; what is done with the answer is the caller's.
"""

import re
from array import array
from collections.abc import Iterable, Mapping, Set
from datetime import datetime
from typing import Any

from cdp.database import bound_cursor
from segments.rules import Catalog, Compiled, InSegment, Leaf, Performed, Rule, Trait, compile_leaf, compile_rule

TABLES = {
    "profile": "profiles_profile",
    "trait_value": "profiles_traitvalue",
    "event": "profiles_event",
    "event_total": "profiles_eventtotal",
    "membership": "segments_membership",
}
PLACEHOLDER = re.compile(r"%\((\w+)\)s")


def _sql(compiled: Compiled) -> str:
    return compiled.sql("postgres", TABLES)


def count(rule: Rule, catalog: Catalog, *, as_of: datetime) -> int:
    """How many people the rule is true of."""
    compiled = compile_rule(rule, catalog, scoped=False)
    with bound_cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({_sql(compiled)}) AS matched", {**compiled.params, "as_of": as_of})
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def sample(rule: Rule, catalog: Catalog, *, as_of: datetime, size: int) -> list[int]:
    """Ids of some of the people the rule is true of, the same ones each time."""
    compiled = compile_rule(rule, catalog, scoped=False)
    with bound_cursor() as cursor:
        # A hash of the id spreads the sample over old and new people, and needs no chance.
        cursor.execute(
            f"SELECT profile_id FROM ({_sql(compiled)}) AS matched ORDER BY hashint8(profile_id), profile_id LIMIT %(size)s",
            {**compiled.params, "as_of": as_of, "size": size},
        )
        return [row[0] for row in cursor.fetchall()]


def among(rule: Rule, catalog: Catalog, *, as_of: datetime, scope: Iterable[int]) -> set[int]:
    """Those of the given people the rule is true of."""
    compiled = compile_rule(rule, catalog, scoped=True)
    with bound_cursor() as cursor:
        cursor.execute(_sql(compiled), {**compiled.params, "as_of": as_of, "scope": sorted(scope)})
        return {row[0] for row in cursor.fetchall()}


def difference(rule: Rule, catalog: Catalog, *, segment_id: int, as_of: datetime) -> "array[int]":
    """Ids, in order, of the people whose membership disagrees with the rule: who would enter and who would leave.

    Read through a server-side cursor into eight bytes each, so that a first refresh of millions stays small.
    """
    compiled = compile_rule(rule, catalog, scoped=False)
    members = "SELECT profile_id FROM segments_membership WHERE segment_id = %(segment_id)s"
    query = (
        f"WITH matched AS MATERIALIZED ({_sql(compiled)}), member AS MATERIALIZED ({members})"
        " SELECT profile_id FROM (SELECT profile_id FROM matched EXCEPT SELECT profile_id FROM member) AS enters"
        " UNION ALL SELECT profile_id FROM (SELECT profile_id FROM member EXCEPT SELECT profile_id FROM matched) AS leaves"
        " ORDER BY 1"
    )
    ids = array("q")
    with bound_cursor() as cursor:
        for row in cursor.stream(query, {**compiled.params, "as_of": as_of, "segment_id": segment_id}, size=1000):
            ids.append(row[0])
    return ids


class LeafQueries:
    """Compiled leaves, kept by what they say; one statement answers any number of them."""

    def __init__(self) -> None:
        self._texts: dict[tuple[Leaf, bool], tuple[str, Mapping[str, Any]]] = {}

    def add(self, leaf: Trait | Performed | InSegment, catalog: Catalog) -> None:
        for settled in (False, True):
            if (leaf, settled) not in self._texts:
                compiled = compile_leaf(leaf, catalog, scoped=True, settled=settled)
                self._texts[leaf, settled] = _sql(compiled), compiled.params

    def answer(self, wanted: Mapping[Leaf, Set[int]], *, as_of: datetime) -> dict[Leaf, set[int]]:
        """For each leaf, those of its people it is true of; all leaves in one round trip."""
        answers: dict[Leaf, set[int]] = {leaf: set() for leaf in wanted}
        if not wanted:
            return answers
        settled = _nothing_ahead(set().union(*wanted.values()), as_of)
        parts: list[str] = []
        params: dict[str, Any] = {"as_of": as_of}
        scopes: dict[int, str] = {}
        order = list(wanted)
        for number, leaf in enumerate(order):
            text, operands = self._texts[leaf, settled]
            scope = wanted[leaf]
            if id(scope) not in scopes:
                scopes[id(scope)] = f"scope_{len(scopes)}"
                params[scopes[id(scope)]] = sorted(scope)
            names = {name: f"l{number}_{name}" for name in operands} | {"scope": scopes[id(scope)], "as_of": "as_of"}
            params |= {names[name]: operand for name, operand in operands.items()}
            renamed = PLACEHOLDER.sub(lambda match, names=names: f"%({names[match[1]]})s", text)  # type: ignore[misc]
            parts.append(f"SELECT {number} AS leaf, profile_id FROM ({renamed}) AS leaf_{number}")
        with bound_cursor() as cursor:
            cursor.execute(" UNION ALL ".join(parts), params)
            for number, profile_id in cursor.fetchall():
                answers[order[number]].add(profile_id)
        return answers


def _nothing_ahead(people: Set[int], as_of: datetime) -> bool:
    """Whether none of the people has an event that, by a clock running fast, lies at or after ``as_of``."""
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT NOT EXISTS (SELECT 1 FROM profiles_eventtotal WHERE profile_id = ANY(%s::bigint[]) AND last_at >= %s)",
            [sorted(people), as_of],
        )
        row = cursor.fetchone()
    return bool(row and row[0])
