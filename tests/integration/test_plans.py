"""The plans on which speed rests: few people are found by index, however many there are.

Data is modest but large enough, and analysed, that the planner chooses by itself; nothing is switched off. What is
asked is which index it takes and by which columns, not what it costs.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from cdp.database import bound_cursor
from cdp.ingestion import inbox
from cdp.profiles.models import Profile
from consent.models import Purpose
from consent.querysets import permitted
from segments.catalogue import catalog
from segments.engines import postgres
from segments.evaluation import NEWER_CHANGES
from segments.flows import OVERLAP
from segments.history import STEPS
from segments.models import Segment
from segments.moments import moment_of_judgement
from segments.querysets import members_of
from segments.rules import Ranked, Span, compile_edges, compile_leaf, compile_together, leaves, load
from segments.thresholds import with_thresholds
from segments.why import EVENTS, MOST_EVENTS
from tests.factories import identify, live, performed, process_all, rule, track, tracker

PEOPLE = 20_000
ZURICH = ZoneInfo("Europe/Zurich")

FILL = f"""
INSERT INTO profiles_profile (id, uuid, traits, first_seen_at, last_seen_at, created_at)
SELECT 1000 + n, gen_random_uuid(), '{{}}', now(), now(), now() FROM generate_series(1, {PEOPLE}) AS n;
INSERT INTO profiles_event (occurred_at, profile_id, name_id, type, message_id, source_id, received_at, value, properties, context)
SELECT now() - random() * interval '25 days', 1000 + n, e.id, 1, 'f' || n || '-' || e.id, 1, now(), 5, '{{}}', '{{}}'
  FROM generate_series(1, {PEOPLE}) AS n CROSS JOIN profiles_eventname e;
INSERT INTO profiles_eventtotal (profile_id, name_id, count, value_sum, first_at, last_at)
SELECT profile_id, name_id, count(*), sum(value), min(occurred_at), max(occurred_at) FROM profiles_event
 WHERE profile_id > 1000 GROUP BY 1, 2;
INSERT INTO profiles_traitvalue (trait_id, profile_id, moment, raw, occurred_at, message_id)
SELECT t.id, 1000 + n, timestamptz '1960-01-01' + n * interval '1 day', '""', now(), 'x'
  FROM generate_series(1, {PEOPLE}) AS n CROSS JOIN profiles_trait t WHERE t.key IN ('born', 'renews');
INSERT INTO segments_membership (segment_id, profile_id, entered_at)
SELECT s.id, 1000 + n, now() FROM generate_series(1, {PEOPLE}) AS n CROSS JOIN segments_segment s WHERE n % 2 = s.id % 2;
INSERT INTO segments_membershipchange
       (position, segment_id, profile_id, profile_uuid, kind, effective_at, why, recorded_at)
SELECT 1000000 + row_number() OVER (), s.id, 1000 + n, gen_random_uuid(), 'entered', at, 'event', at
  FROM (SELECT n, now() - random() * interval '300 days' AS at FROM generate_series(1, {PEOPLE}) AS n) AS g
 CROSS JOIN segments_segment s;
INSERT INTO ingestion_inboxmessage (source_id, received_at, endpoint, message_count, body)
SELECT (SELECT min(id) FROM ingestion_source), now(), 'track', 1, 'x' FROM generate_series(1, 5000);
INSERT INTO consent_consentrecord
       (profile_id, purpose_id, reach, decision, method, message_id, evidence, collected_at, recorded_at)
SELECT 1000 + n, p.id, 'person', 'granted', 'import', '', '{{}}', now(), now()
  FROM generate_series(1, {PEOPLE}) AS n CROSS JOIN consent_purpose p WHERE p.key = 'marketing_email' AND n % 5 > 0;
INSERT INTO consent_consentstate (purpose_id, profile_id, decision, collected_at, expires_at, record_id)
SELECT purpose_id, profile_id, decision, collected_at, now() + profile_id % 365 * interval '1 day', id FROM consent_consentrecord;
INSERT INTO profiles_scorerun (kind, version, created_at, published_at, is_current, keys)
SELECT k, v::text, now(), now(), v = 3, '{{"frequency": ["numbers"], "group": ["labels"]}}'
  FROM unnest(ARRAY['rfm', 'churn']) AS k CROSS JOIN generate_series(1, 3) AS v;
INSERT INTO profiles_score (run_id, key, profile_id, number, label)
SELECT r.id, k, 1000 + n, CASE k WHEN 'frequency' THEN n % 5 END, CASE k WHEN 'group' THEN 'g' || n % 10 END
  FROM profiles_scorerun r CROSS JOIN unnest(ARRAY['frequency', 'group']) AS k CROSS JOIN generate_series(1, {PEOPLE}) AS n;
INSERT INTO segments_staticlist (key, name, description, by_hand, created_at)
SELECT 'list-' || n, 'List', '', '', now() FROM generate_series(1, 5) AS n;
INSERT INTO segments_listentry (list_id, profile_id, origin_id, added_at, added_by, reason)
SELECT l.id, 1000 + n, 1000 + n, now(), 'tests', '' FROM segments_staticlist l CROSS JOIN generate_series(1, {PEOPLE}) AS n;
"""
TABLES = (
    "consent_consentstate, profiles_profile, profiles_event, profiles_eventtotal, segments_membership,"
    " segments_membershipchange, ingestion_inboxmessage, profiles_traitvalue, profiles_scorerun, profiles_score,"
    " segments_listentry"
)


@pytest.fixture(scope="module")
def crowd(modules_database: Any) -> None:
    shop = tracker()
    shop.send(track("Bought", "ann"), track("Looked", "ann"))
    shop.send(identify("ann", traits={"born": "1990-06-15", "renews": "2026-06-15"}))
    process_all()
    live("buyers", performed("Bought"))
    live("lookers", performed("Looked"))
    with connection.cursor() as cursor:
        cursor.execute(FILL)
    with connections["owner"].cursor() as cursor:
        cursor.execute(f"ANALYZE {TABLES}")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def explained(text: str, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    with bound_cursor() as cursor:
        # Written into the text: EXPLAIN takes no parameters of its own.
        bound = text if params is None else _client_side(text, params)
        row = cursor.execute("EXPLAIN (FORMAT JSON) " + bound).fetchone()  # type: ignore[operator]
        return list(nodes(row[0][0]["Plan"]))


def _client_side(text: str, params: dict[str, Any]) -> str:
    with psycopg.ClientCursor(connection.connection) as cursor:
        return cursor.mogrify(text, params)


def indexes_of(found: list[dict[str, Any]]) -> dict[str, str]:
    """Name of each index in the plan -> its definition."""
    names = sorted({node["Index Name"] for node in found if "Index Name" in node})
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE indexname = ANY(%s)", [names])
        return dict(cursor.fetchall())


def found_by_person(found: list[dict[str, Any]], table: str) -> bool:
    """Whether an index leads from the people to their rows in this table."""
    return any(
        "profile_id" in n.get("Index Cond", "")
        for n in found
        if table in (n.get("Relation Name"), n.get("Index Name", "")[: len(table)])
    )


def scanned_whole(found: list[dict[str, Any]], table: str) -> bool:
    """Whether the plan reads all of a table that has many rows; an empty month costs nothing to look through."""
    return any(
        n["Node Type"] == "Seq Scan" and n["Relation Name"].startswith(table) and n["Plan Rows"] > 100 for n in found
    )


EVENT_CONDITIONS: list[Any] = [
    performed("Bought", 2, within={"days": 20}),
    {"performed": "Bought", "measure": "sum", "op": "gte", "value": 20, "within": {"days": 20}},
    performed("Bought", within={"from": "2020-01-01", "to": "2099-01-01"}),
    performed("Bought", where=[{"property": "colour", "op": "equals", "value": "red"}]),
]


def test_what_is_known_of_few_people_is_found_by_index(crowd: None) -> None:
    for condition in EVENT_CONDITIONS:
        found = leaf_plan(condition)
        by_person = [d for d in indexes_of(found).values() if "(profile_id, name_id, occurred_at)" in d]
        assert by_person and not scanned_whole(found, "profiles_event"), condition

    totals = leaf_plan(performed("Bought", 3))
    assert found_by_person(totals, "profiles_eventtotal") and not scanned_whole(totals, "profiles_event"), totals

    inside = leaf_plan({"in_segment": "buyers"})
    assert found_by_person(inside, "segments_membership"), inside


STANDING: dict[str, Any] = {
    "profiles_score": {"score": "rfm.frequency", "op": "gte", "value": 4},
    "segments_listentry": {"in_list": "list-3"},
    "consent_consentstate": {"consented": "marketing_email"},
}


def test_how_few_people_stand_is_found_by_index(crowd: None) -> None:
    for table, condition in STANDING.items():
        found = leaf_plan(condition)
        assert found_by_person(found, table) and not scanned_whole(found, table), found
    for condition in ({"consented": "internal_analysis"}, {"bucket": "spring", "op": "lt", "value": 10}):
        found = leaf_plan(condition)
        by_id = [node for node in found if node.get("Relation Name") == "profiles_profile"]
        assert by_id and all("id = ANY" in node.get("Index Cond", "") for node in by_id), found


def test_how_everybody_stands_is_read_from_the_rows_of_that_score_list_or_purpose_alone(crowd: None) -> None:
    """Rows of other runs, keys, lists and purposes are passed over by an index; the run is the one that is published now."""
    for table, columns in (("profiles_score", "run_id"), ("segments_listentry", "list_id")):
        found = whole_plan(STANDING[table])
        walks = [node for node in found if table in (node.get("Relation Name"), node.get("Index Name", "")[: len(table)])
                 or node.get("Index Name") == "segments_people_of_a_list"]  # fmt: skip
        assert walks and any(columns in node.get("Index Cond", "") for node in walks), found
        assert not scanned_whole(found, table), found


def test_whose_grant_has_just_ended_is_found_by_an_index(crowd: None) -> None:
    known = catalog()
    (leaf,) = leaves(load(rule({"consented": "marketing_email"}), known))
    compiled = compile_edges(leaf, known, scoped=False)
    assert compiled is not None
    now = datetime.now(UTC)
    span = Span(after=now - timedelta(seconds=70), until=now, zone=UTC)
    found = explained(compiled.sql("postgres", postgres.TABLES), compiled.over(span))
    assert "consent_state_by_end" in indexes_of(found) and not scanned_whole(found, "consent_consentstate"), found


def whole_plan(condition: Any) -> list[dict[str, Any]]:
    known = catalog()
    (leaf,) = leaves(load(rule(condition), known))
    compiled = compile_leaf(leaf, known, scoped=False)
    return explained(compiled.sql("postgres", postgres.TABLES), compiled.at(datetime.now(UTC)))


SHOES = [{"property": "colour", "op": "equals", "value": "red"}]
EDGES: list[Any] = [
    performed("Bought"),
    performed("Bought", within={"days": 7}),
    performed("Bought", within={"days": 7, "ago": {"days": 7}}, where=SHOES),
    performed("Bought", within={"from": "2026-01-01"}),
    {**performed("Bought", 2, within={"days": 4}), "measure": "periods", "each": {"days": 1}},
    {"performed": "Bought", "measure": "first_at", "op": "within_last", "value": {"days": 3}},
    performed("Bought", within={"since": "Looked"}),
    {"sequence": [{"performed": "Looked"}, {"performed": "Looked"}, {"performed": "Bought"}]},
    {"sequence": [{"performed": "Looked"}, {"not_performed": "Bought", "within": {"days": 1}}]},
    {"performed": "Bought", "within": {"days": 5}, "op": "gt", "than": {"performed": "Looked"}},
    performed("Bought", within="today"),
    performed("Bought", within="yesterday"),
    performed("Bought", within="last_month"),
]


def edges_plan(condition: Any, span: Span, *, scope: list[int] | None = None) -> list[dict[str, Any]]:
    known = catalog()
    (leaf,) = leaves(load(rule(condition), known))
    compiled = compile_edges(leaf, known, scoped=scope is not None)
    assert compiled is not None
    return explained(compiled.sql("postgres", postgres.TABLES), {**compiled.over(span), "scope": scope or []})


def test_whom_an_edge_has_passed_is_found_by_the_moments_of_events(crowd: None) -> None:
    now = datetime.now(ZURICH)
    midnight = now.replace(day=1, hour=0, minute=0, second=0)
    for end in (now, midnight, midnight.replace(hour=12)):
        span = Span(after=end - timedelta(seconds=70), until=end, zone=ZURICH)
        for condition in EDGES:
            found = edges_plan(condition, span)
            walks = [node for node in found if node["Node Type"].endswith(("Index Scan", "Index Only Scan"))]
            assert all("occurred_at" in one["Index Cond"] and "name_id" in one["Index Cond"] for one in walks), found
            assert not any(node.get("Subplans Removed") for node in found), (
                "other months are left out before it is planned"
            )
            period = condition.get("within")
            if period == "last_month" and end == midnight:
                continue  # All that happened in two months comes in or goes out.
            assert not scanned_whole(found, "profiles_event"), (condition, found)
            # Where no day and no month has ended, the planner sees that there is nothing to be read.
            assert walks or (period in ("yesterday", "last_month") and end != midnight), (condition, found)


def test_dates_near_an_edge_are_found_by_index(crowd: None) -> None:
    now = datetime.now(ZURICH)
    span = Span(after=now - timedelta(seconds=70), until=now, zone=ZURICH)
    found = edges_plan({"trait": "renews", "op": "within_last", "value": {"days": 30}}, span)
    walks = [node for node in found if node.get("Relation Name") == "profiles_traitvalue"]
    assert len(walks) == 2 and all("moment" in node["Index Cond"] for node in walks), found


def test_between_two_midnights_no_birthday_is_looked_at(crowd: None) -> None:
    midnight = datetime(2026, 6, 15, tzinfo=ZURICH)
    for condition, table in (
        ({"trait": "born", "op": "anniversary", "value": {"days": 7}}, "profiles_traitvalue"),
        ({"performed": "Bought", "measure": "first_at", "op": "anniversary", "value": {"days": 7}}, "profiles_event"),
    ):
        for scope in (None, list(range(2000, 2050))):
            noon = Span(after=midnight + timedelta(hours=12), until=midnight + timedelta(hours=13), zone=ZURICH)
            by_day = edges_plan(condition, noon, scope=scope)
            assert any(node.get("One-Time Filter") == "false" for node in by_day), by_day
            night = Span(after=midnight - timedelta(seconds=5), until=midnight, zone=ZURICH)
            by_night = edges_plan(condition, night, scope=scope)
            assert not any("One-Time Filter" in node for node in by_night)
            assert not scanned_whole(by_day, table) and reads_of(by_day, table) < reads_of(by_night, table)
            assert scope is None or not scanned_whole(by_night, table), by_night


def reads_of(found: list[dict[str, Any]], table: str) -> int:
    return sum(node.get("Relation Name", "").startswith(table) for node in found)


def test_what_explains_a_person_or_a_segment_is_found_by_index(crowd: None) -> None:
    asked = {"profile": 2000, "names": ["Bought"], "before": datetime.now(UTC), "most": MOST_EVENTS}
    found = explained(EVENTS, asked)
    assert any("(profile_id, name_id, occurred_at)" in definition for definition in indexes_of(found).values())
    assert not scanned_whole(found, "profiles_event"), found

    segment, today = Segment.objects.get(key="buyers"), datetime.now(UTC)
    starts = [today - timedelta(days=2), today]
    found = explained(STEPS, {"segment": segment.pk, "starts": starts, "first": starts[0]})
    assert "segments_change_by_time" in indexes_of(found), found

    late = [today - timedelta(days=200)] * 500
    found = explained(
        NEWER_CHANGES, {"segments": [segment.pk] * 500, "people": list(range(2000, 2500)), "moments": late}
    )
    assert "segments_change_by_person" in indexes_of(found), found
    assert not scanned_whole(found, "segments_membershipchange"), found

    found = explained(OVERLAP, {"segments": [segment.pk, segment.pk + 1]})
    assert len([node for node in found if node.get("Relation Name") == "segments_membership"]) == 1, "in one pass"


def leaf_plan(condition: Any) -> list[dict[str, Any]]:
    known = catalog()
    (leaf,) = leaves(load(rule(condition), known))
    compiled = compile_leaf(leaf, known, scoped=True)
    params = {**compiled.at(datetime.now(UTC)), "scope": list(range(2000, 2050))}
    return explained(compiled.sql("postgres", postgres.TABLES), params)


def test_where_few_people_stand_is_asked_of_their_own_events_and_the_threshold_is_read_beforehand(crowd: None) -> None:
    top = {"performed": "Bought", "measure": "sum", "op": "gte", "than": {"percentile": 90}}
    for condition, table in ((top, "profiles_eventtotal"), ({**top, "within": {"days": 30}}, "profiles_event")):
        leaf = load(rule(condition), catalog())
        assert isinstance(leaf, Ranked)
        known = with_thresholds(catalog(), leaf)
        compiled = compile_together([leaf], known)
        params = {**compiled.at(moment_of_judgement()), "scope": list(range(1001, 1051))}
        found = explained(compiled.sql("postgres", postgres.TABLES), params)
        assert found_by_person(found, table), condition
        looks = [node for node in found if node.get("Relation Name") == "segments_percentilethreshold"]
        assert looks and all(node["Parent Relationship"] == "InitPlan" for node in looks), "not for each person"


# It writes, so it comes last: all of these share one crowd.
def test_pages_of_members_and_of_the_inbox_walk_their_keys(crowd: None) -> None:
    segment = Segment.objects.get(key="buyers")
    for purpose in Purpose.objects.filter(key__in=["internal_analysis", "marketing_email"]):
        page = members_of(segment, purpose, after=1000 + PEOPLE // 2).order_by("profile_id")[:101]
        with CaptureQueriesContext(connection) as queries:
            assert len(list(page)) == 101
        found = explained(queries[0]["sql"])
        walk = [node for node in found if node.get("Relation Name") == "segments_membership"]
        assert [node["Index Name"] for node in walk] == ["segments_membership_pkey"], found
        assert "segment_id" in walk[0]["Index Cond"] and "profile_id >" in walk[0]["Index Cond"]
        assert not any(node["Node Type"] == "Sort" for node in found), "the key gives the order"

    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        assert len(list(inbox.claim(messages=10))) >= 10
    claims = [query["sql"] for query in queries.captured_queries if "ingestion_inboxmessage" in query["sql"]]
    for claim in claims:
        found = explained(claim)
        assert "ingestion_inboxmessage_pkey" in indexes_of(found)
        assert not any(node["Node Type"] == "Sort" for node in found)

    # Who is stopped is set aside in one pass over the stops, however many there are.
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO consent_stop (profile_id, kind, since, why)"
            f" SELECT 1000 + n, 'restriction', now(), '' FROM generate_series(1, {PEOPLE}, 5) AS n"
        )
    with connections["owner"].cursor() as cursor:
        cursor.execute("ANALYZE consent_stop")
    for purpose in Purpose.objects.filter(key__in=["internal_analysis", "marketing_email"]):
        with CaptureQueriesContext(connection) as queries:
            permitted(Profile.objects.all(), purpose).count()
        found = explained(queries[0]["sql"])
        read = [node["Relation Name"] for node in found if "Relation Name" in node]
        assert sorted(read) == ["consent_consentstate", "consent_stop", "profiles_profile"]
        assert "Nested Loop" not in {node["Node Type"] for node in found}, "for nobody by themselves"
