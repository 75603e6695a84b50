"""When a change of membership took effect: its cause's own moment, but never before the change before it, nor ahead of us."""

from datetime import UTC, datetime, timedelta

import pytest

from cdp.pipeline import process_batch
from cdp.profiles.models import Event
from segments.feed import number_changes
from segments.models import ChangeKind, Membership, MembershipChange, PendingChange, Segment, SweepState
from segments.sweep import sweep_due
from tests.factories import Tracker, live, performed, person, process_all, set_live, track, tracker
from tests.integration.books import assert_books_balance

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ONCE = {"performed": "Bought", "op": "equals", "value": 1}


@pytest.fixture
def shop(db: None) -> Tracker:
    shop = tracker()
    shop.send(track("Bought", "somebody else"), track("Looked", "somebody else"))
    process_all()
    return shop


def changes(segment: Segment, user: str) -> list[tuple[str, datetime]]:
    """Kind and moment of each, in the order of the feed."""
    found = MembershipChange.objects.filter(segment=segment, profile_id=person(user).pk).order_by("position")
    return list(found.values_list("kind", "effective_at"))


def test_a_late_event_takes_nobody_out_before_they_came_in(shop: Tracker) -> None:
    segment = live("once", ONCE)
    shop.send(track("Bought", "ann", ago=HOUR))
    process_all()
    [(_, entered)] = changes(segment, "ann")
    shop.send(track("Bought", "ann", ago=30 * DAY))
    process_all()
    assert changes(segment, "ann") == [(ChangeKind.ENTERED, entered), (ChangeKind.EXITED, entered)]


def test_a_late_event_brings_nobody_in_before_they_left(shop: Tracker) -> None:
    segment = live("even", {"any": [{"not": performed("Bought")}, performed("Bought", 2)]})
    shop.send(track("Looked", "ann", ago=2 * HOUR))
    process_all()
    shop.send(track("Bought", "ann", ago=HOUR))
    process_all()
    shop.send(track("Bought", "ann", ago=30 * DAY))
    process_all()
    kinds, moments = zip(*changes(segment, "ann"), strict=True)
    assert kinds == (ChangeKind.ENTERED, ChangeKind.EXITED, ChangeKind.ENTERED)
    assert timedelta(0) <= datetime.now(UTC) - HOUR - moments[1] < timedelta(minutes=5), "when she bought"
    assert moments[2] == moments[1], "by what came to light later, but not before it"
    assert_books_balance()


def test_a_change_that_is_not_numbered_yet_came_before_as_well(shop: Tracker) -> None:
    segment = live("once", ONCE)
    for ago in (HOUR, 30 * DAY):
        shop.send(track("Bought", "ann", ago=ago))
        process_batch()
    first, second = PendingChange.objects.filter(segment=segment).order_by("pk")
    assert (first.kind, second.kind) == (ChangeKind.ENTERED, ChangeKind.EXITED)
    assert first.effective_at == second.effective_at


def test_what_a_new_rule_did_is_not_undone_before_it_was_live(shop: Tracker) -> None:
    shop.send(track("Looked", "ann", ago=DAY))
    process_all()
    segment = live("lookers", performed("Looked"))
    set_live(segment, performed("Bought"))
    left = changes(segment, "ann")[-1]
    assert left[0] == ChangeKind.EXITED
    shop.send(track("Bought", "ann", ago=30 * DAY))
    process_all()
    assert changes(segment, "ann")[-1] == (ChangeKind.ENTERED, left[1])


def test_changes_of_others_and_of_other_segments_hold_nobody_back(shop: Tracker) -> None:
    live("bystanders", performed("Looked"))
    segment = live("buyers", performed("Bought"))
    shop.send(track("Looked", "ann", ago=HOUR), track("Bought", "bob", ago=HOUR))
    process_all()
    shop.send(track("Bought", "ann", ago=30 * DAY))
    process_all()
    [(_, entered)] = changes(segment, "ann")
    assert timedelta(0) <= datetime.now(UTC) - 30 * DAY - entered < timedelta(minutes=5)


def test_what_one_event_did_in_several_segments_took_effect_at_one_moment(shop: Tracker) -> None:
    """Who went from one to another is told by these moments, also where one of the segments reads another."""
    shop.send(track("Bought", "ann", ago=HOUR))
    process_all()
    new = live("new", ONCE)
    first = live("first", {"all": [{"in_segment": "new"}, performed("Bought")]})
    loyal = live("loyal", performed("Bought", 2))
    shop.send(track("Bought", "ann", ago=30 * DAY))
    process_all()
    moments = {segment.key: changes(segment, "ann")[-1] for segment in (new, first, loyal)}
    assert {key: kind for key, (kind, _) in moments.items()} == {
        "new": ChangeKind.EXITED,
        "first": ChangeKind.EXITED,
        "loyal": ChangeKind.ENTERED,
    }
    (at,) = {at for _, at in moments.values()}
    assert at == changes(first, "ann")[0][1], "when the last of what it undid had begun"
    assert Membership.objects.get(segment=loyal, profile=person("ann")).entered_at == at
    assert_books_balance()


def test_a_sweep_that_sees_somebody_first_takes_them_out_at_no_earlier_moment_than_they_came(shop: Tracker) -> None:
    """By what is stored now they had left long before: whoever took away what had brought them in wasn't heard yet."""
    week = {"performed": "Bought", "within": {"days": 7}}
    segment = live("week", week)
    shop.send(track("Bought", "ann", ago=10 * DAY))
    process_all()
    shop.send(track("Bought", "ann", ago=HOUR))
    process_all()
    [(_, entered)] = changes(segment, "ann")
    Event.objects.filter(profile_id=person("ann").pk, occurred_at__gt=datetime.now(UTC) - 2 * HOUR).delete()
    SweepState.objects.filter(pk=segment.pk).update(swept_to=datetime.now(UTC) - 9 * DAY)
    sweep_due(everything=True)
    number_changes()
    assert changes(segment, "ann") == [(ChangeKind.ENTERED, entered), (ChangeKind.EXITED, entered)]
