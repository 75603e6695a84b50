"""Verifying the audit log from inside: at night, and when somebody asks for it. The newest outcome is shown and alarmed on.

It is the platform's own word. Whoever needs nobody's word verifies an export on a machine of their own (`cdp.audit.verify`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from cdp.audit.actors import SYSTEM, Actor
from cdp.audit.models import Head
from cdp.audit.rotation import keys_until
from cdp.audit.signing import KeyUnusable, load_signer
from cdp.audit.verify import Entry, Log, Report, read_database, verify
from cdp.errors import Conflict
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import Progress, enqueue
from cdp.logs import get_logger

log = get_logger(__name__)

KIND: Final = "audit.verify"
EVERY: Final = timedelta(days=1)
STEP: Final = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """The newest verification that came to an end, and the one under way."""

    at: datetime | None = None
    entries: int = 0
    checkpoints: int = 0
    findings: tuple[dict[str, str], ...] = ()
    left_out: int = 0
    running: Job | None = None
    # Of the newest try, where it failed: why.
    error: str = ""

    @property
    def is_good(self) -> bool:
        return self.at is not None and not self.findings


def verified() -> Verified:
    jobs = Job.objects.filter(kind=KIND).order_by("-created_at")
    running = jobs.filter(state__in=[JobState.QUEUED, JobState.RUNNING]).first()
    failed = jobs.exclude(state__in=[JobState.QUEUED, JobState.RUNNING]).first()
    error = failed.error_message or failed.error_code if failed and failed.state == JobState.FAILED else ""
    done = jobs.filter(state=JobState.SUCCEEDED).first()
    if done is None:
        return Verified(running=running, error=error)
    told: dict[str, Any] = done.result or {}
    return Verified(
        at=done.finished_at,
        entries=told.get("entries", 0),
        checkpoints=told.get("checkpoints", 0),
        findings=tuple(told.get("findings", ())),
        left_out=told.get("left_out", 0),
        running=running,
        error=error,
    )


def request_verification(*, by: Actor, user: User | None = None) -> Job:
    """The job that verifies the log; the one under way, when there is one."""
    return enqueue(kind=KIND, params={}, by=by, user=user, dedupe_key=KIND)


def request_due() -> bool:
    """Asks for it once a day, where there is a key to verify with."""
    newest = Job.objects.filter(kind=KIND).order_by("-created_at").values_list("created_at", flat=True).first()
    if not settings.AUDIT_KEY or (newest is not None and timezone.now() - newest < EVERY):
        return False
    request_verification(by=SYSTEM)
    return True


def verify_now(progress: Progress) -> dict[str, Any]:
    """What came of walking the whole log, in the words of the verifier.

    Raises:
        Conflict: there is no key, so nothing can be said.
    """
    try:
        key = load_signer(Path(settings.AUDIT_KEY), name=settings.AUDIT_ORIGIN).key
    except KeyUnusable as error:
        raise Conflict("no_audit_key", f"The log can't be verified here: {error}") from error
    total = Head.objects.get().size
    progress(0, total, "walking the log")
    # A connection of its own: the whole walk is one snapshot, while progress is written.
    with psycopg.connect(**_params()) as reader:
        seen = read_database(reader)
        report = verify(_counting(seen, progress, total), keys=keys_until(key))
    progress(report.size, report.size, "done")
    if report.findings:
        log.error("audit_log_changed", findings=len(report.findings) + report.left_out)
    return _told(report)


def _params() -> dict[str, Any]:
    """Without what Django changes about values: the verifier reads them as psycopg gives them."""
    params = connection.get_connection_params()
    return {name: value for name, value in params.items() if name not in ("context", "cursor_factory")}


def _counting(seen: Log, progress: Progress, total: int) -> Log:
    def entries() -> Iterator[Entry]:
        for number, entry in enumerate(seen.entries):
            if number % STEP == 0:
                progress(min(number, total), total, "walking the log")
            yield entry

    return replace(seen, entries=entries())


def _told(report: Report) -> dict[str, Any]:
    return {
        "entries": report.entries,
        "waiting": report.waiting,
        "checkpoints": report.checkpoints,
        "size": report.size,
        "root": report.root.hex(),
        "findings": [{"code": one.code, "entry": one.entry, "message": one.message} for one in report.findings[:50]],
        "left_out": report.left_out + max(0, len(report.findings) - 50),
    }
