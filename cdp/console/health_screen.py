"""The health page: whether each process lives, how far each kind of work is behind, and what to do about it. The same as `/readyz`."""

from typing import Final

from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from cdp.health import LIMITS, standing
from cdp.heartbeats.beating import standings

PERMISSION: Final = "heartbeats.view_heartbeat"
TABLES: Final = 8
SIZES: Final = """
    SELECT coalesce(parent.relname, c.relname), sum(pg_total_relation_size(c.oid))::bigint AS bytes
      FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class parent ON parent.oid = i.inhparent
     WHERE c.relkind IN ('r', 'm') AND c.relnamespace = 'public'::regnamespace GROUP BY 1 ORDER BY 2 DESC LIMIT %s
"""
COUNTS: Final = {
    "jobs_queued": "Jobs that wait",
    "jobs_stuck": "Jobs whose worker is silent",
    "jobs_failed": "Jobs that failed within a day",
    "webhooks_off": "Webhooks turned off by failing",
    "webhook_dead_letters": "Deliveries given up",
    "quarantined": "Messages in quarantine",
}


def health_view(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    now = standing()
    figures = now.figures or {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database()), current_setting('server_version')")
        size, version = cursor.fetchone()
        cursor.execute(SIZES, [TABLES])
        tables = cursor.fetchall()
    context = {
        "title": "Health",
        "is_ready": now.is_ready,
        "checks": [(name, check["ok"], check["detail"]) for name, check in now.checks.items()],
        "alarms": figures.get("alarms", []),
        "processes": standings(),
        "lags": [
            (label, figures[name], limit, min(1.0, figures[name] / limit))
            for name, (label, limit) in LIMITS.items()
            if name in figures
        ],
        "counts": [(label, figures[name]) for name, label in COUNTS.items() if name in figures],
        "size": size,
        "tables": tables,
        "version": version.partition(" ")[0],
    }
    return render(request, "health/health.html", context)
