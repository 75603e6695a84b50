"""Sizes over time, overlaps and flows: counted from who came and went, and from who is in now."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cdp.identity.merging import merge_profiles
from cdp.profiles.models import Workspace
from cdp.rest.models import Scope
from segments.flows import came_from, flow_among, overlap, went_on
from segments.history import Pace, Step, size_history
from segments.models import ChangeKind, ChangeWhy, Membership, MembershipChange, PendingChange, Segment
from segments.services import archive
from segments.sharing import share_segment
from tests.factories import BY, draft, identify, live, performed, person, process_all, refresh_now, track, tracker
from tests.integration.callers import Caller, found, key, logged_in, problem

pytestmark = pytest.mark.django_db

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
_positions = iter(range(1_000_000, 2_000_000))


def moved(
    segment: Segment,
    kind: ChangeKind,
    profile: int,
    at: datetime,
    *,
    effective: datetime | None = None,
    why: ChangeWhy = ChangeWhy.EVENT,
) -> None:
    """Somebody came or went at that moment, as the sequencer would have noted it."""
    MembershipChange.objects.create(
        position=next(_positions), segment=segment, profile_id=profile, profile_uuid=f"{profile:032d}", kind=kind,
        effective_at=effective or at, why=why, recorded_at=at, version=segment.live_version,
    )  # fmt: skip
    Segment.objects.filter(pk=segment.pk).update(
        member_count=Segment.objects.get(pk=segment.pk).member_count + (1 if kind == ChangeKind.ENTERED else -1)
    )


def entered(segment: Segment, profile: int, at: datetime, **more: Any) -> None:
    moved(segment, ChangeKind.ENTERED, profile, at, **more)


def exited(segment: Segment, profile: int, at: datetime, **more: Any) -> None:
    moved(segment, ChangeKind.EXITED, profile, at, **more)


def empty(name: str) -> Segment:
    """A live segment that nobody is in."""
    if not Segment.objects.exists():
        tracker().send(track("Bought", "ann"), track("Danced", "ann"))
        process_all()
    return live(name, {"not": {"everyone": True}})


def sizes(steps: list[Step]) -> list[tuple[str, int, int, int]]:
    return [(f"{one.start:%m-%d %H}", one.entered, one.exited, one.size) for one in steps]


# ---- Size ----------------------------------------------------------------------------------------------------


def test_the_size_of_each_day_is_told_with_who_came_and_went(db: None) -> None:
    segment = empty("a")
    for number in range(5):
        entered(segment, number, NOON - 9 * DAY)
    entered(segment, 7, NOON - 2 * DAY)
    exited(segment, 1, NOON - 1 * DAY)
    exited(segment, 2, NOON - 1 * DAY + HOUR)
    exited(segment, 3, NOON + 3 * DAY)
    steps = size_history(segment, since=NOON - 3 * DAY, until=NOON, pace=Pace.DAY)
    assert sizes(steps) == [("03-07 00", 0, 0, 5), ("03-08 00", 1, 0, 6), ("03-09 00", 0, 2, 4), ("03-10 00", 0, 0, 4)]


def test_hours_are_told_too(db: None) -> None:
    segment = empty("a")
    entered(segment, 1, NOON + timedelta(minutes=59))
    entered(segment, 2, NOON + HOUR)
    steps = size_history(segment, since=NOON + timedelta(minutes=30), until=NOON + 2 * HOUR, pace=Pace.HOUR)
    assert sizes(steps) == [("03-10 12", 1, 0, 1), ("03-10 13", 1, 0, 2)]


def test_days_are_those_of_the_workspace_also_when_clocks_change(db: None) -> None:
    Workspace.objects.update_or_create(pk=1, defaults={"time_zone": "Europe/Zurich"})
    segment = empty("a")
    last_sunday_of_march = datetime(2026, 3, 29, tzinfo=UTC)
    entered(segment, 1, last_sunday_of_march - HOUR)  # midnight there
    entered(segment, 2, last_sunday_of_march + 21 * HOUR)  # 23 o'clock there, by then two hours ahead
    entered(segment, 3, last_sunday_of_march + 22 * HOUR)  # midnight
    steps = size_history(segment, since=last_sunday_of_march, until=last_sunday_of_march + 30 * HOUR, pace=Pace.DAY)
    assert [(one.start.isoformat(), one.entered) for one in steps] == [
        ("2026-03-28T23:00:00+00:00", 2), ("2026-03-29T22:00:00+00:00", 1),
    ]  # fmt: skip


def test_history_ends_where_the_segment_stands(db: None) -> None:
    shop = tracker()
    shop.send(*(track("Bought", f"p{number}") for number in range(4)))
    process_all()
    segment = live("buyers", performed("Bought"))
    shop.send(track("Bought", "late"))
    process_all()
    now = datetime.now(UTC)
    (*_, today) = size_history(segment, since=now - 2 * DAY, until=now, pace=Pace.DAY)
    assert (today.size, today.exited) == (Membership.objects.filter(segment=segment).count(), 0) == (5, 0)


def test_history_over_rest(db: None) -> None:
    segment = empty("a")
    now = datetime.now(UTC)
    entered(segment, 1, now)
    caller = key(Scope.SEGMENTS_READ, sees=[segment])
    body = found(caller.get("segments/a/history/"))
    assert (body["by"], len(body["steps"]) in (31, 32), body["steps"][-1]["size"]) == ("day", True, 1)
    assert len(found(caller.get("segments/a/history/?by=hour"))["steps"]) == 49
    assert sum(one["entered"] for one in body["steps"]) == 1
    since = (now - 1001 * DAY).isoformat()
    assert problem(caller.get("segments/a/history/", since=since), 400)["code"] == "too_many_steps"
    ahead = (now + DAY).isoformat()
    assert problem(caller.get("segments/a/history/", since=ahead), 400)["code"] == "bounds_reversed"
    assert problem(caller.get("segments/a/history/?by=minute"), 400)["code"] == "invalid_choice"
    for extreme in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        for name in ("since", "until"):
            assert problem(caller.get("segments/a/history/", **{name: extreme}), 400)["code"] == "out_of_range"


# ---- Overlap -------------------------------------------------------------------------------------------------


@pytest.fixture
def three(db: None) -> list[Segment]:
    """a: 1 2 3 4; b: 3 4 5; c: 4 6. Nobody is in d, everybody in e, which is compared with none of them."""
    made = [empty(name) for name in "abcde"]
    inside = {"a": [1, 2, 3, 4], "b": [3, 4, 5], "c": [4, 6], "d": [], "e": [1, 2, 3, 4, 5, 6, 7]}
    for segment in made:
        Membership.objects.bulk_create(
            Membership(segment=segment, profile_id=number, entered_at=NOON) for number in inside[segment.key]
        )
    return made[:4]


def test_an_overlap_parts_everybody_by_the_segments_they_are_in(three: list[Segment]) -> None:
    seen = overlap(three)
    assert seen.shared == [[4, 2, 1, 0], [2, 3, 1, 0], [1, 1, 2, 0], [0, 0, 0, 0]]
    assert {tuple(s.key for s in one.segments): one.count for one in seen.intersections} == {
        ("a",): 2, ("a", "b"): 1, ("a", "b", "c"): 1, ("b",): 1, ("c",): 1,
    }  # fmt: skip
    assert seen.people == 6
    assert seen.intersections[0].count == 2, "the largest first"


def test_overlaps_over_rest_are_in_the_order_asked_for(three: list[Segment]) -> None:
    caller = key(Scope.SEGMENTS_READ, sees=three)
    body = found(caller.get("segments/overlap/?segment=c&segment=a"))
    assert (body["segments"], body["shared"], body["people"]) == (["c", "a"], [[2, 1], [1, 4]], 5)
    assert body["intersections"] == [
        {"segments": ["a"], "count": 3}, {"segments": ["c"], "count": 1}, {"segments": ["c", "a"], "count": 1},
    ]  # fmt: skip


def test_segments_are_counted_in_one_pass(three: list[Segment]) -> None:
    with CaptureQueriesContext(connection) as queries:
        overlap(three)
    assert len([one for one in queries.captured_queries if "segments_membership" in one["sql"]]) == 1


def test_what_can_not_be_compared_is_refused(three: list[Segment]) -> None:
    later = draft("later", {"everyone": True})
    caller = key(sees=[*three, later])
    for few in ("segment=a", "segment=a&segment=a"):
        assert problem(caller.get(f"segments/overlap/?{few}"), 400)["code"] == "segments_count"
    assert problem(caller.get("segments/overlap/"), 400)
    many = "&".join(f"segment=s{number}" for number in range(9))
    assert problem(caller.get(f"segments/overlap/?{many}"), 400)["code"] == "max_length"
    for other in (later, archive(segment=three[1], by=BY)):
        body = problem(caller.get(f"segments/overlap/?segment=a&segment={other.key}"), 409)
        assert body["code"] == "segment_not_live"


# ---- Flow ----------------------------------------------------------------------------------------------------


@pytest.fixture
def travellers(db: None) -> dict[str, Segment]:
    """Who left a: 1 and 2 for b, 3 for b and c, 4 for nowhere; 5 came back from c before it left a."""
    made = {name: empty(name) for name in "abc"}
    a, b, c = made["a"], made["b"], made["c"]
    for number in (1, 2, 3, 4, 5):
        exited(a, number, NOON)
    entered(b, 1, NOON)
    entered(b, 2, NOON + HOUR)
    entered(b, 3, NOON + HOUR)
    entered(c, 3, NOON + 2 * HOUR)
    entered(c, 5, NOON - HOUR)
    return made


def links(flow: Any) -> dict[tuple[str, str], int]:
    return {(one.source.key, one.target.key): one.people for one in flow.links}


def test_who_left_is_followed_into_what_they_entered(travellers: dict[str, Segment]) -> None:
    a, b, c = (travellers[name] for name in "abc")
    flow = went_on([a], [b, c], since=NOON - DAY, until=NOON + DAY)
    assert links(flow) == {("a", "b"): 3, ("a", "c"): 1}
    assert [(one.segment.key, one.people, one.unlinked) for one in flow.moved] == [("a", 5, 2)]
    assert flow.links[0].people == 3, "the strongest first"


def test_who_entered_is_followed_back_to_what_they_left(travellers: dict[str, Segment]) -> None:
    a, b, c = (travellers[name] for name in "abc")
    flow = came_from([b, c], [a, b, c], since=NOON - DAY, until=NOON + DAY)
    assert links(flow) == {("a", "b"): 3, ("a", "c"): 1}
    assert [(one.segment.key, one.people, one.unlinked) for one in flow.moved] == [("b", 3, 0), ("c", 2, 1)]


def test_what_one_event_did_at_once_is_a_way_in_whichever_order_it_was_written(travellers: dict[str, Segment]) -> None:
    a, b, _ = (travellers[name] for name in "abc")
    moment = NOON + timedelta(microseconds=1)
    entered(b, 9, moment, effective=NOON)
    exited(a, 9, moment + timedelta(microseconds=1), effective=NOON)
    assert links(went_on([a], [b], since=NOON - DAY, until=NOON + DAY)) == {("a", "b"): 4}


def test_only_changes_of_the_period_count(travellers: dict[str, Segment]) -> None:
    segments = list(travellers.values())
    assert links(flow_among(segments, since=NOON, until=NOON + HOUR)) == {("a", "b"): 1}
    assert links(flow_among(segments, since=NOON + HOUR, until=NOON + DAY)) == {}


def test_nobody_goes_anywhere_by_a_merge(travellers: dict[str, Segment]) -> None:
    a, b, _ = (travellers[name] for name in "abc")
    exited(a, 20, NOON, why=ChangeWhy.MERGE)
    entered(b, 20, NOON, why=ChangeWhy.MERGE)
    flow = went_on([a], [b], since=NOON - DAY, until=NOON + DAY)
    assert (links(flow), flow.moved[0].people) == ({("a", "b"): 3}, 5)


def test_an_event_that_moves_somebody_from_segment_to_segment_is_seen_as_such(db: None) -> None:
    shop = tracker()
    shop.send(track("Bought", "ann"), track("Danced", "bob"), identify("ann", anonymousId="dev"))
    process_all()
    new = live("new", {"performed": "Bought", "op": "equals", "value": 1})
    loyal = live("loyal", performed("Bought", 2))
    shop.send(track("Bought", "ann", ago=timedelta(seconds=1)))
    process_all()
    now = datetime.now(UTC)
    body = found(key(sees=[new, loyal]).get("segments/new/flow/"))
    assert body["left"] == {"people": 1, "unlinked": 0, "segments": [{"key": "loyal", "name": "Loyal", "people": 1}]}
    assert body["entered"]["unlinked"] == body["entered"]["people"] == 1
    assert not PendingChange.objects.exists()
    merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="test", by=BY)
    process_all()
    refresh_now(loyal)
    assert links(flow_among([new, loyal], since=now - DAY, until=now + DAY)) == {("new", "loyal"): 1}


def test_flows_over_rest(travellers: dict[str, Segment]) -> None:
    caller = key(Scope.SEGMENTS_READ, sees=travellers.values())
    asked = {"since": (NOON - DAY).isoformat(), "until": (NOON + DAY).isoformat()}
    body = found(caller.get("segments/flow/", segment=["a", "b", "c"], **asked))
    assert body["links"] == [
        {"left": "a", "entered": "b", "people": 3}, {"left": "a", "entered": "c", "people": 1},
    ]  # fmt: skip
    assert body["left"][0] == {"segment": "a", "people": 5, "unlinked": 2}
    backwards = {"since": asked["until"], "until": asked["since"]}
    assert problem(caller.get("segments/a/flow/", **backwards), 400)["code"] == "bounds_reversed"
    too_long = {"since": "1970-01-01T00:00:00Z", "until": asked["until"]}
    assert problem(caller.get("segments/a/flow/", **too_long), 400)["code"] == "period_too_long"


# ---- Who may ask ---------------------------------------------------------------------------------------------


def test_segments_that_are_not_shared_are_neither_compared_nor_named(travellers: dict[str, Segment]) -> None:
    a, b = travellers["a"], travellers["b"]
    caller: Caller = key(sees=[a, b])
    asked = {"since": (NOON - DAY).isoformat(), "until": (NOON + DAY).isoformat()}
    body = found(caller.get("segments/a/flow/", **asked))
    assert [one["key"] for one in body["left"]["segments"]] == ["b"]
    for address in (
        "segments/c/history/",
        "segments/c/flow/",
        "segments/overlap/?segment=a&segment=c",
        "segments/flow/?segment=a&segment=c",
        "segments/overlap/?segment=a&segment=nowhere",
    ):
        assert problem(caller.get(address), 404)["code"] == "segment_not_found", address


def test_a_flow_costs_the_same_however_many_segments_there_are(travellers: dict[str, Segment]) -> None:
    caller = key(sees=list(travellers.values()))
    costs = []
    for turn in range(2):
        caller.get("segments/a/flow/")
        with CaptureQueriesContext(connection) as queries:
            found(caller.get("segments/a/flow/"))
        costs.append(len(queries))
        for number in range(5):
            share_segment(segment=live(f"more-{turn}-{number}", {"everyone": True}), user=caller.user, by=BY)
    assert costs[0] == costs[1]
    assert found(logged_in("marketer").get("segments/a/flow/"))
