"""The books must balance: what is derived equals what it is derived from, whoever raced or died on the way.

Each check derives anew, by another way than the platform's own running one, and compares.
"""

from collections import defaultdict
from datetime import datetime

from django.db import connection

from cdp.profiles.models import Profile, Workspace
from segments.catalogue import catalog
from segments.engines import postgres
from segments.models import ChangeKind, Membership, MembershipChange, Segment, SegmentStatus
from segments.moments import moment_of_judgement
from segments.rules import load


def assert_books_balance() -> None:
    assert_totals_equal_events()
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
          FROM profiles_event GROUP BY 1, 2
    """
    kept = "SELECT profile_id, name_id, count, value_sum, first_at, last_at FROM profiles_eventtotal"
    assert rows(f"({derived} EXCEPT {kept}) UNION ALL ({kept} EXCEPT {derived})") == []


def assert_nobody_is_orphaned() -> None:
    for table in (
        "profiles_event", "profiles_eventtotal", "profiles_traitvalue", "profiles_traitremoval", "profiles_identifier",
        "segments_membership", "consent_consentstate",
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
