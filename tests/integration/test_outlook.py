"""When would this change if nothing happened: said of one person, for the rule and all that it reads."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict
from cdp.identity.merging import merge_profiles
from cdp.profiles.models import Workspace
from consent.models import Decision
from segments.live import flag_broken
from segments.models import Segment
from segments.turning import outlook
from tests.factories import BY, Tracker, draft, identify, live, performed, person, process_all, track, tracker
from tests.integration.callers import decide, found, key, problem

pytestmark = pytest.mark.django_db

DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
NOW = datetime.now(UTC).replace(microsecond=0) - 10 * DAY


@pytest.fixture
def shop() -> Tracker:
    """Ann bought 25 and 5 days ago and looked ahead of time, bob long ago; the clock stands still."""
    Workspace.objects.update_or_create(pk=1, defaults={"frozen_at": NOW})
    shop = tracker()
    shop.send(
        track("Bought", "ann", timestamp=(NOW - 25 * DAY).isoformat()),
        track("Bought", "ann", timestamp=(NOW - 5 * DAY).isoformat()),
        track("Looked", "ann", timestamp=(NOW + DAY).isoformat()),
        track("Bought", "bob", timestamp=(NOW - 100 * DAY).isoformat()),
        identify("bob", traits={"renews_at": (NOW - DAY).isoformat()}, ago=11 * DAY),
    )
    process_all()
    return shop


def changes(user: str, segment: Segment) -> datetime | None:
    return outlook(profile=person(user), segment=segment).changes_at


def test_the_event_that_still_carries_the_verdict_says_when_it_ends(shop: Tracker) -> None:
    month = {"days": 30}
    twice, once = live("twice", performed("Bought", 2, within=month)), live("once", performed("Bought", within=month))
    assert changes("ann", twice) == NOW + 5 * DAY + MICROSECOND
    assert changes("ann", once) == NOW + 25 * DAY + MICROSECOND, "the older one leaves before, and changes nothing"
    seen = outlook(profile=person("ann"), segment=once)
    assert (seen.belongs, seen.leaves_at, seen.looked_until) == (True, seen.changes_at, None)
    assert changes("bob", once) is None


def test_whoever_is_out_comes_in_when_a_window_empties_or_an_event_comes_due(shop: Tracker) -> None:
    lapsed = live("lapsed", {"not": performed("Bought", within={"days": 30})})
    seen = outlook(profile=person("ann"), segment=lapsed)
    assert (seen.belongs, seen.changes_at, seen.leaves_at) == (False, NOW + 25 * DAY + MICROSECOND, None)
    assert changes("ann", live("lookers", performed("Looked"))) == NOW + DAY + MICROSECOND


def test_date_traits_say_when_they_leave_their_window(shop: Tracker) -> None:
    segment = live("renewed", {"trait": "renews_at", "op": "within_last", "value": {"days": 3}})
    assert changes("bob", segment) == NOW + 2 * DAY + MICROSECOND
    assert changes("ann", segment) is None


def test_segments_that_the_rule_reads_are_followed_through_time(shop: Tracker) -> None:
    live("recent", performed("Bought", within={"days": 30}))
    live("keen", {"all": [{"in_segment": "recent"}, {"not": performed("Looked")}]})
    reader = live("reader", {"any": [{"in_segment": "keen"}, performed("Bought", within={"days": 7})]})
    # Keen until tomorrow; by having bought this week for two days; after that by neither.
    assert changes("ann", reader) == NOW + 2 * DAY + MICROSECOND
    assert changes("bob", reader) is None


def test_what_nothing_but_events_and_traits_can_change_never_changes(shop: Tracker) -> None:
    assert changes("ann", live("everyone", {"everyone": True})) is None
    assert changes("bob", live("dated", {"trait": "renews_at", "op": "exists"})) is None


def test_who_has_too_long_a_history_is_told_so(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segments.people.MOST_EVENTS", 1)
    segment = live("once", performed("Bought", within={"days": 30}))
    assert changes("bob", segment) is None
    with pytest.raises(Conflict) as refused:
        changes("ann", segment)
    assert refused.value.code == "history_too_long"


@pytest.mark.parametrize("now", [datetime(2026, 5, 1, 10, tzinfo=UTC), datetime(2025, 11, 10, 10, tzinfo=UTC)])
def test_a_window_over_a_change_of_the_clocks_is_as_long_as_any(shop: Tracker, now: datetime) -> None:
    Workspace.objects.update(frozen_at=now, time_zone="Europe/Berlin")
    for user, minutes in (("cyd", 30), ("dan", -30)):
        shop.send(track("Bought", user, timestamp=(now - 90 * DAY + timedelta(minutes=minutes)).isoformat()))
    process_all()
    segment = live("quarter", performed("Bought", within={"days": 90}))
    seen = outlook(profile=person("cyd"), segment=segment)
    assert (seen.belongs, seen.changes_at) == (True, now + timedelta(minutes=30) + MICROSECOND)
    assert not outlook(profile=person("dan"), segment=segment).belongs


def test_it_says_how_far_it_has_looked(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segments.turning.MOST_MOMENTS", 1)
    seen = outlook(profile=person("ann"), segment=live("once", performed("Bought", within={"days": 30})))
    assert (seen.changes_at, seen.looked_until) == (None, NOW + 25 * DAY + MICROSECOND)


def test_it_stops_looking_when_it_takes_too_long(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segments.turning.OUTLOOK_SECONDS", -1)
    seen = outlook(profile=person("ann"), segment=live("once", performed("Bought", within={"days": 30})))
    assert (seen.changes_at, seen.looked_until) == (None, NOW + 5 * DAY + MICROSECOND)


def test_what_comes_round_every_year_is_looked_for_ten_years_ahead(shop: Tracker) -> None:
    shop.send(identify("ann", traits={"born": "1990-02-28"}, ago=11 * DAY))
    process_all()
    always = live("always", {"trait": "born", "op": "anniversary", "value": {"days": 366}})
    seen = outlook(profile=person("ann"), segment=always)
    assert (seen.belongs, seen.changes_at) == (True, None)
    assert seen.looked_until is not None and 9 * 366 * DAY < seen.looked_until - NOW < 11 * 366 * DAY
    seen = outlook(profile=person("bob"), segment=always)
    assert (seen.belongs, seen.changes_at, seen.looked_until) == (False, None, None), "of bob no birthday is known"


def test_days_end_where_the_workspace_is(shop: Tracker) -> None:
    Workspace.objects.update(time_zone="Asia/Kolkata")
    shop.send(track("Bought", "ann", timestamp=NOW.isoformat()))
    process_all()
    local = NOW.astimezone(ZoneInfo("Asia/Kolkata"))
    midnight = local.replace(hour=0, minute=0, second=0) + DAY
    assert changes("ann", live("yesterday", performed("Bought", within="yesterday"))) == midnight
    assert changes("ann", live("today", performed("Bought", within="today"))) == NOW + MICROSECOND


def test_nobody_is_judged_by_a_rule_that_is_not_live_or_broken(shop: Tracker) -> None:
    with pytest.raises(Conflict) as refused:
        changes("ann", draft("later", performed("Bought")))
    assert refused.value.code == "segment_not_live"
    broken = live("broken", performed("Bought"))
    flag_broken(broken.pk, "somebody changed a type")
    with pytest.raises(Conflict) as refused:
        changes("ann", broken)
    assert refused.value.code == "segment_broken"


# ---- Over REST -------------------------------------------------------------------------------------------------


def address(user: str, segment: Segment, purpose: str = "internal_analysis") -> str:
    return f"segments/{segment.key}/members/{person(user).uuid}/?purpose={purpose}"


def test_over_rest_a_person_is_shown_with_when_they_leave_and_it_is_on_record(shop: Tracker) -> None:
    segment = live("once", performed("Bought", within={"days": 30}))
    body = found(key(sees=[segment]).get(address("ann", segment)))
    leaves = (NOW + 25 * DAY + MICROSECOND).isoformat().replace("+00:00", "Z")
    assert body == {
        "profile": str(person("ann").uuid),
        "as_of": NOW.isoformat().replace("+00:00", "Z"),
        "is_member": True,
        "entered_at": body["entered_at"],
        "changes_at": leaves,
        "leaves_at": leaves,
        "looked_until": None,
    }
    assert body["entered_at"]
    entry = AuditEntry.objects.get(action="member.read")
    assert (entry.object_id, entry.purpose) == (str(segment.uuid), "internal_analysis")
    assert entry.detail["profile"] == str(person("ann").uuid)
    out = found(key(sees=[segment]).get(address("bob", segment)))
    assert (out["is_member"], out["entered_at"], out["changes_at"]) == (False, None, None)


def test_over_rest_nobody_is_shown_who_does_not_permit_the_purpose(shop: Tracker) -> None:
    segment = live("once", performed("Bought"))
    caller = key(sees=[segment])
    assert problem(caller.get(address("ann", segment, "marketing_email")), 404)["code"] == "profile_not_found"
    decide("ann", "marketing_email", Decision.GRANTED)
    assert found(caller.get(address("ann", segment, "marketing_email")))["is_member"] is True
    unknown = f"segments/once/members/{segment.uuid}/?purpose=internal_analysis"
    assert problem(caller.get(unknown), 404)["code"] == "profile_not_found"
    assert problem(caller.get(address("ann", segment, "")), 400)["code"]
    assert problem(key("profiles:read", sees=[segment]).get(address("ann", segment)), 403)["code"] == "scope_missing"


def test_over_rest_whoever_was_merged_answers_as_the_survivor(shop: Tracker) -> None:
    segment = live("once", performed("Bought", within={"days": 30}))
    former = address("bob", segment)
    merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="a clerk saw it", by=BY)
    process_all()
    body = found(key(sees=[segment]).get(former))
    assert body["profile"] == str(person("ann").uuid) and body["is_member"] is True


def test_the_pace_of_a_segment_is_set_over_rest(shop: Tracker) -> None:
    caller = key()
    sent = {"name": "Quick", "rule": {"version": 1, "performed": "Bought"}, "cadence": "real_time"}
    made = found(caller.post("segments/", sent), 201)
    assert (made["cadence"], made["refresh_minutes"], made["daily_hour"]) == ("real_time", 15, 5)
    changed = found(caller.patch("segments/quick/", {"cadence": "daily", "daily_hour": 22}))
    assert (changed["cadence"], changed["daily_hour"], changed["name"]) == ("daily", 22, "Quick")
    assert problem(caller.patch("segments/quick/", {"cadence": "hourly"}), 400)["pointer"] == "/cadence"
    assert problem(caller.patch("segments/quick/", {"daily_hour": 24}), 400)["pointer"] == "/daily_hour"
