"""Thresholds from night to night: when they are taken anew, which are forgotten, and what depends on them then."""

from datetime import timedelta
from threading import Event as Signal
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from cdp.jobs.models import Job, JobState
from segments import thresholds
from segments.catalogue import catalog
from segments.live import forget
from segments.models import (
    PercentileThreshold,
    Segment,
    SegmentVersion,
)
from segments.refresh import preview
from segments.services import archive, publish, restore
from segments.tasks import recompute_thresholds
from tests.factories import BY, Tracker, draft, live, members, process_all, refresh_now, rule
from tests.integration.crew import crew
from tests.integration.rankings import BOTTOM, DAY, MOST_OFTEN, TOP, buy, leaf, purpose, recompute, stored, ten_people


@pytest.fixture
def shop(db: None) -> Tracker:
    return ten_people()


# ---- At night ----------------------------------------------------------------------------------------------------


def a_night_passes() -> None:
    PercentileThreshold.objects.update(computed_at=timezone.now() - 2 * DAY)


def test_once_a_night_a_job_takes_them_anew(shop: Tracker) -> None:
    assert thresholds.request_due_recomputation() is None, "nothing to do"
    segment = live("top", TOP)
    assert thresholds.request_due_recomputation() is None, "taken just now"
    shop.send(buy("u8", 500), buy("u7", 500), buy("u6", 500))
    process_all()
    a_night_passes()
    job = thresholds.request_due_recomputation()
    assert job is not None
    assert thresholds.request_due_recomputation() is None, "asked for"
    recompute_thresholds(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error_message) == (JobState.SUCCEEDED, "")
    assert job.result == {"thresholds": 1, "moved": 1, "marked": 3, "purged": 0}
    process_all()
    assert members(segment) == {"u7", "u8"}
    assert thresholds.request_due_recomputation() is None
    # One that failed is tried again, but not at once.
    a_night_passes()
    Job.objects.filter(pk=job.pk).update(state=JobState.FAILED)
    assert thresholds.request_due_recomputation() is None
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(minutes=11))
    assert thresholds.request_due_recomputation() is not None


def test_what_only_previews_asked_for_is_forgotten_and_what_rules_read_is_kept(shop: Tracker) -> None:
    live("top", TOP)
    draft("bottom", BOTTOM)
    preview(rule=rule(BOTTOM), purpose=purpose())
    preview(rule=rule(MOST_OFTEN), purpose=purpose())
    assert recompute().purged == 0, "somebody may be looking at it"
    PercentileThreshold.objects.update(asked_at=timezone.now() - 2 * DAY)
    preview(rule=rule(MOST_OFTEN), purpose=purpose())
    assert recompute().purged == 0, "asked for again"
    PercentileThreshold.objects.update(asked_at=timezone.now() - 2 * DAY)
    assert recompute().purged == 1
    kept = {leaf(TOP).ranking, leaf(BOTTOM).ranking}
    assert set(PercentileThreshold.objects.values_list("ranking", flat=True)) == kept
    # A draft that nobody took up for a month is no reason to look at everybody each night.
    SegmentVersion.objects.update(created_at=timezone.now() - 31 * DAY)
    assert recompute().purged == 1
    assert stored(TOP)
    archive(segment=Segment.objects.get(key="top"), by=BY)
    assert recompute().purged == 1


def test_a_threshold_that_is_about_to_go_live_is_not_forgotten(own_database: Any) -> None:
    ten_people()
    segment = draft("top", TOP)
    thresholds.with_thresholds(catalog(), leaf(TOP))
    SegmentVersion.objects.update(created_at=timezone.now() - 31 * DAY)
    PercentileThreshold.objects.update(asked_at=timezone.now() - 2 * DAY)
    published, may_commit = Signal(), Signal()

    def publishing() -> None:
        with transaction.atomic():
            publish(segment=segment, version=segment.versions.get(), by=BY)
            published.set()
            assert may_commit.wait(30)

    def purging() -> None:
        assert published.wait(30)
        may_commit.set()
        assert thresholds.purge_unused() == 0

    with crew(2) as threads:
        threads.race([publishing, purging])
    assert stored().value == 90
    refresh_now(segment)
    assert members(segment) == {"u9", "u10"}


def test_one_that_was_forgotten_is_taken_anew_when_its_rule_goes_live_again(shop: Tracker) -> None:
    segment = live("top", TOP)
    archive(segment=segment, by=BY)
    PercentileThreshold.objects.all().delete()
    shop.send(buy("u8", 500), buy("u7", 500), buy("u6", 500))
    process_all()
    restore(segment=segment, by=BY)
    publish(segment=segment, version=segment.versions.get(), by=BY)
    refresh_now(segment)
    assert members(segment) == {"u7", "u8"}


def test_a_live_rule_whose_threshold_is_gone_is_broken_and_keeps_its_members(shop: Tracker) -> None:
    segment = live("top", TOP)
    PercentileThreshold.objects.all().delete()
    forget()
    shop.send(buy("u1", 500))
    process_all()
    segment.refresh_from_db()
    assert segment.broken_reason == "/than: its threshold has not been computed yet"
    assert members(segment) == {"u9", "u10"}
