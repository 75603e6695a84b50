"""Each kind of edge, through real sweeps: an instant before it nothing has changed, at it everything has.

Sweeps look back over nothing here, so an edge that one of them misses stays missed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.conf import LazySettings

from cdp.jobs.models import Job, JobState
from cdp.profiles.models import Workspace
from segments.feed import number_changes
from segments.models import ChangeKind, ChangeWhy, MembershipChange, Segment
from segments.sweep import sweep_due
from segments.turning import outlook
from tests.factories import Call, Tracker, identify, live, members, performed, person, process_all, track, tracker

pytestmark = pytest.mark.django_db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
AT = datetime(2026, 6, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_is_looked_at_twice(settings: LazySettings) -> None:
    settings.BATCH_SECONDS = 0
    settings.SWEEP_SLICE_SECONDS = 10 * 366 * 24 * 3600


@pytest.fixture
def shop() -> Tracker:
    """Names of events and traits that rules can speak of; who did all of it long ago is in no window."""
    shop = tracker()
    old = utc("2001-05-05T05:05")
    shop.send(*(track(name, "old", timestamp=old.isoformat()) for name in ("Bought", "Looked", "Left")))
    shop.send(identify("old", traits={"born": "1899-07-07", "renews": "1899-07-07"}, ago=DAY))
    process_all()
    return shop


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def clock(at: datetime, zone: str = "UTC") -> None:
    Workspace.objects.update_or_create(pk=1, defaults={"frozen_at": at, "time_zone": zone})


def did(shop: Tracker, *events: tuple[str, datetime], user: str = "ann", **more: Any) -> None:
    shop.send(*(track(name, user, timestamp=at.isoformat(), **more) for name, at in events))
    process_all()


def turns(condition: Call, edges: Sequence[datetime], *, key: str = "segment") -> Segment:
    """Ann's verdict turns at each of these moments and at no other, whatever it was before the first.

    The outlook says each of them beforehand, the sweep that ends there makes the change, effective then, and the one that
    ended an instant before found nothing to change.
    """
    segment = live(key, condition)
    is_in = "ann" in members(segment)
    zone = Workspace.current().time_zone
    ann = person("ann")
    for edge in edges:
        assert outlook(profile=ann, segment=segment).changes_at == edge
        clock(edge - MICROSECOND, zone)
        sweep()
        assert ("ann" in members(segment)) is is_in, f"too soon for {edge}"
        clock(edge, zone)
        sweep()
        is_in = not is_in
        assert ("ann" in members(segment)) is is_in, f"not yet noticed at {edge}"
        newest = MembershipChange.objects.filter(segment=segment).latest("position")
        assert newest.effective_at == edge
        assert (newest.kind, newest.why) == (ChangeKind.ENTERED if is_in else ChangeKind.EXITED, ChangeWhy.TIME)
    return segment


def sweep() -> None:
    Job.objects.update(state=JobState.SUCCEEDED)
    assert sweep_due(everything=True).segments == Segment.objects.count(), "all are swept, whatever their conditions"
    number_changes()
    assert not Job.objects.unfinished().exists(), "none has to be refreshed in full instead"


def stays(segment: Segment, until: datetime) -> None:
    """Nothing changes any more until then."""
    before = MembershipChange.objects.count()
    ahead = outlook(profile=person("ann"), segment=segment).changes_at
    assert ahead is None or ahead > until
    clock(until, Workspace.current().time_zone)
    sweep()
    assert MembershipChange.objects.count() == before


# ---- Rolling windows, and windows that lie back --------------------------------------------------------------------


def test_rolling_windows_lose_each_event_an_instant_after_it_was_that_old(shop: Tracker) -> None:
    clock(AT)
    did(shop, ("Bought", AT - 2 * DAY), ("Bought", AT - DAY))
    at_most_once = {"performed": "Bought", "op": "between", "value": [1, 1], "within": {"days": 3}}
    segment = turns(at_most_once, [AT + DAY + MICROSECOND, AT + 2 * DAY + MICROSECOND])
    stays(segment, AT + 400 * DAY)


def test_events_at_one_moment_leave_at_one_moment(shop: Tracker) -> None:
    clock(AT)
    did(shop, ("Bought", AT - DAY), ("Bought", AT - DAY), ("Bought", AT - HOUR))
    # From three it goes to one: never two.
    two = live("two", {"performed": "Bought", "op": "between", "value": [2, 2], "within": {"days": 3}})
    turns(performed("Bought", 2, within={"days": 3}), [AT + 2 * DAY + MICROSECOND])
    stays(two, AT + 400 * DAY)


def test_an_offset_window_has_two_edges(shop: Tracker) -> None:
    clock(AT)
    did(shop, ("Bought", AT))
    window = performed("Bought", within={"days": 3, "ago": {"days": 2}})
    segment = turns(window, [AT + 2 * DAY + MICROSECOND, AT + 5 * DAY + MICROSECOND])
    stays(segment, AT + 400 * DAY)


def test_who_stopped_and_who_started_again(shop: Tracker) -> None:
    clock(AT)
    did(shop, ("Bought", AT - DAY), ("Bought", AT + 12 * DAY))
    now, before = performed("Bought", within={"days": 3}), performed("Bought", within={"days": 3, "ago": {"days": 3}})
    stopped = turns({"all": [before, {"not": now}]}, [AT + 2 * DAY + MICROSECOND, AT + 5 * DAY + MICROSECOND])
    clock(AT + 6 * DAY)
    sweep()
    ever = performed("Bought", 2)
    again = {"all": [now, {"not": before}, ever]}
    turns(again, [AT + 12 * DAY + MICROSECOND, AT + 15 * DAY + MICROSECOND], key="again")
    assert "ann" in members(stopped), "she has stopped once more"


def test_some_of_the_last_periods(shop: Tracker) -> None:
    clock(AT)
    did(shop, ("Bought", AT - 47 * HOUR), ("Bought", AT - 29 * HOUR))
    two_of_three = {
        "performed": "Bought",
        "measure": "periods",
        "each": {"days": 1},
        "within": {"days": 3},
        "op": "gte",
        "value": 2,
    }
    # Both in the second day back; then the older is in the third; then both are, and then one is gone.
    segment = turns(two_of_three, [AT + HOUR + MICROSECOND, AT + 19 * HOUR + MICROSECOND])
    stays(segment, AT + 400 * DAY)


def test_figures_are_compared_at_the_edges_of_both(shop: Tracker) -> None:
    clock(AT)
    did(shop, ("Bought", AT - DAY), ("Looked", AT - DAY), ("Looked", AT - HOUR), ("Bought", AT + 3 * DAY))
    window = {"within": {"days": 2}}
    net = {"performed": "Looked", **window, "op": "gt", "than": {"performed": "Bought", **window}}
    # 2 looks beside a purchase; then 1 beside 0 until that leaves, too.
    segment = turns(net, [AT + 47 * HOUR + MICROSECOND])
    stays(segment, AT + 400 * DAY)


def test_the_figure_on_the_right_has_edges_too(shop: Tracker) -> None:
    clock(AT)
    did(shop, ("Looked", AT - HOUR), ("Bought", AT - DAY), ("Bought", AT + 3 * DAY))
    more = {"performed": "Looked", "op": "gt", "than": {"performed": "Bought", "within": {"days": 2}}}
    segment = turns(more, [AT + days * DAY + MICROSECOND for days in (1, 3, 5)])
    stays(segment, AT + 400 * DAY)


def test_the_first_moment_grows_old(shop: Tracker) -> None:
    clock(AT)
    did(shop, ("Bought", AT - DAY), ("Bought", AT - HOUR), ("Bought", AT + HOUR))
    new = {"performed": "Bought", "measure": "first_at", "op": "within_last", "value": {"days": 2}}
    stays(turns(new, [AT + DAY + MICROSECOND]), AT + 400 * DAY)


def test_the_last_moment_grows_old_unless_another_comes(shop: Tracker) -> None:
    clock(AT)
    did(shop, ("Bought", AT - DAY), ("Bought", AT - HOUR), ("Bought", AT + HOUR))
    active = {"performed": "Bought", "measure": "last_at", "op": "within_last", "value": {"days": 2}}
    stays(turns(active, [AT + HOUR + 2 * DAY + MICROSECOND]), AT + 400 * DAY)


# ---- One event beside another --------------------------------------------------------------------------------------


def test_what_did_not_follow_is_known_at_the_very_end_of_its_time(shop: Tracker) -> None:
    clock(AT)
    did(shop, ("Looked", AT), ("Looked", AT + 10 * DAY), ("Bought", AT + 10 * DAY + DAY - MICROSECOND))
    did(shop, ("Looked", AT + 20 * DAY), ("Bought", AT + 20 * DAY + DAY))
    left_it = {
        "sequence": [{"performed": "Looked"}, {"not_performed": "Bought", "within": {"days": 1}}],
        "within": {"days": 4},
    }
    edges = [AT + DAY, AT + 4 * DAY + MICROSECOND]
    # Of the second look a purchase follows in time; of the third just too late.
    edges += [AT + 21 * DAY, AT + 24 * DAY + MICROSECOND]
    segment = turns(left_it, edges)
    stays(segment, AT + 400 * DAY)


def test_a_sequence_is_complete_with_its_last_step_and_ends_with_its_first(shop: Tracker) -> None:
    clock(AT)
    did(shop, ("Looked", AT - DAY), ("Bought", AT + HOUR), ("Left", AT + 2 * HOUR))
    steps = [{"performed": "Looked"}, {"performed": "Bought"}, {"performed": "Left", "within": {"hours": 2}}]
    segment = turns(
        {"sequence": steps, "within": {"days": 3}}, [AT + 2 * HOUR + MICROSECOND, AT + 2 * DAY + MICROSECOND]
    )
    stays(segment, AT + 400 * DAY)


def test_steps_at_one_moment_follow_in_the_order_of_their_ids(shop: Tracker) -> None:
    clock(AT)
    for name, message in (("Looked", "a"), ("Bought", "b")):
        did(shop, (name, AT + HOUR), messageId=message)
    steps = [{"performed": "Looked"}, {"performed": "Bought"}]
    turns({"sequence": steps}, [AT + HOUR + MICROSECOND])
    backwards = live("backwards", {"sequence": steps[::-1]})
    stays(backwards, AT + 400 * DAY)


def test_since_another_event_begins_anew_when_that_comes(shop: Tracker) -> None:
    clock(AT)
    did(shop, ("Bought", AT - DAY), ("Looked", AT + HOUR), ("Bought", AT + 2 * HOUR), ("Looked", AT + 3 * HOUR))
    looked = performed("Looked", within={"since": "Bought"})
    segment = turns(looked, [AT + hours * HOUR + MICROSECOND for hours in (1, 2, 3)])
    stays(segment, AT + 400 * DAY)


# ---- Dates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("op", "edges"), [("within_next", (3, 5)), ("within_last", (5, 7))])
def test_dates_come_near_and_pass(shop: Tracker, op: str, edges: tuple[int, int]) -> None:
    clock(AT)
    shop.send(identify("ann", traits={"renews": (AT + 5 * DAY).isoformat()}))
    process_all()
    segment = turns(
        {"trait": "renews", "op": op, "value": {"days": 2}}, [AT + days * DAY + MICROSECOND for days in edges]
    )
    stays(segment, AT + 400 * DAY)


BIRTHDAY = {"trait": "born", "op": "anniversary", "value": {"days": 3}}


def born(shop: Tracker, day: str) -> None:
    shop.send(identify("ann", traits={"born": day}))
    process_all()


def test_anniversaries_come_round_at_the_workspaces_midnight(shop: Tracker) -> None:
    clock(AT, "Europe/Zurich")
    born(shop, "1990-06-15")
    edges = [utc("2026-06-12T22:00"), utc("2026-06-15T22:00"), utc("2027-06-12T22:00"), utc("2027-06-15T22:00")]
    turns(BIRTHDAY, edges)


def test_anniversaries_where_half_hours_count(shop: Tracker) -> None:
    clock(AT, "Asia/Kolkata")
    born(shop, "1990-06-15")
    turns(BIRTHDAY, [utc("2026-06-12T18:30"), utc("2026-06-15T18:30")])


def test_a_leap_day_comes_round_on_the_28th_where_there_is_none(shop: Tracker) -> None:
    clock(utc("2023-06-01T12:00"))
    born(shop, "2000-02-29")
    edges = [utc("2024-02-27T00:00"), utc("2024-03-01T00:00"), utc("2025-02-26T00:00"), utc("2025-03-01T00:00")]
    turns(BIRTHDAY, edges)


def test_the_day_of_the_first_purchase_comes_round(shop: Tracker) -> None:
    clock(AT, "Europe/Zurich")
    did(shop, ("Bought", utc("2024-06-15T12:00")), ("Bought", utc("2024-08-01T12:00")))
    again = {"performed": "Bought", "measure": "first_at", "op": "anniversary", "value": {"days": 1}}
    turns(again, [utc("2026-06-14T22:00"), utc("2026-06-15T22:00"), utc("2027-06-14T22:00")])


# ---- Calendar windows ------------------------------------------------------------------------------------------------

CALENDARS = {
    # What is of today came in when it happened, and leaves at midnight; tomorrow it is of yesterday.
    "today": ("UTC", "today", "2026-06-10T11:00", ["2026-06-11T00:00"]),
    "yesterday": ("UTC", "yesterday", "2026-06-10T11:00", ["2026-06-11T00:00", "2026-06-12T00:00"]),
    "week": ("UTC", "this_week", "2026-06-10T11:00", ["2026-06-15T00:00"]),
    "last week": ("UTC", "last_week", "2026-06-10T11:00", ["2026-06-15T00:00", "2026-06-22T00:00"]),
    "month": ("UTC", "this_month", "2026-06-10T11:00", ["2026-07-01T00:00"]),
    "last month, a long one": ("UTC", "last_month", "2026-05-31T11:00", ["2026-06-01T00:00", "2026-07-01T00:00"]),
    "quarter": ("UTC", "this_quarter", "2026-06-10T11:00", ["2026-07-01T00:00"]),
    "last quarter": ("UTC", "last_quarter", "2025-12-31T23:00", ["2026-01-01T00:00", "2026-04-01T00:00"]),
    "year": ("UTC", "this_year", "2025-06-10T11:00", ["2026-01-01T00:00"]),
    "last year": ("UTC", "last_year", "2024-06-10T11:00", ["2025-01-01T00:00", "2026-01-01T00:00"]),
    "a leap day's month": ("UTC", "this_month", "2024-02-29T11:00", ["2024-03-01T00:00"]),
    "the month after a leap day": ("UTC", "last_month", "2024-02-29T11:00", ["2024-03-01T00:00", "2024-04-01T00:00"]),
    "half hours": ("Asia/Kolkata", "yesterday", "2026-06-10T11:00", ["2026-06-10T18:30", "2026-06-11T18:30"]),
    "a month that ends elsewhere": ("Asia/Kolkata", "this_month", "2026-06-30T18:29", ["2026-06-30T18:30"]),
    # Clocks go forward on 29 March in Zurich, and back on 25 October.
    "a day of 23 hours": ("Europe/Zurich", "today", "2026-03-28T23:00", ["2026-03-29T22:00"]),
    "after it": ("Europe/Zurich", "yesterday", "2026-03-29T21:59", ["2026-03-29T22:00", "2026-03-30T22:00"]),
    "a day of 25 hours": ("Europe/Zurich", "today", "2026-10-24T22:00", ["2026-10-25T23:00"]),
    "after that": ("Europe/Zurich", "yesterday", "2026-10-24T22:00", ["2026-10-25T23:00", "2026-10-26T23:00"]),
    # In Santiago the day before ends at its midnight, and the next one begins an hour later by its clocks.
    "a day without midnight": ("America/Santiago", "today", "2026-09-06T03:59", ["2026-09-06T04:00"]),
}


@pytest.mark.parametrize(("zone", "period", "happened", "edges"), CALENDARS.values(), ids=CALENDARS)
def test_calendar_windows_turn_at_midnight(
    shop: Tracker, zone: str, period: str, happened: str, edges: list[str]
) -> None:
    at = utc(happened)
    clock(at + 30 * MICROSECOND, zone)
    did(shop, ("Bought", at))
    segment = turns(performed("Bought", within=period), [utc(one) for one in edges])
    stays(segment, utc(edges[-1]) + 400 * DAY)


def test_an_event_at_midnight_belongs_to_the_day_that_begins(shop: Tracker) -> None:
    midnight = utc("2026-06-10T22:00")
    clock(midnight - HOUR, "Europe/Zurich")
    did(shop, ("Bought", midnight))
    turns(performed("Bought", within="today"), [midnight + MICROSECOND, midnight + DAY])


def test_the_last_instant_of_a_day_has_happened_when_the_day_is_over(shop: Tracker) -> None:
    midnight = utc("2026-06-10T22:00")
    clock(midnight - HOUR, "Europe/Zurich")
    did(shop, ("Bought", midnight - MICROSECOND))
    today = live("today", performed("Bought", within="today"))
    turns(performed("Bought", within="yesterday"), [midnight, midnight + DAY])
    assert not MembershipChange.objects.filter(segment=today).exists()


def test_what_is_dated_ahead_comes_into_its_day(shop: Tracker) -> None:
    clock(AT)
    did(shop, ("Bought", AT + DAY))
    turns(performed("Bought", within="today"), [AT + DAY + MICROSECOND, utc("2026-06-12T00:00")])


def test_a_long_gap_over_several_midnights_is_made_up_for(shop: Tracker, settings: LazySettings) -> None:
    settings.SWEEP_SLICE_SECONDS = 50 * 3600
    clock(AT, "Europe/Zurich")
    did(shop, ("Bought", AT - HOUR), ("Bought", AT + DAY), ("Bought", AT + 2 * DAY))
    born(shop, "1990-06-12")
    today, feast = live("today", performed("Bought", within="today")), live("feast", BIRTHDAY)
    assert {"ann"} == members(today) == members(feast)
    for later in (5 * DAY, 366 * DAY):
        clock(AT + later, "Europe/Zurich")
        sweep()
    assert members(today) == set() and members(feast) == {"ann"}
    left = MembershipChange.objects.filter(segment=today).latest("position")
    assert (left.kind, left.effective_at) == (ChangeKind.EXITED, utc("2026-06-12T22:00"))
    back = list(MembershipChange.objects.filter(segment=feast).order_by("position").values_list("kind", "effective_at"))
    assert back[-2:] == [
        (ChangeKind.EXITED, utc("2026-06-12T22:00")),
        (ChangeKind.ENTERED, utc("2027-06-09T22:00")),
    ]


# ---- Another segment -------------------------------------------------------------------------------------------------


def test_what_reads_another_segment_turns_with_it(shop: Tracker) -> None:
    clock(AT, "Europe/Zurich")
    did(shop, ("Bought", AT - HOUR))
    live("today", performed("Bought", within="today"))
    reader = turns({"all": [performed("Bought"), {"not": {"in_segment": "today"}}]}, [utc("2026-06-10T22:00")])
    moments = MembershipChange.objects.filter(why=ChangeWhy.TIME).values_list("segment__key", "effective_at")
    assert dict(moments.order_by("position")) == dict.fromkeys(("today", reader.key), utc("2026-06-10T22:00"))


def test_edges_of_many_kinds_pass_in_one_sweep(shop: Tracker) -> None:
    """Nothing about one kind keeps another from being noticed, in whatever order."""
    clock(AT, "Asia/Kolkata")
    did(shop, ("Bought", AT - HOUR), ("Looked", AT - HOUR))
    born(shop, "1990-06-10")
    conditions = [
        performed("Bought", within="today"),
        performed("Bought", within={"hours": 2}),
        {"trait": "born", "op": "anniversary", "value": {"days": 1}},
        {"performed": "Looked", "measure": "last_at", "op": "within_last", "value": {"hours": 2}},
    ]
    segments = [live(f"s{number}", one) for number, one in enumerate(conditions)]
    everything = live("all", {"any": conditions})
    assert all(members(one) == {"ann"} for one in (*segments, everything))
    clock(AT + DAY, "Asia/Kolkata")
    sweep()
    assert all(members(one) == set() for one in (*segments, everything))
    effective = [MembershipChange.objects.filter(segment=one).latest("position").effective_at for one in segments]
    rolled, midnight = AT + HOUR + MICROSECOND, utc("2026-06-10T18:30")
    assert effective == [midnight, rolled, midnight, rolled]
    assert MembershipChange.objects.filter(segment=everything).latest("position").effective_at == midnight
    assert all(earlier <= later for earlier, later in pairwise(sorted(effective)))
