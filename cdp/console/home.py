"""Home: how many people are known, what comes in, how the segments stand, and what waits for the reader.

Only what the reader's role may open is read and shown.
"""

from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from cdp.audit.admin_base import reader_of
from cdp.identity.normalise import ANONYMOUS_ID
from cdp.ingestion.models import InboxMessage, Quarantined
from cdp.jobs.models import Job
from cdp.jobs.naming import named_for
from cdp.privacy.querysets import open_requests, shown
from cdp.profiles.models import Event, Identifier, Profile, Workspace
from cdp.small_charts import day_chart
from cdp.webhooks.access import visible_webhooks
from cdp.webhooks.models import OffReason
from consent.models import ConsentConflict
from segments.history import with_sparklines
from segments.models import SegmentStatus
from segments.querysets import drifted
from segments.sharing import sees_segments, visible_segments

DAYS = 30
SEGMENTS = 8
FAILED_SHOWN = 5
SOON_DAYS = 7


def home_view(request: HttpRequest) -> HttpResponse:
    # Counting everybody takes as long as there are people: the page doesn't wait for it.
    context: dict[str, Any] = {"title": "Home", "counts_people": request.user.has_perm("profiles.view_profile")}
    if request.user.has_perm("profiles.view_eventname"):
        context |= _events(Workspace.current())
    if sees_segments(reader_of(request)):
        visible = visible_segments(reader_of(request))
        live = visible.filter(status=SegmentStatus.LIVE).select_related("owner").order_by("-member_count", "name")
        context |= {
            "may_add": request.user.has_perm("segments.add_segment"),
            "live_count": live.count(),
            "live": with_sparklines(list(live[:SEGMENTS])),
        }
    return render(request, "home.html", {**context, **_waiting(request)})


def figures_view(request: HttpRequest) -> HttpResponse:
    """How many people there are, for whoever may see people."""
    if not request.user.has_perm("profiles.view_profile"):
        raise PermissionDenied
    return render(request, "home/_people.html", _people())


def waiting_view(request: HttpRequest) -> HttpResponse:
    """Only what waits, for the panel that renews itself."""
    return render(request, "home/_waiting.html", _waiting(request))


def _people() -> dict[str, Any]:
    return {
        "people": Profile.objects.count(),
        "known": Identifier.objects.exclude(namespace=ANONYMOUS_ID).values("profile_id").distinct().count(),
    }


def _events(workspace: Workspace) -> dict[str, Any]:
    """Events per whole day of the workspace's time zone, today's so far included."""
    now = timezone.localtime(workspace.now())
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    counts = Event.objects.sent().per_day(
        since=midnight - timedelta(days=DAYS - 1), until=now, time_zone=workspace.time_zone
    )
    chart = day_chart(counts, last=now.date(), days=DAYS)
    return {"chart": chart, "events_today": counts.get(now.date(), 0), "as_of": workspace.frozen_at}


def _waiting(request: HttpRequest) -> dict[str, Any]:
    waiting: dict[str, Any] = {}
    if request.user.has_perm("jobs.view_job"):
        waiting["failed"] = named_for(reader_of(request), Job.objects.failed_lately()[:FAILED_SHOWN])
        waiting["running"] = named_for(reader_of(request), Job.objects.unfinished()[:FAILED_SHOWN])
    if request.user.has_perm("ingestion.view_quarantined"):
        waiting["quarantined"] = Quarantined.objects.open().count()
        waiting["inbox"] = InboxMessage.objects.count()
    if request.user.has_perm("privacy.view_privacyrequest"):
        today = timezone.localdate()
        waiting["overdue"] = shown("overdue", today=today).count()
        waiting["due_soon"] = open_requests().filter(due_on__range=(today, today + timedelta(days=SOON_DAYS))).count()
        waiting["undone"] = shown("failed", today=today).count()
    if request.user.has_perm("consent.view_consentconflict"):
        waiting["conflicts"] = ConsentConflict.objects.filter(settled_at__isnull=True).count()
    if request.user.has_perm("webhooks.view_webhook"):
        gone = {OffReason.GONE, OffReason.FAILING, OffReason.NO_ACCESS}
        seen = visible_webhooks(reader_of(request)).filter(off_reason__in=gone)
        waiting["webhooks_off"] = seen.order_by("-off_since")[:SEGMENTS]
    if sees_segments(reader_of(request)):
        visible = visible_segments(reader_of(request))
        waiting["broken"] = visible.filter(status=SegmentStatus.LIVE).exclude(broken_reason="")[:SEGMENTS]
        waiting["drifted"] = drifted(visible)[:SEGMENTS]
        waiting["paused"] = visible.filter(status=SegmentStatus.PAUSED).order_by("status_since")[:SEGMENTS]
        mine = visible.filter(status=SegmentStatus.DRAFT, owner=reader_of(request))
        waiting["drafts"] = mine.count()
    asking = ("failed", "running", "quarantined", "broken", "drifted", "paused", "drafts", "overdue", "due_soon", "undone", "webhooks_off",
              "conflicts")  # fmt: skip
    waiting["is_quiet"] = not any(waiting.get(key) for key in asking)
    return waiting
