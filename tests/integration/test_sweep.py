"""Time alone takes people in and out: found at their edges, effective at the edge, and never lost between two writers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict
from cdp.jobs.models import Job, JobState
from cdp.profiles.models import Workspace
from segments.engines.postgres import LeafQueries
from segments.feed import number_changes
from segments.live import flag_broken, rules_now
from segments.models import (
    ChangeKind,
    ChangeWhy,
    DriftCheck,
    Membership,
    MembershipChange,
    Segment,
    SweepState,
)
from segments.querysets import drifted
from segments.refresh import mark_swept, note_start, request_due_refreshes
from segments.rules.edges import sources, stretches
from segments.rules.windows import Calendar
from segments.services import publish, save_version
from segments.sweep import Swept, sweep_due
from segments.turning import outlook
from tests.factories import (
    BY,
    Tracker,
    identify,
    live,
    members,
    performed,
    person,
    process_all,
    refresh_now,
    rule,
    set_live,
    track,
    tracker,
)
from tests.integration.books import member_ids, truth

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
LAST_MINUTE = performed("Bought", within={"minutes": 1})


@pytest.fixture
def shop(db: None) -> Tracker:
    shop = tracker()
    shop.send(track("Bought", "first", ago=DAY), track("Looked", "first", ago=DAY))
    process_all()
    return shop


def sweep_all() -> Swept:
    swept = sweep_due(everything=True)
    number_changes()
    return swept


def freeze(at: datetime) -> None:
    Workspace.objects.update_or_create(pk=1, defaults={"frozen_at": at})


def newest_change(segment: Segment) -> MembershipChange:
    return MembershipChange.objects.filter(segment=segment).latest("position")


def swept_to(segment: Segment) -> datetime:
    return SweepState.objects.get(pk=segment.pk).swept_to


# ---- Leaving, entering, and when -------------------------------------------------------------------------------


def test_whoever_leaves_a_window_leaves_at_the_edge_and_not_when_it_is_noticed(shop: Tracker) -> None:
    at = datetime.now(UTC) - 20 * DAY
    freeze(at)
    shop.send(track("Bought", "ann", timestamp=(at - 10 * DAY).isoformat()))
    process_all()
    segment = live("recent", performed("Bought", within={"days": 15}))
    assert members(segment) == {"ann"}
    freeze(at + 5 * DAY)
    sweep_all()
    assert members(segment) == {"ann"}, "the window's first moment is still in it"
    freeze(at + 9 * DAY)
    swept = sweep_all()
    assert members(segment) == set()
    change = newest_change(segment)
    assert (change.kind, change.why) == (ChangeKind.EXITED, ChangeWhy.TIME)
    assert change.effective_at == at + 5 * DAY + MICROSECOND
    assert swept.late_by == pytest.approx((4 * DAY).total_seconds(), abs=1)


def test_an_event_dated_ahead_counts_from_its_moment_on(shop: Tracker) -> None:
    at = datetime.now(UTC) - DAY
    freeze(at)
    segment = live("lookers", performed("Looked", 2))
    shop.send(track("Looked", "first", timestamp=(at + HOUR).isoformat()))
    process_all()
    assert members(segment) == set()
    freeze(at + HOUR)
    sweep_all()
    assert members(segment) == set(), "the moment itself has not passed yet"
    freeze(at + 2 * HOUR)
    sweep_all()
    assert members(segment) == {"first"}
    assert newest_change(segment).effective_at == at + HOUR + MICROSECOND
    assert Membership.objects.get(segment=segment).entered_at == at + HOUR + MICROSECOND


def test_segments_that_read_each_other_follow_in_the_same_sweep_at_the_same_moment(shop: Tracker) -> None:
    at = datetime.now(UTC) - 20 * DAY
    freeze(at)
    shop.send(track("Bought", "ann", timestamp=(at - DAY).isoformat()))
    process_all()
    recent = live("recent", performed("Bought", within={"days": 3}), cadence="real_time")
    lapsed = live("lapsed", {"all": [performed("Bought"), {"not": {"in_segment": "recent"}}]}, cadence="daily")
    lost = live("lost", {"in_segment": "lapsed"}, cadence="daily")
    assert "ann" not in members(lost)
    freeze(at + 2 * DAY + HOUR)
    SweepState.objects.exclude(pk=recent.pk).update(swept_to=at + 2 * DAY + HOUR - MINUTE)
    sweep_due()
    number_changes()
    assert "ann" in members(lapsed) and "ann" in members(lost) and "ann" not in members(recent)
    moments = {newest_change(one).effective_at for one in (recent, lapsed, lost)}
    assert moments == {at + 2 * DAY + MICROSECOND}


def test_date_traits_come_into_their_window_and_out_of_it(shop: Tracker) -> None:
    at = datetime.now(UTC).replace(microsecond=0) - 30 * DAY
    freeze(at)
    renews = (at + 2 * DAY).isoformat()
    shop.send(identify("ann", traits={"renews_at": renews}, ago=datetime.now(UTC) - at))
    process_all()
    segment = live("renewed", {"trait": "renews_at", "op": "within_last", "value": {"days": 3}})
    assert members(segment) == set()
    freeze(at + 3 * DAY)
    sweep_all()
    assert members(segment) == {"ann"}
    assert newest_change(segment).effective_at == at + 2 * DAY + MICROSECOND
    freeze(at + 6 * DAY)
    sweep_all()
    assert members(segment) == set()
    assert newest_change(segment).effective_at == at + 5 * DAY + MICROSECOND


@pytest.mark.parametrize(("limit", "value"), [("people.MOST_EVENTS", 0), ("turning.SHARE_OF_BATCH", -1.0)])
def test_where_the_moment_is_not_looked_for_the_change_counts_from_when_it_was_noticed(
    shop: Tracker, monkeypatch: pytest.MonkeyPatch, limit: str, value: float
) -> None:
    at = datetime.now(UTC) - 20 * DAY
    freeze(at)
    shop.send(track("Bought", "ann", timestamp=(at - DAY).isoformat()))
    process_all()
    segment = live("recent", performed("Bought", within={"days": 3}))
    monkeypatch.setattr(f"segments.{limit}", value)
    freeze(at + 5 * DAY)
    sweep_all()
    assert members(segment) == set()
    assert newest_change(segment).effective_at == at + 5 * DAY


# ---- What is due -----------------------------------------------------------------------------------------------


def test_each_segment_is_swept_at_its_own_pace(shop: Tracker) -> None:
    quick = live("quick", LAST_MINUTE, cadence="real_time")
    slow = live("slow", LAST_MINUTE, refresh_minutes=10)
    daily = live("daily", LAST_MINUTE, cadence="daily")
    before = {one.pk: swept_to(one) for one in (quick, slow, daily)}
    sweep_due()
    moved = {pk for pk in before if SweepState.objects.get(pk=pk).swept_to > before[pk]}
    assert moved == {quick.pk}
    SweepState.objects.filter(pk=slow.pk).update(swept_to=timezone.now() - 11 * MINUTE)
    SweepState.objects.filter(pk=daily.pk).update(swept_to=timezone.now() - 25 * HOUR)
    assert sweep_due().segments == 3
    assert sweep_due().segments == 1


def test_a_long_gap_is_made_up_for_in_slices_each_kept_once_done(shop: Tracker, settings: LazySettings) -> None:
    settings.SWEEP_SLICE_SECONDS = 3600
    shop.send(*(track("Bought", f"u{hours}", ago=DAY + hours * HOUR + MINUTE) for hours in range(-6, 0)))
    process_all()
    segment = live("recent", performed("Bought", within={"days": 1}))
    gone = timezone.now() - 6 * HOUR
    # As if nothing had happened for six hours, in which all but one of them left.
    for hours in range(-6, 0):
        Membership.objects.get_or_create(
            segment=segment, profile=person(f"u{hours}"), defaults={"entered_at": timezone.now()}
        )
    SweepState.objects.filter(pk=segment.pk).update(swept_to=gone)
    steps = iter([False, False, False, True])
    sweep_due(everything=True, is_stopping=lambda: next(steps, True))
    halfway = swept_to(segment)
    assert gone < halfway < timezone.now() - HOUR
    sweep_due(everything=True)
    assert swept_to(segment) > timezone.now() - MINUTE
    assert member_ids(segment) == truth(segment, timezone.now())


def test_people_are_judged_in_chunks_and_all_of_them(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segments.sweep.CHUNK", 3)
    at = datetime.now(UTC) - 2 * DAY
    freeze(at)
    shop.send(*(track("Bought", f"u{n}", timestamp=(at - HOUR).isoformat()) for n in range(10)))
    process_all()
    segment = live("recent", performed("Bought", within={"hours": 2}))
    assert len(members(segment)) == 10
    freeze(at + 2 * HOUR)
    swept = sweep_all()
    assert (swept.candidates, swept.exited, members(segment)) == (10, 10, set())


# ---- Where only a full refresh helps -----------------------------------------------------------------------------


def test_a_new_rule_is_swept_only_after_its_first_refresh(shop: Tracker) -> None:
    segment = live("buyers", LAST_MINUTE)
    version = save_version(segment=segment, rule=rule(performed("Bought", 2)), by=BY)
    publish(segment=segment, version=version, by=BY)
    assert not SweepState.objects.filter(pk=segment.pk).exists()
    assert sweep_all().segments == 0
    refresh_now(segment)
    assert SweepState.objects.get(pk=segment.pk).version_id == version.pk
    assert sweep_all().segments == 1


def test_what_read_a_broken_segment_is_refreshed_once_that_is_mended(shop: Tracker) -> None:
    broken = live("broken", performed("Bought"))
    reader = live("reader", {"not": {"in_segment": "broken"}})
    far = live("far", {"in_segment": "reader"})
    other = live("other", performed("Bought"))
    flag_broken(broken.pk, "somebody changed a type")
    assert set(SweepState.objects.values_list("pk", flat=True)) == {other.pk}
    Job.objects.update(state=JobState.SUCCEEDED)
    assert request_due_refreshes() == 0, "while it is broken nobody can bring them in line"
    set_live(broken, performed("Bought", 1))
    Job.objects.update(state=JobState.SUCCEEDED)
    assert request_due_refreshes() == 2
    asked = set(Job.objects.unfinished().values_list("params__segment", flat=True))
    assert asked == {reader.pk, far.pk}


def test_a_refresh_that_ends_after_its_rule_broke_lets_no_sweep_go_on(shop: Tracker) -> None:
    broken = live("broken", performed("Bought"))
    reader = live("reader", {"not": {"in_segment": "broken"}})
    rules = rules_now()
    begun = {}
    for segment in (broken, reader):
        rule_then = rules.by_segment(segment.pk)
        assert rule_then is not None
        begun[rule_then] = note_start(rule_then)
    flag_broken(broken.pk, "somebody changed a type")
    for rule_then, start in begun.items():
        mark_swept(rule_then, timezone.now(), start)
    assert not SweepState.objects.exists()


def test_where_the_clock_was_turned_back_members_are_worked_out_anew(shop: Tracker) -> None:
    now = datetime.now(UTC)
    segment = live("recent", performed("Bought", within={"days": 3}))
    freeze(now - 30 * DAY)
    assert sweep_all().segments == 0
    assert not SweepState.objects.exists()
    Job.objects.update(state=JobState.SUCCEEDED)
    assert request_due_refreshes() == 1
    refresh_now(segment)
    assert swept_to(segment) == now - 30 * DAY
    assert members(segment) == set()


def test_where_the_workspace_counts_its_days_otherwise_members_are_worked_out_anew(shop: Tracker) -> None:
    at = datetime(2026, 6, 1, 20, tzinfo=UTC)
    freeze(at)
    shop.send(track("Bought", "ann", timestamp=(at - 2 * HOUR).isoformat()))
    process_all()
    segment = live("today", performed("Bought", within="today"))
    assert members(segment) == {"ann"}
    # There it is half past one in the morning: what was today is yesterday now, and no edge has passed.
    Workspace.objects.update(time_zone="Asia/Kolkata")
    Job.objects.update(state=JobState.SUCCEEDED)
    freeze(at + HOUR)
    assert sweep_all().segments == 0
    assert request_due_refreshes() == 1
    refresh_now(segment)
    assert members(segment) == set()
    assert not DriftCheck.objects.exists(), "nothing had gone wrong"
    freeze(at + 2 * HOUR)
    assert sweep_all().segments == 1
    assert request_due_refreshes() == 0


def test_a_refresh_that_failed_is_not_asked_for_at_every_look(shop: Tracker) -> None:
    segment = live("buyers", LAST_MINUTE)
    SweepState.objects.all().delete()
    Job.objects.update(state=JobState.FAILED)
    assert request_due_refreshes() == 0
    Job.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    assert request_due_refreshes() == 1
    assert Job.objects.unfinished().get().params["segment"] == segment.pk


def test_a_rule_whose_edges_fail_stops_no_other(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = live("good", LAST_MINUTE, cadence="real_time"), live("bad", performed("Looked", within={"hours": 1}))
    SweepState.objects.update(swept_to=timezone.now() - HOUR)
    asked = LeafQueries.touched

    def touched(queries: LeafQueries, leaves: Any, *more: Any, **named: Any) -> Any:
        if any(getattr(leaf, "event", "") == "Looked" for leaf in leaves):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        return asked(queries, leaves, *more, **named)

    monkeypatch.setattr(LeafQueries, "touched", touched)
    sweep_all()
    bad.refresh_from_db()
    assert bad.broken_reason and not SweepState.objects.filter(pk=bad.pk).exists()
    assert swept_to(good) > timezone.now() - MINUTE
    good.refresh_from_db()
    assert not good.broken_reason


def test_a_rule_that_does_not_say_when_its_edges_pass_is_refreshed_in_full(
    shop: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if calendar windows were new, and whoever made them had left that for later.
    monkeypatch.delattr(Calendar, "clocks")
    sources.cache_clear()
    stretches.cache_clear()
    at = datetime(2026, 6, 1, 12, tzinfo=UTC)
    freeze(at)
    shop.send(track("Bought", "ann", timestamp=(at - HOUR).isoformat()))
    process_all()
    today, swept = (
        live("today", performed("Bought", within="today")),
        live("recent", performed("Bought", within={"days": 1})),
    )
    assert person("ann").pk in member_ids(today)
    Job.objects.update(state=JobState.SUCCEEDED)
    freeze(at + DAY)
    assert sweep_all().segments == 1
    assert person("ann").pk not in member_ids(swept)
    assert [job.params["segment"] for job in Job.objects.filter(kind="segments.refresh", state=JobState.QUEUED)] == [
        today.pk
    ]
    assert refresh_now(today).exited == 1
    assert newest_change(today).effective_at == at + DAY, "as of the judgement: no edge explains it"
    assert not drifted(Segment.objects.all()).exists(), "time may have done it, so it is no drift"
    with pytest.raises(Conflict, match="can't be told yet"):
        outlook(profile=person("ann"), segment=today)


# ---- The nightly comparison ------------------------------------------------------------------------------------------


def test_a_refresh_of_members_that_were_kept_well_finds_no_drift(shop: Tracker) -> None:
    at = datetime.now(UTC) - 20 * DAY
    freeze(at)
    shop.send(track("Bought", "ann", timestamp=(at - DAY).isoformat()))
    process_all()
    segment = live("recent", performed("Bought", within={"days": 3}))
    assert not DriftCheck.objects.exists(), "a first refresh compares with nothing"
    freeze(at + 5 * DAY)
    assert refresh_now(segment).exited == 1, "no sweep was there before it"
    change = newest_change(segment)
    assert change.effective_at == at + 2 * DAY + MICROSECOND
    check = DriftCheck.objects.get()
    assert (check.missing, check.extra, check.as_of) == (0, 0, at + 5 * DAY), "what time did is no drift"
    assert not drifted(Segment.objects.all()).exists()


def test_drift_is_put_right_recorded_and_shown_on_home(shop: Tracker, client: Client) -> None:
    shop.send(track("Bought", "ann", ago=HOUR), track("Looked", "bob", ago=HOUR))
    process_all()
    segment = live("recent", performed("Bought", within={"days": 3}))
    Membership.objects.filter(segment=segment, profile=person("ann")).delete()
    Membership.objects.create(segment=segment, profile=person("bob"), entered_at=timezone.now())
    refresh_now(segment)
    assert members(segment) == {"ann", "first"}
    check = DriftCheck.objects.get()
    assert (check.missing, check.extra) == (1, 1)
    entry = AuditEntry.objects.get(action="segment.drifted")
    assert entry.object_id == str(segment.uuid) and (entry.detail["missing"], entry.detail["extra"]) == (1, 1)
    assert list(drifted(Segment.objects.all())) == [segment]
    somebody = User.objects.create_user("auditor")
    somebody.groups.add(Group.objects.get(name="admin"))
    somebody.is_staff = True
    somebody.save()
    client.force_login(somebody)
    shown = client.get("/admin/").content.decode()
    assert "had drifted from its rule" in shown and "1 missing, 1 too many" in shown
    refresh_now(segment)
    assert not drifted(Segment.objects.all()).exists(), "the newest comparison counts"
    assert "had drifted" not in client.get("/admin/").content.decode()


def test_old_comparisons_are_forgotten(shop: Tracker) -> None:
    segment = live("buyers", performed("Bought"))
    refresh_now(segment)
    DriftCheck.objects.update(checked_at=timezone.now() - 91 * DAY)
    refresh_now(segment)
    assert DriftCheck.objects.count() == 1


def test_every_segment_is_compared_once_a_night(shop: Tracker, settings: LazySettings) -> None:
    segment = live("buyers", performed("Bought"))
    Job.objects.update(state=JobState.SUCCEEDED)
    settings.NIGHTLY_HOUR = (timezone.now() - HOUR).hour
    Segment.objects.update(last_refreshed_at=timezone.now() - 3 * HOUR)
    assert request_due_refreshes() == 1
    refresh_now(segment)
    Job.objects.update(state=JobState.SUCCEEDED)
    assert request_due_refreshes() == 0
