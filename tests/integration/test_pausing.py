"""A paused segment: its members stay, nobody is judged by it, and after it is resumed they are exactly who its rule says."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, connections

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict
from cdp.jobs.models import Job, JobState
from segments import refresh as refreshing
from segments.live import rules_now
from segments.models import DriftCheck, Segment, SegmentStatus, SweepState
from segments.refresh import note_start, refresh, request_due_refreshes
from segments.rules import RuleErrors
from segments.services import archive, pause, publish, resume, save_version
from segments.sweep import sweep_due
from tests.conftest import OwnDatabase
from tests.factories import (
    BY,
    Tracker,
    draft,
    live,
    members,
    performed,
    person,
    process_all,
    refresh_now,
    rule,
    set_live,
    track,
)  # fmt: skip
from tests.integration.books import assert_books_balance
from tests.integration.callers import found, key, problem
from tests.integration.shoppers import BUYERS, LOYAL, ann_bob_and_cyd


@pytest.fixture
def shop(db: None) -> Tracker:
    return ann_bob_and_cyd()


def nothing(done: int, total: int, phase: str) -> None:
    """Progress that nobody follows."""


def test_a_paused_segment_keeps_its_members_and_is_exact_once_resumed(shop: Tracker) -> None:
    buyers = live("buyers", BUYERS)
    pause(segment=buyers, by=BY)
    shop.send(track("Bought", "cyd"))
    process_all()
    assert sweep_due(everything=True).segments == 0 and request_due_refreshes() == 0
    assert members(buyers) == {"ann", "bob"}
    with pytest.raises(Conflict) as refused:
        refresh(segment=buyers, progress=nothing)
    assert refused.value.code == "segment_paused"

    resume(segment=buyers, by=BY)
    shop.send(track("Bought", "dan"))
    process_all()
    assert members(buyers) == {"ann", "bob", "dan"}, "judged by what comes from now on"
    refresh_now(buyers)
    assert members(buyers) == {"ann", "bob", "cyd", "dan"}
    assert not DriftCheck.objects.exists(), "nobody drifted: it was paused"
    assert SweepState.objects.filter(pk=buyers.pk).exists()
    acts = AuditEntry.objects.filter(object_id=str(buyers.uuid), action__in=("segment.paused", "segment.resumed"))
    assert list(acts.order_by("recorded_at").values_list("action", flat=True)) == ["segment.paused", "segment.resumed"]
    assert_books_balance()


def test_what_reads_a_paused_segment_is_frozen_with_it_and_refreshed_with_it(shop: Tracker) -> None:
    buyers = live("buyers", BUYERS)
    others = live("others", {"not": {"in_segment": "buyers"}})
    far = live("far", {"not": {"in_segment": "others"}})
    assert (members(others), members(far)) == ({"cyd"}, {"ann", "bob"})
    pause(segment=buyers, by=BY)
    assert rules_now().segment_ids == set() and set(rules_now().frozen) == {others.pk, far.pk}
    assert not SweepState.objects.exists()
    shop.send(track("Bought", "cyd"))
    process_all()
    assert (members(others), members(far)) == ({"cyd"}, {"ann", "bob"})
    with pytest.raises(RuleErrors, match="can't be used"):
        publish(segment=(new := draft("new", LOYAL)), by=BY, version=save_version(
            segment=new, rule=rule({"in_segment": "buyers"}), by=BY))  # fmt: skip

    Job.objects.update(state=JobState.SUCCEEDED)
    resume(segment=buyers, by=BY)
    asked = Job.objects.unfinished().values_list("params__segment", flat=True)
    assert set(asked) == {buyers.pk, others.pk, far.pk}
    for segment in (far, others, buyers):  # in whatever order they come
        refresh_now(segment)
    assert (members(others), members(far)) == (set(), {"ann", "bob", "cyd"})
    assert_books_balance()


def test_a_refresh_from_before_a_pause_neither_stands_for_the_one_after_it_nor_lets_sweeps_go_on(shop: Tracker) -> None:
    buyers, reader = live("buyers", BUYERS), live("reader", {"not": {"in_segment": "buyers"}})
    Job.objects.update(state=JobState.SUCCEEDED)
    before = Job.objects.create(kind="segments.refresh", state="running", params={"segment": buyers.pk})
    begun = {rule: note_start(rule) for level in rules_now().levels for rule in level}
    assert len(begun) == 2
    pause(segment=buyers, by=BY)
    before.refresh_from_db()
    assert before.cancel_requested
    shop.send(track("Bought", "cyd"))
    process_all()
    job = resume(segment=buyers, by=BY)
    assert job.pk != before.pk and job.state == JobState.QUEUED
    for one, token in begun.items():
        assert not refreshing.mark_swept(one, refreshing.moment_of_judgement(), token)
    assert not SweepState.objects.exists()
    for segment in (buyers, reader):
        refresh_now(segment)
    assert (members(buyers), members(reader)) == ({"ann", "bob", "cyd"}, set())


def test_a_paused_segment_goes_live_with_a_version_that_is_set_live(shop: Tracker) -> None:
    buyers = live("buyers", BUYERS)
    pause(segment=buyers, by=BY)
    assert save_version(segment=buyers, rule=rule(LOYAL), by=BY).number == 2
    set_live(buyers)
    assert buyers.status == SegmentStatus.LIVE and members(buyers) == {"ann"}
    entry = AuditEntry.objects.filter(action="segment.published").latest("recorded_at")
    assert entry.detail == {"version": 2, "before": 1, "resumed": True}


def test_only_what_is_live_is_paused_and_only_what_is_paused_resumed(shop: Tracker) -> None:
    segment = draft("buyers", BUYERS)
    for act, code in ((pause, "segment_not_live"), (resume, "segment_not_paused")):
        with pytest.raises(Conflict) as refused:
            act(segment=segment, by=BY)
        assert refused.value.code == code
    set_live(segment)
    paused = pause(segment=segment, by=BY)
    assert pause(segment=segment, by=BY).status_since == paused.status_since, "twice is once"
    assert archive(segment=segment, by=BY).status == SegmentStatus.ARCHIVED


def test_one_that_is_read_is_not_archived_while_its_reader_is_paused(shop: Tracker) -> None:
    buyers = live("buyers", BUYERS)
    pause(segment=live("reader", {"in_segment": "buyers"}), by=BY)
    with pytest.raises(Conflict, match="Reader"):
        archive(segment=buyers, by=BY)


def test_over_rest_a_paused_segment_is_read_and_says_so(shop: Tracker) -> None:
    buyers = live("buyers", performed("Bought"))
    caller = key(sees=[buyers])
    where = "segments/buyers/members/"
    assert found(caller.get(where, purpose="internal_analysis"))["paused_since"] is None
    shown = found(caller.post("segments/buyers/pause/"))
    assert shown["status"] == "paused"
    page = found(caller.get(where, purpose="internal_analysis"))
    assert page["paused_since"] == shown["status_since"] and len(page["results"]) == 2
    one = f"{where}{person('ann').uuid}/"
    assert problem(caller.get(one, purpose="internal_analysis"), 409)["code"] == "segment_paused"
    assert problem(caller.post("segments/buyers/refresh/"), 409)["code"] == "segment_paused"
    mine = found(caller.get("profiles/user_id:ann/"))["segments"]
    assert [(one["key"], one["status"]) for one in mine] == [("buyers", "paused")]
    assert found(caller.post("segments/buyers/resume/"), 202)["state"] == "queued"
    assert problem(caller.post("segments/buyers/resume/"), 409)["code"] == "segment_not_paused"


def test_whoever_pauses_waits_for_batches_and_batches_for_them(own_database: OwnDatabase) -> None:
    """Events come while a segment is paused and resumed again and again; nobody is judged by it in between, nor missed."""
    shop = ann_bob_and_cyd()
    buyers = live("buyers", performed("Bought"))
    stop, failures = threading.Event(), list[Exception]()

    def consume() -> None:
        try:
            number = 0
            while not stop.is_set() or number < 30:
                number += 1
                shop.send(track("Bought", f"u{number}", ago=timedelta(seconds=1)))
                process_all()
        except Exception as error:  # noqa: BLE001 (told by the thread that waits)
            failures.append(error)
        finally:
            connections.close_all()

    consumer = threading.Thread(target=consume)
    consumer.start()
    try:
        for _ in range(4):
            pause(segment=buyers, by=BY)
            with connection.cursor() as cursor:
                counted = "SELECT count(*) FROM segments_membership WHERE segment_id = %s"
                cursor.execute(counted, [buyers.pk])
                before = cursor.fetchone()
                cursor.execute("SELECT pg_sleep(0.3)")
                cursor.execute(counted, [buyers.pk])
                assert cursor.fetchone() == before, "it was paused"
            resume(segment=buyers, by=BY)
            refresh_now(buyers)
    finally:
        stop.set()
        consumer.join()
    assert not failures, failures
    assert Segment.objects.get().status == SegmentStatus.LIVE
    assert_books_balance()
