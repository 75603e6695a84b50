"""Two people change one rule at the same time: whoever comes second is told, and nothing of the first is lost unseen."""

from threading import Event
from typing import Any

import pytest
from django.db import transaction

from cdp.audit.models import AuditEntry
from segments.by_hand import ready_lists
from segments.carrying import carried, hand_lists
from segments.models import Segment, SegmentStatus
from segments.rules import RuleErrors
from segments.saving import SavedMeanwhile
from segments.services import publish, save_and_publish, save_version
from tests.factories import BY, draft, live, performed, process_all, rule, track, tracker
from tests.integration.callers import found, key, problem
from tests.integration.crew import crew

BOUGHT = performed("Order Completed")
TWICE, OFTEN = performed("Order Completed", 2), performed("Order Completed", 5)


def known() -> None:
    tracker().send(track("Order Completed", "u0"))
    process_all()


@pytest.fixture
def segment(db: None) -> Segment:
    known()
    return draft("buyers", BOUGHT)


def save(segment: Segment, condition: dict[str, Any], base: int | None) -> int:
    return save_version(segment=segment, rule=rule(condition), by=BY, base=base).number


# ---- What is refused, and what isn't ---------------------------------------------------------------------------------


def test_a_rule_is_not_saved_over_one_that_its_writer_has_not_seen(segment: Segment) -> None:
    assert save(segment, TWICE, 1) == 2
    with pytest.raises(SavedMeanwhile) as refused:
        save(segment, OFTEN, 1)
    assert (refused.value.newest.number, refused.value.base, refused.value.pointer) == (2, 1, "/base_version")
    assert [one.number for one in segment.versions.all()] == [2, 1]
    assert save(segment, OFTEN, 2) == 3, "on top of theirs, once theirs is known"
    assert save(segment, BOUGHT, None) == 4, "who names no base follows whichever is the newest"


def test_what_says_the_same_is_no_conflict(segment: Segment) -> None:
    assert save(segment, TWICE, 1) == 2
    assert save(segment, TWICE, 1) == 2, "both wrote the same"
    assert save(segment, BOUGHT, 2) == 3
    assert save(segment, OFTEN, 1) == 4, "what was drafted from stands there again"
    with pytest.raises(SavedMeanwhile):
        save(segment, TWICE, 99)


def test_people_added_by_hand_meanwhile_are_no_conflict_and_stay(segment: Segment) -> None:
    publish(segment=segment, version=segment.versions.get(), by=BY)
    ready_lists(segment=segment, by=BY)
    assert segment.versions.count() == 2
    version = save_version(segment=segment, rule=rule(TWICE), by=BY, base=1)
    assert (version.number, version.rule) == (3, carried(rule(TWICE), hand_lists(segment)))


def test_saved_and_live_is_both_or_neither(segment: Segment) -> None:
    publish(segment=segment, version=segment.versions.get(), by=BY)
    with pytest.raises(RuleErrors, match="own members"):
        save_and_publish(segment=segment, rule=rule({"not": {"in_segment": "buyers"}}), by=BY, base=1)
    segment.refresh_from_db()
    assert segment.versions.count() == 1
    save(segment, TWICE, 1)
    with pytest.raises(SavedMeanwhile):
        save_and_publish(segment=segment, rule=rule(OFTEN), by=BY, base=1)
    version, job = save_and_publish(segment=segment, rule=rule(OFTEN), by=BY, base=2)
    segment.refresh_from_db()
    assert (segment.live_version, version.number, job.kind) == (version, 3, "segments.refresh")
    actions = (
        AuditEntry.objects.filter(object_id=str(segment.uuid)).order_by("recorded_at").values_list("action", flat=True)
    )
    assert list(actions)[-2:] == ["segment.version_created", "segment.published"]


def test_a_version_is_not_put_live_past_one_that_was_not_seen(segment: Segment) -> None:
    first = segment.versions.get()
    save(segment, TWICE, 1)
    with pytest.raises(SavedMeanwhile):
        publish(segment=segment, version=first, by=BY, base=1)
    publish(segment=segment, version=first, by=BY, base=2)
    segment.refresh_from_db()
    assert segment.live_version == first


# ---- Two transactions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goes_live", [False, True])
def test_of_two_who_save_at_once_the_second_waits_and_is_told(own_database: Any, goes_live: bool) -> None:
    """The first holds the segment's row and has not committed; a look at the newest version before that would see none of it."""
    known()
    segment = live("buyers", BOUGHT)
    has_saved, may_commit, second_is_done = Event(), Event(), Event()
    refusals: list[SavedMeanwhile] = []

    def first() -> None:
        with transaction.atomic():
            save(segment, TWICE, 1)
            has_saved.set()
            assert may_commit.wait(20)

    def second() -> None:
        assert has_saved.wait(20)
        try:
            if goes_live:
                save_and_publish(segment=segment, rule=rule(OFTEN), by=BY, base=1)
            else:
                save(segment, OFTEN, 1)
        except SavedMeanwhile as refused:
            refusals.append(refused)
        second_is_done.set()

    def watch() -> None:
        assert has_saved.wait(20)
        too_early = second_is_done.wait(0.7)
        may_commit.set()
        assert not too_early
        assert second_is_done.wait(20)

    with crew(3) as members:
        members.race([first, second, watch])
    assert [one.newest.number for one in refusals] == [2]
    segment.refresh_from_db()
    assert [one.rule for one in segment.versions.all()] == [rule(TWICE), rule(BOUGHT)]
    assert segment.live_version is not None and segment.live_version.number == 1


# ---- REST ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_over_rest_a_base_is_named_and_held_to(segment: Segment) -> None:
    caller = key(sees=[segment])
    path = "segments/buyers/"
    assert found(caller.get(path))["newest_version"]["number"] == 1
    found(caller.patch(path, {"rule": rule(TWICE), "base_version": 1}))
    for sent in ({"rule": rule(OFTEN)}, {"rule": rule(OFTEN), "publish": True}, {"publish": True}):
        refused = problem(caller.patch(path, {**sent, "base_version": 1}), 409)
        assert refused["code"] == "saved_meanwhile" and "version 2" in refused["detail"], refused
    segment.refresh_from_db()
    assert (segment.status, segment.versions.count()) == (SegmentStatus.DRAFT, 2)
    done = found(caller.patch(path, {"rule": rule(OFTEN), "publish": True, "base_version": 2, "name": "Regulars"}))
    assert (done["live_version"]["number"], done["name"]) == (3, "Regulars") and done["refresh_job"]
    found(caller.patch(path, {"publish": True, "base_version": 3}))
    problem(caller.patch(path, {"rule": rule(OFTEN), "base_version": 0}), 400)
