"""Creating, leasing, advancing, cancelling and re-sending jobs.

What a kind of job does lives in the app that owns the work; here only its life.
"""

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, OperationalError, close_old_connections, connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from guardian.models import UserObjectPermission
from guardian.shortcuts import assign_perm
from structlog.contextvars import bound_contextvars

from cdp.audit.actors import Actor, ActorKind
from cdp.audit.context import request_id_var
from cdp.audit.services import record
from cdp.errors import Conflict, DomainError
from cdp.jobs.models import FINISHED, Job, JobState
from cdp.logs import get_logger

log = get_logger(__name__)

MAX_ATTEMPTS = 5
CHUNK = 1000


class JobCancelled(Exception):
    """Raised inside the work at its next progress report once somebody asked it to stop."""


class LeaseLost(Exception):
    """Another worker holds the job now; this one must write nothing more."""


@transaction.atomic
def enqueue(
    *,
    kind: str,
    params: Mapping[str, Any],
    by: Actor,
    user: User | None = None,
    dedupe_key: str = "",
) -> Job:
    """The queued job, or the unfinished one that already has this ``dedupe_key``; its message goes out on commit."""
    if dedupe_key:
        existing = Job.objects.filter(dedupe_key=dedupe_key, state__in=[JobState.QUEUED, JobState.RUNNING]).first()
        if existing:
            return existing
    try:
        with transaction.atomic():
            job = Job.objects.create(
                kind=kind,
                params=dict(params),
                created_by=user,
                dedupe_key=dedupe_key,
                request_id=request_id_var.get(),
            )
    except IntegrityError:  # somebody enqueued the same between our look and our write
        return Job.objects.get(dedupe_key=dedupe_key, state__in=[JobState.QUEUED, JobState.RUNNING])
    # What the platform asks of itself, day and night, is told by the job's row: on record stands what people ask for.
    if by.kind != ActorKind.SYSTEM:
        record(by=by, action="job.enqueued", object=job, detail={"kind": kind})
    transaction.on_commit(lambda: send(job.pk))
    return job


def let_follow(*, job: Job, user: User) -> None:
    """Lets the user see a job that somebody else may have started: who asks for the same work waits for the same job."""
    if job.created_by_id != user.pk:
        assign_perm("jobs.view_job", user, job)


def send(job_id: int) -> bool:
    """Whether the queue took the message. When it didn't, `send_stranded` tries again: the row is the truth."""
    from celery import current_app
    from kombu.exceptions import OperationalError as BrokerDown

    kind = Job.objects.values_list("kind", flat=True).get(pk=job_id)
    try:
        current_app.send_task(kind, args=[job_id], retry=False)
    except (BrokerDown, ConnectionError) as error:
        log.warning("job_not_sent", job_id=job_id, reason=type(error).__name__)
        return False
    Job.objects.filter(pk=job_id).update(sent_at=timezone.now())
    return True


def send_stranded() -> int:
    """How many jobs were sent again: those whose message was lost, and those whose worker died."""
    now = timezone.now()
    with transaction.atomic():
        dead = Job.objects.select_for_update(skip_locked=True).filter(state=JobState.RUNNING, lease_until__lt=now)
        for job in dead:
            if job.attempts >= MAX_ATTEMPTS:
                _finish(job, JobState.FAILED, error_code="worker_died", error_message="Its worker died five times.")
            else:
                Job.objects.filter(pk=job.pk).update(
                    state=JobState.QUEUED,
                    lease_token=None,
                    lease_until=None,
                    sent_at=None,
                    phase="waiting for a worker",
                )
    stranded = Job.objects.filter(
        Q(sent_at__isnull=True, created_at__lt=now - timedelta(seconds=5))
        | Q(sent_at__lt=now - timedelta(seconds=settings.JOB_RESEND_SECONDS)),
        state=JobState.QUEUED,
    )
    return sum(send(pk) for pk in stranded.values_list("pk", flat=True)[:1000])


def purge_finished() -> int:
    """How many finished jobs were forgotten, with the grants to see them, because nobody asks for them any more."""
    horizon = timezone.now() - timedelta(days=settings.JOB_DAYS)
    gone = 0
    while ids := list(
        Job.objects.filter(state__in=FINISHED, finished_at__lt=horizon).order_by().values_list("pk", flat=True)[:CHUNK]
    ):
        with transaction.atomic():
            # django-guardian refers to objects by type and number, which no foreign key follows.
            UserObjectPermission.objects.filter(
                object_pk__in=map(str, ids), content_type__app_label="jobs", content_type__model="job"
            ).delete()
            gone += Job.objects.filter(pk__in=ids).delete()[0]
    if gone:
        log.info("jobs_purged", count=gone)
    return gone


class Lease:
    """A worker's hold on one job. `progress` writes how far it is, keeps the hold, and hears a cancel."""

    def __init__(self, job: Job, token: uuid.UUID) -> None:
        self.job, self._token = job, token

    @property
    def params(self) -> dict[str, Any]:
        return self.job.params

    def progress(self, done: int, total: int, phase: str = "") -> None:
        """Raises JobCancelled when asked to stop, LeaseLost when another worker took over."""
        held = Job.objects.filter(pk=self.job.pk, lease_token=self._token, state=JobState.RUNNING)
        if not held.update(done=done, total=total, phase=phase, lease_until=lease_end()):
            raise LeaseLost(self.job.pk)
        if held.filter(cancel_requested=True).exists():
            raise JobCancelled(self.job.pk)


def lease_end() -> Any:
    return timezone.now() + timedelta(seconds=settings.JOB_LEASE_SECONDS)


@contextmanager
def lease(job_id: int, *, worker: str) -> Iterator[Lease | None]:
    """A `Lease`, or None when the job is done or another worker holds it: then there is nothing to do.

    A heartbeat on a connection of its own keeps the lease while the work sits in one long statement.
    On leaving, the job is finished by what happened inside; set its result with ``lease.job.result``.
    """
    token = uuid.uuid4()
    now = timezone.now()
    taken = (
        Job.objects.filter(pk=job_id)
        .filter(Q(state=JobState.QUEUED) | Q(state=JobState.RUNNING, lease_until__lt=now))
        .update(
            state=JobState.RUNNING,
            lease_token=token,
            lease_until=lease_end(),
            worker=worker[:200],
            attempts=F("attempts") + 1,
            started_at=now,
        )
    )
    if not taken:
        yield None
        return
    job = Job.objects.get(pk=job_id)
    held = Lease(job, token)
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(job_id, token, stop), daemon=True)
    heart.start()
    try:
        with _in_its_name(job):
            yield held
    except JobCancelled:
        _finish(job, JobState.CANCELLED, token=token)
    except LeaseLost:
        log.warning("job_lease_lost", job_id=job_id)
    except DomainError as error:
        _finish(job, JobState.FAILED, token=token, error_code=error.code, error_message=str(error))
    except (OperationalError, SystemExit, KeyboardInterrupt):
        # The task retries on the first, the others end this worker: the lease goes back, for the retry or another one.
        Job.objects.filter(pk=job_id, lease_token=token).update(state=JobState.QUEUED, lease_token=None, sent_at=now)
        raise
    except BaseException as error:
        # The text of an unexpected error may hold a person's data: the class is kept, the rest goes to the log's trace.
        _finish(job, JobState.FAILED, token=token, error_code="internal", error_message=type(error).__name__)
        raise
    else:
        _finish(job, JobState.SUCCEEDED, token=token, result=job.result)
    finally:
        stop.set()
        heart.join(timeout=5)


@contextmanager
def _in_its_name(job: Job) -> Iterator[None]:
    """Log lines and audit entries of the work name the request that asked for it."""
    token = request_id_var.set(job.request_id)
    try:
        with bound_contextvars(request_id=job.request_id, job=str(job.uuid)):
            yield
    finally:
        request_id_var.reset(token)


def _beat(job_id: int, token: uuid.UUID, stop: threading.Event) -> None:
    try:
        while not stop.wait(settings.JOB_LEASE_SECONDS / 3):
            close_old_connections()
            try:
                Job.objects.filter(pk=job_id, lease_token=token).update(lease_until=lease_end())
            except OperationalError as error:
                log.warning("job_heartbeat_missed", job_id=job_id, reason=type(error).__name__)
    finally:
        connection.close()


def _finish(job: Job, state: JobState, *, token: uuid.UUID | None = None, **fields: Any) -> None:
    rows = Job.objects.filter(pk=job.pk).exclude(state__in=FINISHED)
    if token is not None:
        rows = rows.filter(lease_token=token)
    if "error_message" in fields:
        fields["error_message"] = fields["error_message"][:500]
    rows.update(state=state, finished_at=timezone.now(), lease_token=None, lease_until=None, **fields)


@transaction.atomic
def cancel(*, job: Job, by: Actor) -> Job:
    """The job, cancelled at once while queued, else asked to stop at its next step.

    Raises:
        Conflict: it has finished.
    """
    job = Job.objects.select_for_update().get(pk=job.pk)
    if job.is_finished:
        raise Conflict("job_finished", f"Job {job.pk} has already {job.get_state_display().lower()}.")
    job.cancel_requested = True
    job.save(update_fields=["cancel_requested"])
    if job.state == JobState.QUEUED:
        _finish(job, JobState.CANCELLED)
    record(by=by, action="job.cancelled", object=job, detail={"kind": job.kind})
    job.refresh_from_db()
    return job


Progress = Callable[[int, int, str], None]
