"""What a rule may cost, by the planner's word. It speaks of statistics, so each test has a database of its own that has
some: in a shared one autovacuum may leave it those of another test's rows."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test import override_settings

from cdp.audit.models import AuditEntry
from cdp.profiles.models import EventName, Trait, Workspace
from segments import previews
from segments.catalogue import catalog
from segments.engines import estimating
from segments.models import Segment, SegmentStatus, SegmentVersion
from segments.rules import load
from segments.services import publish, save_version
from tests.factories import BY, draft, rule
from tests.integration.callers import key, problem

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PEOPLE = 2000
LOW = {"trait": "points", "op": "lt", "value": 400}  # 40 of 100
RARE = {"trait": "points", "op": "gte", "value": 999.5}  # nobody
# Everybody has done it five times: a look at every event and its followers.
BOUGHT = {"performed": "Bought"}
TWICE = {"sequence": [BOUGHT, BOUGHT, BOUGHT]}
DEAR = {"any": [LOW, {"not": {"all": [RARE, TWICE]}}]}


@pytest.fixture
def crowd(own_database: Any) -> Iterator[None]:
    """People with 0 to 999 points, as many with each, who all bought."""
    previews.forget()
    Workspace.objects.update_or_create(pk=1, defaults={"frozen_at": NOW})
    points = Trait.objects.create(key="points", label="Points", type="number")
    bought = EventName.objects.create(name="Bought", label="Bought")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO profiles_profile (id, uuid, traits, first_seen_at, last_seen_at, created_at)"
            " SELECT n, gen_random_uuid(), '{}', now(), now(), now() FROM generate_series(1, %s) AS n",
            [PEOPLE],
        )
        cursor.execute(
            "INSERT INTO profiles_traitvalue (trait_id, profile_id, number, raw, occurred_at, message_id)"
            " SELECT %s, n, n %% 1000, to_jsonb(n %% 1000), now(), 'made' FROM generate_series(1, %s) AS n",
            [points.pk, PEOPLE],
        )
        cursor.execute(
            "INSERT INTO profiles_event (occurred_at, profile_id, name_id, type, message_id, source_id, received_at, properties,"
            " context) SELECT %s, id, %s, 1, 'm' || id || n, 1, %s, '{}', '{}' FROM profiles_profile, generate_series(1, 5) n",
            [NOW - timedelta(days=1), bought.pk, NOW],
        )
    with connections["owner"].cursor() as cursor:
        cursor.execute("ANALYZE profiles_event, profiles_profile, profiles_traitvalue")
    yield
    previews.forget()


@pytest.fixture
def dear(crowd: None) -> Iterator[Segment]:
    """A segment with two versions; from here on nothing may cost anything."""
    segment = draft("dear", DEAR)
    save_version(segment=segment, rule=rule(LOW), by=BY)
    with override_settings(RULE_COST_LIMIT=0.001):
        yield segment


@pytest.mark.parametrize("accuracy", ["exact", "sample"])
@pytest.mark.parametrize("counts", [True, False])
def test_a_rule_that_costs_too_much_is_not_counted(dear: Segment, accuracy: str, counts: bool) -> None:
    asked = {"rule": rule(DEAR), "accuracy": accuracy, "counts": counts}
    (body,) = problem(key(sees=Segment.objects.all()).post("segments/preview/", asked), 400)["errors"]
    assert body["code"] == "rule_too_expensive"
    assert body["pointer"] == "/rule/any/1/not/all/1"
    assert "did Bought and then Bought" in body["detail"] and "Look back less far" in body["detail"]
    assert not AuditEntry.objects.filter(action="segment.previewed").exists()


def test_the_dearest_condition_is_named_wherever_it_stands(crowd: None) -> None:
    for asked, place in (
        ({"all": [{"not": TWICE}, LOW]}, "/rule/all/0/not"),
        ({"all": [LOW, TWICE, LOW]}, "/rule/all/1"),
        (LOW, "/rule"),
        ({"everyone": True}, "/rule"),
    ):
        with override_settings(RULE_COST_LIMIT=0.001):
            caller = key(sees=Segment.objects.all())
            (body,) = problem(caller.post("segments/preview/", {"rule": rule(asked)}), 400)["errors"]
        assert (body["code"], body["pointer"]) == ("rule_too_expensive", place)


def test_versions_that_cost_too_much_are_not_compared(dear: Segment) -> None:
    (body,) = problem(key(sees=Segment.objects.all()).get("segments/dear/versions/1/diff/2/"), 400)["errors"]
    assert body["code"] == "rule_too_expensive"


def test_a_rule_that_costs_too_much_does_not_go_live(dear: Segment) -> None:
    body = problem(key(sees=Segment.objects.all()).patch("segments/dear/", {"publish": True}), 400)
    assert body["errors"][0]["code"] == "rule_too_expensive"
    dear.refresh_from_db()
    assert dear.status == SegmentStatus.DRAFT
    with override_settings(RULE_COST_LIMIT=10_000_000):
        publish(segment=dear, version=SegmentVersion.objects.get(segment=dear, number=2), by=BY)


def test_what_a_statement_costs_is_asked_without_running_it(crowd: None) -> None:
    known = catalog()
    cheap, dear = (
        estimating.cost(estimating.count_of(load(rule(one), known), known, as_of=NOW))
        for one in (LOW, {"any": [{"not": LOW}, {"trait": "points", "op": "gt", "value": 10}, RARE]})
    )
    assert 0 < cheap < dear
