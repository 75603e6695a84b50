"""What Prometheus collects: the figures of `/readyz` and of long work, as of the moment they are asked for.

They are read from the database, so each web process tells the same, and none keeps counts of its own.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from cdp.health import ALARMS, Standing, standing
from cdp.jobs.models import Job, JobState

FAILED_WITHIN: Final = timedelta(days=1)
WAITING: Final = (JobState.QUEUED, JobState.RUNNING)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """In OpenMetrics or in the older text form, as the caller accepts. Names no person and no segment."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Platform(standing()))
    encoder, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encoder(registry), content_type=content_type, headers={"Cache-Control": "no-store"})


class Platform(Collector):
    """How the platform stands, as metrics."""

    def __init__(self, now: Standing) -> None:
        self._now = now

    def describe(self) -> Iterator[Metric]:
        yield from ()  # asking for what there is would ask the database once more

    def collect(self) -> Iterator[Metric]:
        now = self._now
        yield GaugeMetricFamily("cdp_ready", "1 if requests would be answered.", value=float(now.is_ready))
        checks = GaugeMetricFamily("cdp_check_ok", "1 if what requests need is there.", labels=["check"])
        for name, check in now.checks.items():
            checks.add_metric([name], float(check["ok"]))
        yield checks
        if now.figures is None:
            return
        yield GaugeMetricFamily(
            "cdp_inbox_lag_seconds", "How long the oldest request waits.", value=now.figures["inbox_lag_seconds"]
        )
        yield GaugeMetricFamily(
            "cdp_sweep_lag_seconds",
            "How far segments in real time are behind time.",
            value=now.figures["sweep_lag_seconds"],
        )
        yield GaugeMetricFamily(
            "cdp_audit_lag_seconds",
            "How long the oldest audit entry waits to be signed.",
            value=now.figures["audit_lag_seconds"],
        )
        yield GaugeMetricFamily(
            "cdp_webhook_lag_seconds",
            "How long the oldest delivery waits that nothing holds up.",
            value=now.figures["webhook_lag_seconds"],
        )
        yield GaugeMetricFamily(
            "cdp_keeper_lag_seconds",
            "How long the oldest decision waits to be heard by audiences.",
            value=now.figures["keeper_lag_seconds"],
        )
        heard = GaugeMetricFamily(
            "cdp_process_silent_seconds", "Since when a process that ran wasn't heard.", labels=["process"]
        )
        for process, seconds in now.figures["processes"].items():
            if seconds is not None:
                heard.add_metric([process], seconds)
        yield heard
        yield GaugeMetricFamily("cdp_jobs_stuck", "Jobs whose worker is silent.", value=now.figures["jobs_stuck"])
        yield GaugeMetricFamily(
            "cdp_webhooks_off", "Webhooks turned off because they failed.", value=now.figures["webhooks_off"]
        )
        yield GaugeMetricFamily(
            "cdp_webhook_dead_letters", "Deliveries that were given up.", value=now.figures["webhook_dead_letters"]
        )
        alarms = GaugeMetricFamily("cdp_alarm", "1 while the alarm is raised.", labels=["code"])
        raised = {one["code"] for one in now.figures["alarms"]}
        for code in ALARMS:
            alarms.add_metric([code], float(code in raised))
        yield alarms
        yield from _jobs()
        yield GaugeMetricFamily(
            "cdp_quarantined_messages", "Messages that could not be used.", value=now.figures["quarantined"]
        )


def _jobs() -> Iterator[Metric]:
    waiting = GaugeMetricFamily("cdp_jobs", "Jobs that wait or run.", labels=["kind", "state"])
    failed = GaugeMetricFamily("cdp_jobs_failed_last_day", "Jobs that failed within 24 hours.", labels=["kind"])
    since = timezone.now() - FAILED_WITHIN
    counted = (
        Job.objects.filter(Q(state__in=WAITING) | Q(state=JobState.FAILED, finished_at__gte=since))
        .order_by("kind", "state")
        .values_list("kind", "state")
        .annotate(count=Count("pk"))
    )
    for kind, state, count in counted:
        if state == JobState.FAILED:
            failed.add_metric([kind], count)
        else:
            waiting.add_metric([kind, state], count)
    yield waiting
    yield failed
