"""When the rules are applied: once a night by itself, or when somebody asks; and how one application begins and ends.

What it deletes is in `cdp.accountability.applying`.
"""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from cdp.accountability import periods
from cdp.accountability.applying import Progress, apply_retention, put_on_record
from cdp.accountability.models import RetentionRun
from cdp.audit import SYSTEM
from cdp.audit.actors import Actor
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import JobCancelled, enqueue
from cdp.profiles.models import Workspace
from segments.schedule import last_time_of_day

APPLY: Final = "retention.apply_retention"
PAUSE_AFTER_FAILURE: Final = timedelta(hours=1)


def request_application(*, by: Actor, user: User | None = None) -> Job:
    """The job that applies the rules, or the one that does so already."""
    return enqueue(kind=APPLY, params={"as_of": as_of_now().isoformat()}, by=by, user=user, dedupe_key=APPLY)


def as_of_now() -> datetime:
    """Now, or the moment at which the workspace stands still."""
    return Workspace.current().now()


def request_due_application() -> Job | None:
    """The job that applies the rules, once a night; None when that has been asked for, or no rule says anything."""
    if not periods.current().rules and not RetentionRun.objects.filter(ended_at__isnull=True).exists():
        return None
    now = timezone.now()
    night = last_time_of_day(now, hour=settings.NIGHTLY_HOUR, zone=Workspace.current().time_zone)
    newest = Job.objects.filter(kind=APPLY, created_by__isnull=True).order_by("-created_at").first()
    if newest is not None:
        came_to_nothing = newest.state in (JobState.FAILED, JobState.CANCELLED)
        if newest.created_at >= (now - PAUSE_AFTER_FAILURE if came_to_nothing else night):
            return None
    return request_application(by=SYSTEM)


def run_job(*, job: Job, progress: Progress) -> dict[str, object]:
    """What came of it, for the job's row. Called again for the same job it goes on where it was ended.

    What was deleted stands in the audit log also when the job is cancelled; of one that failed, or was killed for good, the
    next run tells it.
    """
    for left in RetentionRun.objects.filter(ended_at__isnull=True).exclude(job_uuid=job.uuid):
        put_on_record(run=left)
    as_of = datetime.fromisoformat(job.params["as_of"])
    run, _ = RetentionRun.objects.get_or_create(job_uuid=job.uuid, defaults={"as_of": as_of})
    try:
        apply_retention(run=run, progress=progress)
    except JobCancelled:
        put_on_record(run=run)
        raise
    put_on_record(run=run)
    run.refresh_from_db()
    deleted: dict[str, int] = {}
    for kind, count in run.deleted.values_list("kind", "count"):
        deleted[kind] = deleted.get(kind, 0) + count
    return {"as_of": as_of.isoformat(), "people": run.people, "months_dropped": run.months, **deleted}
