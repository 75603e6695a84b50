"""The live debugger's screen: what a source sends at this moment, while somebody looks. What is noted of it is in `watching`."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from cdp.audit.admin_base import actor_of
from cdp.ingestion import watching
from cdp.ingestion.models import Outcome, Source


def live_view(request: HttpRequest, pk: int) -> HttpResponse:
    if not request.user.has_perm("ingestion.view_source"):
        raise PermissionDenied
    return render(request, "ingestion/live.html", _context(request, get_object_or_404(Source, pk=pk)))


def messages_view(request: HttpRequest, pk: int) -> HttpResponse:
    """What came since, for the page that asks each second; it asks no more once nobody looks."""
    if not request.user.has_perm("ingestion.view_source"):
        raise PermissionDenied
    return render(request, "ingestion/_live.html", _context(request, get_object_or_404(Source, pk=pk)))


def watch_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Begins to look, goes on looking, or stops."""
    if not request.user.has_perm("ingestion.change_source"):
        raise PermissionDenied
    source = get_object_or_404(Source, pk=pk)
    if request.POST.get("act") == "stop":
        watching.stop(source=source, by=actor_of(request))
        messages.success(request, "Nobody looks any more, and the notes are gone.")
    else:
        watching.watch(source=source, by=actor_of(request))
    return redirect("admin:ingestion_source_live", pk=pk)


def _context(request: HttpRequest, source: Source) -> dict[str, Any]:
    outcome = request.GET.get("outcome", "")
    rows = watching.notes(source.pk)
    return {
        "source": source,
        "until": watching.until_when(source.pk),
        "rows": [row for row in rows if not outcome or row.outcome == outcome],
        "outcome": outcome if outcome in Outcome.values else "",
        "outcomes": Outcome.choices,
        "may_watch": request.user.has_perm("ingestion.change_source"),
        "minutes": watching.MINUTES,
    }
