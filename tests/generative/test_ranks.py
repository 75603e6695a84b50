"""The percentile that PostgreSQL finds is the one that the definition gives, of whatever figure."""

import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segments.engines.percentiles import FIGURES, PERCENTILE
from segments.rules import Ranked, compile_figures, compile_together, evaluate, load, place
from segments.rules.evaluate import ranked
from segments.rules.ranks import threshold
from tests.generative.postgres import TABLES, People
from tests.generative.strategies import Drawn, leaf_forms, random_people
from tests.spec.world import AS_OF, CATALOG

POPULATION = random_people(120, random.Random(20260603))
RANKED = st.one_of(leaf_forms(Drawn())).filter(lambda one: "percentile" in one.get("than", {}))
PERCENTILES = st.integers(1, 9999).map(lambda hundredths: Decimal(hundredths) / 100)


@pytest.fixture
def people(db: None) -> People:
    from django.db import connection

    connection.ensure_connection()
    found = People(connection.connection, CATALOG)
    found.store(POPULATION)
    return found


def test_the_threshold_is_a_figure_that_somebody_has(people: People) -> None:
    seen = {"some": 0, "cut": 0}

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(RANKED, PERCENTILES)
    def agree(condition: dict[str, Any], percentile: Decimal) -> None:
        leaf = load({"version": 1, **condition}, CATALOG)
        assert isinstance(leaf, Ranked)
        figures = [one for one in (ranked(leaf, person, AS_OF) for person in POPULATION) if one is not None]
        compiled = compile_figures(leaf.figure, CATALOG)
        text = FIGURES.format(figures=compiled.sql("postgres", TABLES))
        found = people.cursor.execute(text, compiled.at(AS_OF)).fetchall()
        assert sorted(Decimal(str(row[1])) for row in found) == sorted(figures)
        params = {**compiled.at(AS_OF), "percentile": percentile}
        row = people.cursor.execute(PERCENTILE.format(figures=text), params).fetchone()
        assert row == (None if not figures else (threshold(figures, percentile), len(figures)))
        seen["some"] += bool(figures)
        seen["cut"] += leaf.figure.measure == "average"

    agree()
    assert min(seen.values()) > 2, "figures are too few"


def test_whoever_did_nothing_in_the_window_is_not_ranked_though_a_wider_one_is_read_with_it(people: People) -> None:
    below = {"performed": "Order Completed", "op": "lt", "than": {"percentile": 90}}
    conditions = [
        {**below, "measure": measure, "within": {"days": days}}
        for days in (1, 30, 4000)
        for measure in ("count", "sum", "days")
    ]
    found = [load({"version": 1, **one}, CATALOG) for one in conditions]
    assert len({place(one) for one in found}) == 1
    scope = [one.id for one in POPULATION]
    told = dict(people.rows(compile_together(found, CATALOG), AS_OF, scope))
    for number, leaf in enumerate(found):
        holds = {one.id for one in POPULATION if told.get(one.id, 0) >> number & 1}
        assert holds == {one.id for one in POPULATION if evaluate(leaf, one, AS_OF)}
