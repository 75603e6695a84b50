"""Is the process alive, and can it do its work: two addresses for whatever watches over it.

`/healthz` asks nothing of anybody, so that a database that is away doesn't get web processes killed. `/readyz` asks
everything that a request needs, and says with figures what will soon need somebody.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from cdp.audit.anchors import not_anchored
from cdp.heartbeats.beating import standings
from cdp.verification import verified
from segments.models import Segment
from segments.querysets import drifted

INBOX_LAG_ALARM_SECONDS: Final = 60
SWEEP_LAG_ALARM_SECONDS: Final = 300
AUDIT_LAG_ALARM_SECONDS: Final = 60
WEBHOOK_LAG_ALARM_SECONDS: Final = 300
KEEPER_LAG_ALARM_SECONDS: Final = 300
LIMITS: Final = {
    "inbox_lag_seconds": ("Taking in what came", INBOX_LAG_ALARM_SECONDS),
    "sweep_lag_seconds": ("Moving members with time", SWEEP_LAG_ALARM_SECONDS),
    "audit_lag_seconds": ("Signing the audit log", AUDIT_LAG_ALARM_SECONDS),
    "webhook_lag_seconds": ("Sending webhooks", WEBHOOK_LAG_ALARM_SECONDS),
    "keeper_lag_seconds": ("Keeping audiences", KEEPER_LAG_ALARM_SECONDS),
}
"""Of each figure what it is about, and from when on it raises an alarm."""
VALKEY_SECONDS: Final = 2
ALARMS: Final = (
    "inbox_lags", "default_partition", "sweeps_lag", "audit_lags", "webhooks_lag", "keeper_lags", "process_missing", "jobs_stuck",
    "audit_not_anchored", "audit_changed",
    "segments_drifted",
)  # fmt: skip
"""All that can be raised."""
_migrated: list[bool] = []


class NotReady(Exception):
    """Something a request needs is missing; the text says what, without names of machines or people."""


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    return _answer({"status": "ok"})


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What requests need, each with `ok`; and figures, where the database can be asked for them."""

    checks: dict[str, dict[str, Any]]
    figures: dict[str, Any] | None

    @property
    def is_ready(self) -> bool:
        return all(check["ok"] for check in self.checks.values())


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """503 when requests would fail. Alarms don't take the process out: it can still keep what comes in."""
    now = standing()
    body = {"status": "ready" if now.is_ready else "not ready", "checks": now.checks, **(now.figures or {})}
    return _answer(body, status=200 if now.is_ready else 503)


def standing() -> Standing:
    checks = {name: _outcome(check) for name, check in CHECKS.items()}
    figures = _figures() if checks["database"]["ok"] and checks["migrations"]["ok"] else None
    return Standing(checks=checks, figures=figures)


def _answer(body: dict[str, Any], *, status: int = 200) -> JsonResponse:
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


def _outcome(check: Callable[[], str]) -> dict[str, Any]:
    began = time.monotonic()
    try:
        ok, said = True, check()
    except NotReady as problem:
        ok, said = False, str(problem)
    except (DatabaseError, redis.RedisError) as error:
        ok, said = False, f"not reached ({type(error).__name__})"
    return {"ok": ok, "detail": said, "ms": round((time.monotonic() - began) * 1000, 1)}


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_is_in_recovery(), rolsuper OR pg_has_role(current_user, pg_get_userbyid(d.datdba), 'MEMBER')"
            "  FROM pg_roles, pg_database d WHERE rolname = current_user AND d.datname = current_database()"
        )
        is_replica, is_too_mighty = cursor.fetchone()
    if is_replica:
        raise NotReady("reached, but it only reads")
    if is_too_mighty:
        raise NotReady("reached as its owner or a superuser, from whom append-only tables are not protected")
    return "reached as the app's role"


def _migrations() -> str:
    # A process's own migrations can't come undone under it, so one "yes" is enough.
    if not _migrated:
        executor = MigrationExecutor(connection)
        waiting = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        if waiting:
            raise NotReady(f"{waiting} wait to be applied")
        _migrated.append(True)
    return "all applied"


def _valkey() -> str:
    if not settings.REDIS_URL:
        return "none configured"
    _valkey_client(settings.REDIS_URL).ping()
    return "reached"


@lru_cache(maxsize=1)
def _valkey_client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_connect_timeout=VALKEY_SECONDS, socket_timeout=VALKEY_SECONDS)


CHECKS: Final = {"database": _database, "migrations": _migrations, "valkey": _valkey}


def _figures() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT extract(epoch FROM clock_timestamp() - received_at) FROM ingestion_inboxmessage ORDER BY id LIMIT 1),"
            "       EXISTS (SELECT FROM profiles_event_default),"
            "       (SELECT count(*) FROM jobs_job WHERE state = 'queued'),"
            # In a frozen workspace nothing falls behind.
            "       (SELECT max(extract(epoch FROM clock_timestamp() - w.swept_to)) FROM segments_sweepstate w"
            "          JOIN segments_segment s ON s.id = w.segment_id AND s.live_version_id = w.version_id"
            "         WHERE s.cadence = 'real_time' AND s.status = 'live' AND s.broken_reason = ''"
            "           AND NOT EXISTS (SELECT FROM profiles_workspace WHERE frozen_at IS NOT NULL)),"
            "       (SELECT extract(epoch FROM clock_timestamp() - queued_at) FROM audit_pending ORDER BY id LIMIT 1),"
            # What waits for a receiver that fails, or behind what failed, says nothing of ourselves.
            "       (SELECT max(extract(epoch FROM clock_timestamp() - d.next_at)) FROM webhooks_webhook w CROSS JOIN LATERAL ("
            "          SELECT d.next_at FROM webhooks_delivery d"
            "           WHERE d.webhook_id = w.id AND d.state = 'waiting' AND d.attempts = 0 AND d.leased_until IS NULL"
            "             AND NOT EXISTS (SELECT FROM webhooks_delivery e WHERE e.webhook_id = d.webhook_id"
            "                              AND e.profile_id = d.profile_id AND e.state = 'waiting' AND e.id < d.id)"
            "           ORDER BY d.next_at LIMIT 1) d WHERE w.state = 'enabled' AND w.failing_since IS NULL),"
            # Only once there is somebody to keep: of what touched people the oldest that nobody has heard yet.
            "       (SELECT max(extract(epoch FROM clock_timestamp() - at)) FROM activation_touched),"
            "       (SELECT count(*) FROM jobs_job WHERE state = 'running' AND lease_until < now() - interval '5 minutes'),"
            "       (SELECT count(*) FROM jobs_job WHERE state = 'failed' AND finished_at > now() - interval '1 day'),"
            "       (SELECT count(*) FROM webhooks_webhook WHERE state = 'disabled' AND off_reason = 'failing'),"
            "       (SELECT count(*) FROM webhooks_delivery WHERE state = 'dead'),"
            "       (SELECT count(*) FROM ingestion_quarantined)"
        )
        lag, has_stray_events, queued, behind, unsigned, undelivered, unkept, stuck, failed, off, dead, quarantined = (
            cursor.fetchone()
        )
    lag_seconds = round(max(0.0, float(lag or 0)), 1)
    alarms = []
    if lag_seconds > INBOX_LAG_ALARM_SECONDS:
        alarms.append({"code": "inbox_lags", "detail": "The oldest request waits too long: is the consumer running?"})
    if has_stray_events:
        alarms.append(
            {"code": "default_partition", "detail": "Events lie outside all months: run the partition maintenance."}
        )
    behind_seconds = round(max(0.0, float(behind or 0)), 1)
    if behind_seconds > SWEEP_LAG_ALARM_SECONDS:
        alarms.append(
            {"code": "sweeps_lag", "detail": "Segments in real time are behind time: is the sweeper running?"}
        )
    unsigned_seconds = round(max(0.0, float(unsigned or 0)), 1)
    if unsigned_seconds > AUDIT_LAG_ALARM_SECONDS:
        alarms.append(
            {
                "code": "audit_lags",
                "detail": "Audit entries wait to be signed: is the sequencer running, and what does it say?",
            }
        )
    undelivered_seconds = round(max(0.0, float(undelivered or 0)), 1)
    if undelivered_seconds > WEBHOOK_LAG_ALARM_SECONDS:
        alarms.append(
            {"code": "webhooks_lag", "detail": "Webhooks wait though their receivers answer: is the deliverer running?"}
        )
    unkept_seconds = round(max(0.0, float(unkept or 0)), 1)
    if unkept_seconds > KEEPER_LAG_ALARM_SECONDS:
        alarms.append(
            {"code": "keeper_lags", "detail": "Audiences are behind decisions and identifiers: is the keeper running?"}
        )
    if stuck:
        alarms.append(
            {
                "code": "jobs_stuck",
                "detail": f"{stuck} jobs are held by workers that are silent: are Celery's clock and worker running?",
            }
        )
    processes = standings()
    alarms += [
        {
            "code": "process_missing",
            "detail": f"The {one.process} wasn't heard for {round((one.seconds or 0) / 60)} minutes: start `{one.kind.start}`.",
        }
        for one in processes
        if one.is_missed
    ]
    if not_anchored():
        alarms.append(
            {"code": "audit_not_anchored", "detail": "Checkpoints of the audit log can't be put where they should go."}
        )
    if verified().findings:
        alarms.append(
            {"code": "audit_changed", "detail": "The audit log isn't as it was written; its screen says where."}
        )
    if drifted(Segment.objects.all()).exists():
        alarms.append(
            {"code": "segments_drifted", "detail": "A full refresh found members amiss; Home says in which segments."}
        )
    return {
        "inbox_lag_seconds": lag_seconds,
        "jobs_queued": queued,
        "sweep_lag_seconds": behind_seconds,
        "audit_lag_seconds": unsigned_seconds,
        "webhook_lag_seconds": undelivered_seconds,
        "keeper_lag_seconds": unkept_seconds,
        "jobs_stuck": stuck,
        "jobs_failed": failed,
        "webhooks_off": off,
        "webhook_dead_letters": dead,
        "quarantined": quarantined,
        "processes": {one.process: None if one.seconds is None else round(one.seconds, 1) for one in processes},
        "alarms": alarms,
    }
