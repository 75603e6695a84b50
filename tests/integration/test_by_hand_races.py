"""The first changes of a segment by hand, at once: they make one pair of lists, one version that carries it, and lose nobody."""

from typing import Any

import pytest

from segments.by_hand import put_by_hand
from segments.carrying import carried, hand_lists
from segments.models import ByHand, ListEntry, Segment, SegmentVersion, StaticList
from segments.services import publish, save_version
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
    track,
    tracker,
)
from tests.integration.books import assert_books_balance
from tests.integration.crew import Work, crew

pytestmark = pytest.mark.drill

ADDED, REMOVED = ("new0", "new1", "new2"), ("old0", "old1", "old2")


@pytest.fixture
def shop(own_database: Any) -> Tracker:
    shop = tracker()
    shop.send(*(identify(name) for name in (*ADDED, *REMOVED, "stays")))
    shop.send(*(track("Bought", name) for name in (*REMOVED, "stays")))
    process_all()
    return shop


def changing(segment: Segment, name: str, kind: ByHand) -> Work:
    one = person(name)

    def work() -> None:
        assert put_by_hand(segment=segment, profile=one, kind=kind, reason=f"for {name}", by=BY)

    return work


def test_first_changes_at_once_make_one_pair_of_lists_and_lose_nothing(shop: Tracker, drill_scale: Any) -> None:
    with crew(6) as hands:
        for number in range(drill_scale(full=100, quick=4)):
            segment = live(f"round-{number}", performed("Bought"))
            works = [changing(segment, name, ByHand.INCLUDE) for name in ADDED]
            works += [changing(segment, name, ByHand.EXCLUDE) for name in REMOVED]
            hands.race(works)
            process_all()
            lists = hand_lists(segment)
            assert lists is not None and StaticList.objects.filter(segment=segment).count() == 2
            entries = ListEntry.objects.filter(list__segment=segment).values_list("list__by_hand", "reason")
            expected = {("include", f"for {name}") for name in ADDED} | {("exclude", f"for {name}") for name in REMOVED}
            assert sorted(entries) == sorted(expected)
            segment.refresh_from_db()
            assert SegmentVersion.objects.filter(segment=segment).count() == 2, "one carries the lists, and once"
            assert segment.live_version is not None
            assert segment.live_version.rule == carried(rule(performed("Bought")), lists)
            assert members(segment) == {*ADDED, "stays"}
            done = refresh_now(segment)
            assert (done.entered, done.exited) == (0, 0)
    assert_books_balance()


def test_the_first_change_sets_no_earlier_rule_live_than_who_publishes_meanwhile(
    shop: Tracker, drill_scale: Any
) -> None:
    shop.send(track("Looked", "stays"))
    process_all()
    with crew(2) as hands:
        for number in range(drill_scale(full=100, quick=4)):
            segment = live(f"round-{number}", performed("Bought"))
            newer = save_version(segment=segment, rule=rule(performed("Looked")), by=BY)

            def set_live(segment: Segment = segment, newer: SegmentVersion = newer) -> None:
                publish(segment=segment, version=newer, by=BY)

            hands.race([changing(segment, "new0", ByHand.INCLUDE), set_live])
            segment.refresh_from_db()
            assert segment.live_version is not None
            assert segment.live_version.rule == carried(rule(performed("Looked")), hand_lists(segment))
            refresh_now(segment)
            assert members(segment) == {"new0", "stays"}
