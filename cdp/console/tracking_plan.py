"""The tracking plan as a screen and as files: which events, properties and traits come. What is in it is `segments.fields.plan`."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from cdp.spreadsheet import as_file
from segments.fields.plan import Plan, tracking_plan

PERMISSION: Final = "ingestion.view_source"
HEADING: Final = (
    "what", "event", "key", "type", "share", "people", "volume", "personal data", "first seen", "last seen"
)  # fmt: skip


def plan_view(request: HttpRequest) -> HttpResponse:
    _require(request)
    plan, wanted = tracking_plan(), request.GET.get("q", "").strip().casefold()[:100]
    context = {
        "plan": plan,
        "q": request.GET.get("q", "")[:100],
        "events": [
            one
            for one in plan.events
            if wanted in one.name.casefold() or any(wanted in p.key.casefold() for p in one.properties)
        ],
        "traits": [one for one in plan.traits if wanted in one.key.casefold()],
    }
    return render(request, "ingestion/plan.html", context)


def file_view(request: HttpRequest, form: str) -> HttpResponseBase:
    """All of it: as JSON, or a line for each event, property and trait as CSV."""
    _require(request)
    plan = tracking_plan()
    if form == "csv":
        return as_file("tracking-plan.csv", HEADING, _lines(plan))
    if form != "json":
        raise Http404
    said = {"Content-Disposition": 'attachment; filename="tracking-plan.json"', "Cache-Control": "no-store"}
    return JsonResponse(asdict(plan), headers=said, json_dumps_params={"indent": 2})


def _lines(plan: Plan) -> Iterator[tuple[str, ...]]:
    for event in plan.events:
        last = event.last_seen.isoformat() if event.last_seen else ""
        volume = "" if event.volume is None else str(event.volume)
        yield "event", event.name, "", event.kind, "", "", volume, "", event.first_seen.isoformat(), last
        for one in event.properties:
            people = "" if one.people is None else str(one.people)
            yield (
                "property",
                event.name,
                one.key,
                one.type,
                f"{one.share:.4f}",
                people,
                "",
                _yes(one.is_personal),
                "",
                "",
            )
    for trait in plan.traits:
        share = "" if trait.share is None else f"{trait.share:.4f}"
        people = "" if trait.people is None else str(trait.people)
        first = trait.first_seen.isoformat()
        yield "trait", "", trait.key, trait.type, share, people, "", _yes(trait.is_personal), first, ""


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _require(request: HttpRequest) -> None:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
