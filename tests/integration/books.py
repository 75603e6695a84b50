"""The books must balance: what is derived equals what it is derived from, whoever raced or died on the way.

Each check derives anew, by another way than the platform's own running one, and compares.
"""

from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection

from cdp.profiles.models import Event, EventName, EventType, Profile, Session, Workspace
from segments.catalogue import catalog
from segments.engines import postgres
from segments.models import ChangeKind, Membership, MembershipChange, Segment, SegmentStatus
from segments.moments import moment_of_judgement
from segments.rules import load


def assert_books_balance() -> None:
    assert_totals_equal_events()
    assert_orders_count_once()
    assert_sessions_are_what_devices_sent()
    assert_nobody_is_orphaned()
    assert_members_are_who_the_rules_say()
    assert_changes_replay_to_members()
    assert_feed_has_no_gaps()


def rows(query: str) -> list[tuple]:  # type: ignore[type-arg]
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def assert_totals_equal_events() -> None:
    derived = """
        SELECT profile_id, name_id, count(*), coalesce(sum(value), 0), min(occurred_at), max(occurred_at)
          FROM profiles_event WHERE name_id > 0 GROUP BY 1, 2
    """
    kept = "SELECT profile_id, name_id, count, value_sum, first_at, last_at FROM profiles_eventtotal"
    assert rows(f"({derived} EXCEPT {kept}) UNION ALL ({kept} EXCEPT {derived})") == []


def assert_orders_count_once() -> None:
    """Of the versions of an order exactly the newest counts, and a completed order counts as completed whoever tells it."""
    numbers = dict(EventName.objects.values_list("name", "pk"))
    completed, updated = numbers.get("Order Completed", 0), numbers.get("Order Updated", 0)
    orders: dict[tuple[int, str], list[Event]] = defaultdict(list)
    for event in Event.objects.filter(order_key__isnull=False):
        orders[event.profile_id, str(event.order_key)].append(event)
    for events in orders.values():
        versions = [e for e in events if e.type != EventType.DERIVED and e.named in (completed, updated)]
        refunds = [e for e in events if e.name_id == numbers.get("Order Refunded")]
        booked = sum(e.value for e in events if e.name_id == numbers["Revenue Booked"] and e.value)
        counting = [e.value or 0 for e in events if e.name_id == completed]
        named = sum(abs(e.value) for e in refunds if e.amount is not None and e.value is not None)
        if any(e.amount is None for e in refunds):
            assert booked <= 0 or counting == [], "refunded as a whole"
        else:
            assert booked == sum(counting) - named
        if not versions:
            continue
        newest = max(versions, key=lambda e: (e.occurred_at, e.message_id, e.source_id))
        assert [e for e in versions if not e.is_superseded] == [newest]
        counted = [e for e in events if e.name_id == completed]
        if any(e.named == completed for e in versions):
            (one,) = counted
            assert (one.occurred_at, one.message_id, one.value) == (newest.occurred_at, newest.message_id, newest.value)
        else:
            assert counted == []
        lines = [e for e in events if e.name_id == numbers["Product Purchased"]]
        told = newest.properties.get("products", []) if counted else []
        assert sorted(e.properties["position"] for e in lines) == list(range(1, len(told) + 1))
        for line in lines:
            item = told[line.properties["position"] - 1]
            assert (line.message_id, line.occurred_at) == (newest.message_id, newest.occurred_at)
            assert line.amount == Decimal(str(item["price"])) * item.get("quantity", 1)


def assert_sessions_are_what_devices_sent() -> None:
    """Sessions, and the events that tell of their beginning, equal those found by walking through each person's events."""
    started = EventName.objects.get(name="Session Started").pk
    sent: dict[int, list[Event]] = defaultdict(list)
    for event in Event.objects.filter(from_device=True):
        sent[event.profile_id].append(event)
    expected = set()
    for profile_id, events in sent.items():
        visit: list[Event] = []
        for event in [*sorted(events, key=lambda e: (e.occurred_at, e.message_id, e.source_id)), None]:
            if visit and (event is None or event.occurred_at - visit[-1].occurred_at > timedelta(minutes=30)):
                first = visit[0]
                path = (first.context.get("page") or {}).get("path", "")
                expected.add((profile_id, first.occurred_at, visit[-1].occurred_at, len(visit), first.message_id, path))
                visit = []
            if event is not None:
                visit.append(event)
    kept = Session.objects.values_list("profile_id", "started_at", "ended_at", "events", "message_id", "entry_page")
    assert sorted(kept) == sorted(expected)
    told = Event.objects.filter(name_id=started).values_list("profile_id", "occurred_at", "message_id")
    assert sorted(told) == sorted((profile_id, at, message_id) for profile_id, at, _, _, message_id, _ in expected)


def assert_nobody_is_orphaned() -> None:
    for table in (
        "profiles_event", "profiles_eventtotal", "profiles_traitvalue", "profiles_traitremoval", "profiles_identifier",
        "profiles_session",
        "profiles_score",
        "segments_membership", "consent_consentstate", "segments_listentry",
    ):  # fmt: skip
        without = f"SELECT DISTINCT profile_id FROM {table} t WHERE NOT EXISTS (SELECT FROM profiles_profile p WHERE p.id = t.profile_id)"
        assert rows(without) == [], table
    # A profile that nothing leads to could never be found again.
    assert rows(
        "SELECT id FROM profiles_profile p WHERE NOT EXISTS (SELECT FROM profiles_identifier i WHERE i.profile_id = p.id)"
    ) == []  # fmt: skip


def truth(segment: Segment, as_of: datetime) -> set[int]:
    """Whom the live rule takes in, asked of everybody at once."""
    known = catalog()
    rule = load(segment.live_version.rule, known)  # type: ignore[union-attr]
    everybody = Profile.objects.values_list("pk", flat=True)
    return postgres.among(rule, known, as_of=as_of, scope=everybody)


def assert_members_are_who_the_rules_say() -> None:
    as_of = moment_of_judgement(Workspace.current())
    for segment in Segment.objects.filter(status=SegmentStatus.LIVE, broken_reason=""):
        assert member_ids(segment) == truth(segment, as_of), segment.key


def member_ids(segment: Segment) -> set[int]:
    return set(Membership.objects.filter(segment=segment).values_list("profile_id", flat=True))


def assert_changes_replay_to_members() -> None:
    """Each person's changes go in, out, in, out in the order of the feed, and end where the members are."""
    now: dict[int, set[int]] = defaultdict(set)
    for segment_id, profile_id, kind in MembershipChange.objects.order_by("position").values_list(
        "segment_id", "profile_id", "kind"
    ):
        if kind == ChangeKind.ENTERED:
            assert profile_id not in now[segment_id], f"{profile_id} entered {segment_id} twice"
            now[segment_id].add(profile_id)
        else:
            assert profile_id in now[segment_id], f"{profile_id} left {segment_id} without being in it"
            now[segment_id].remove(profile_id)
    for segment in Segment.objects.all():
        assert now[segment.pk] == member_ids(segment), segment.key
        assert segment.member_count == len(now[segment.pk]), segment.key


def assert_feed_has_no_gaps() -> None:
    positions = list(MembershipChange.objects.order_by("position").values_list("position", flat=True))
    assert positions == list(range(1, len(positions) + 1))
