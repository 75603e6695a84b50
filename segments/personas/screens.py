"""The screens of personas: cards of all, one with its portrait, making one from a group, changing it, paper and file.

What they show is in `segments.personas.showing`; every change is a service.
"""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import path

from cdp.audit.admin_base import actor_of, reader_of
from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.jobs.models import Job
from cdp.profiles.score_services import published_scores
from cdp.spreadsheet import as_file
from consent.querysets import INTERNAL_ANALYSIS
from segments.models import Segment
from segments.personas import services, showing
from segments.personas.models import COLOURS, Persona
from segments.personas.sources import Group, group_named, groups_of_scores, groups_of_segments, why_gone
from segments.rules import RuleErrors
from segments.sharing import visible_segments

Wrap = Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]
LIST: Final = "admin:segments_persona_changelist"
DETAIL: Final = "admin:segments_persona_detail"
SETTINGS: Final = "admin:segments_persona_settings"


def addresses(get: Wrap, post: Wrap) -> list[Any]:
    name = "segments_persona_{}".format
    return [
        path("new/", get(new_view), name=name("new")),
        path("run/", post(run_view), name=name("run")),
        path("standing/", get(standing_view), name=name("standing")),
        path("print/", get(print_view), name=name("print")),
        path("<uuid:uuid>/", get(detail_view), name=name("detail")),
        path("<uuid:uuid>/settings/", get(settings_view), name=name("settings")),
        path("<uuid:uuid>/move/", post(move_view), name=name("move")),
        path("<uuid:uuid>/delete/", post(delete_view), name=name("delete_one")),
        path("<uuid:uuid>/segment/", post(segment_view), name=name("segment")),
        path("<uuid:uuid>/figures.csv", get(file_view), name=name("file")),
    ]


# ---- Reading ---------------------------------------------------------------------------------------------------------


def list_view(request: HttpRequest) -> HttpResponse:
    """A card for each, in their order."""
    _demand(request, "view_persona")
    personas = Persona.objects.select_related("portrait", "segment")
    cards = [showing.shown(one, showing.portrait_of(one)) for one in personas]
    drawn = [one.portrait for one in cards if one.portrait]
    context = {
        **_frame(request),
        "cards": cards,
        "as_of": max((one.as_of for one in drawn), default=None),
        "is_drawn": bool(drawn),
    }
    return render(request, "segments/personas/list.html", context)


def detail_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One portrait: what is said, the figures, pictures and tables."""
    one = _shown(request, uuid)
    is_told = one.is_told
    context = {
        **_frame(request),
        "one": one,
        "persona": one.persona,
        "gone": why_gone(one.persona),
        "segment": _seen(request, one.persona.segment),
        "apart": showing.apart_figure(one) if is_told else None,
        "when": showing.when_figure(one.told.when, one.persona.name) if is_told and one.told.when else None,
        "traits": showing.factors_shown(one) if is_told else [],
        "two_components": sum(one.analysed.factors.components[:2]) if one.analysed.factors else None,
        "is_published": one.persona.key in published_scores([services.KIND]).get(services.KIND, {}),
    }
    return render(request, "segments/personas/persona.html", context)


def standing_view(request: HttpRequest) -> HttpResponse:
    """How far drawing is; once it has ended, the page that asks is to be read anew."""
    _demand(request, "view_persona")
    frame = _frame(request)
    response = render(request, "segments/personas/_job.html", frame)
    if not frame["is_moving"]:
        response["HX-Refresh"] = "true"
    return response


def print_view(request: HttpRequest) -> HttpResponse:
    """All portraits for paper, one a page; or just the one that is asked for."""
    _demand(request, "view_persona")
    wanted = request.GET.get("only", "")
    personas = Persona.objects.select_related("portrait")
    if wanted:
        try:
            personas = personas.filter(uuid=UUID(wanted))
        except ValueError:
            raise Http404 from None
    found = [showing.shown(one, showing.portrait_of(one)) for one in personas]
    told = [one for one in found if one.is_told]
    if wanted and not found:
        raise Http404
    pages = [(one, showing.squares(one.told.when) if one.told.when else []) for one in told]
    return render(request, "segments/personas/print.html", {"pages": pages, "only": found[0] if wanted else None})


@transaction.atomic
def file_view(request: HttpRequest, uuid: UUID) -> HttpResponseBase:
    """The figures of one portrait, as a table for a spreadsheet."""
    one = _shown(request, uuid)
    record(by=actor_of(request), action="persona.figures_exported", object=one.persona, purpose=INTERNAL_ANALYSIS)
    return as_file(f"persona-{one.persona.key}.csv", showing.HEADER, showing.file_rows(one))


# ---- Making and changing ---------------------------------------------------------------------------------------------


def new_view(request: HttpRequest) -> HttpResponse:
    """A persona of a group that there is; the group may be chosen already by the address."""
    _demand(request, "add_persona")
    user = reader_of(request)
    chosen = (request.POST if request.method == "POST" else request.GET).get("source", "")
    given = {
        "name": request.POST.get("name", ""),
        "description": request.POST.get("description", "").replace("\0", "").strip()[:2000],
        "source": chosen,
    }
    if request.method != "POST":
        group = _group_or_none(chosen, request)
        if group is not None:
            given["name"] = group.name.rpartition(": ")[2][: services.NAME_LIMIT]
        error = None
        if chosen and group is None:
            error = DomainError("source_unknown", "There is no such group now. Choose another one.", "/source")
        return _new(request, given, error=error)
    try:
        persona = services.create_persona(
            name=given["name"],
            description=given["description"],
            group=group_named(chosen, user=user),
            owner=user,
            by=actor_of(request),
        )
    except DomainError as error:
        return _new(request, given, error=error, status=422)
    messages.success(request, "Made. Its portrait is being drawn.")
    return redirect(DETAIL, uuid=persona.uuid)


def _new(
    request: HttpRequest, given: dict[str, str], *, error: DomainError | None = None, status: int = 200
) -> HttpResponse:
    rfm, clusters = groups_of_scores()
    offered = [("Clusters", clusters), ("RFM groups", rfm), ("Segments", groups_of_segments(reader_of(request)))]
    context = {
        "given": given,
        "error": error,
        "offered": [(label, groups) for label, groups in offered if groups],
    }
    return render(request, "segments/personas/new.html", context, status=status)


def _group_or_none(value: str, request: HttpRequest) -> Group | None:
    try:
        return group_named(value, user=reader_of(request)) if value else None
    except DomainError:
        return None


def settings_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Name, description, colour and whether it is drawn; its place; and deleting it."""
    _demand(request, "change_persona")
    persona = _persona(uuid)
    if request.method != "POST":
        return _settings(request, persona)
    given = {
        "name": request.POST.get("name", ""),
        "description": request.POST.get("description", "").replace("\0", "").strip()[:2000],
        "colour": request.POST.get("colour", ""),
        "is_active": request.POST.get("is_active") == "yes",
    }
    try:
        services.change_persona(
            persona=persona,
            name=str(given["name"]),
            description=str(given["description"]),
            colour=_number(str(given["colour"])),
            is_active=bool(given["is_active"]),
            by=actor_of(request),
        )
    except services.PersonaInUse as error:
        return _settings(request, persona, given=given, users=error.users, status=409)
    except DomainError as error:
        return _settings(request, persona, given=given, error=error, status=422)
    messages.success(request, "Saved.")
    return redirect(DETAIL, uuid=uuid)


def _settings(request: HttpRequest, persona: Persona, *, status: int = 200, **more: Any) -> HttpResponse:
    readers = services.readers_of(persona)
    seen = set(visible_segments(reader_of(request)).filter(pk__in=[one.pk for one in readers]))
    context = {
        **_frame(request),
        "persona": persona,
        "given": persona,
        "colours": range(1, COLOURS + 1),
        "readers": [one for one in readers if one in seen],
        "hidden_readers": len([one for one in readers if one not in seen]),
        "is_first": not Persona.objects.filter(position__lt=persona.position).exists(),
        "is_last": not Persona.objects.filter(position__gt=persona.position).exists(),
        **more,
    }
    return render(request, "segments/personas/settings.html", context, status=status)


def move_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    _demand(request, "change_persona")
    steps = -1 if request.POST.get("to") == "up" else 1
    services.move_persona(persona=_persona(uuid), steps=steps, by=actor_of(request))
    return redirect(SETTINGS, uuid=uuid) if request.POST.get("back") == "settings" else redirect(LIST)


def delete_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    _demand(request, "delete_persona")
    persona = _persona(uuid)
    try:
        services.delete_persona(persona=persona, by=actor_of(request))
    except services.PersonaInUse as error:
        return _settings(request, persona, users=error.users, status=409)
    messages.success(
        request, f"{persona.name} is deleted. People lose it with the next portraits, which are being drawn."
    )
    return redirect(LIST)


def run_view(request: HttpRequest) -> HttpResponse:
    """Has all portraits drawn anew."""
    _demand(request, "change_persona")
    if not Persona.objects.filter(is_active=True).exists():
        messages.error(request, "There is no persona to draw. Make one first.")
        return redirect(LIST)
    services.request_portraits(by=actor_of(request), user=reader_of(request))
    return redirect(LIST)


def segment_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A live segment of whoever has this persona."""
    _demand(request, "view_persona")
    _demand(request, "add_segment")
    persona = _persona(uuid)
    try:
        segment = services.make_segment(persona=persona, by=actor_of(request), user=reader_of(request))
    except RuleErrors as errors:
        messages.error(request, f"The segment can't go live: {errors}")
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "The segment is live. Its members are being worked out.")
        return redirect("admin:segments_segment_detail", uuid=segment.uuid)
    return redirect(DETAIL, uuid=uuid)


# ---- Shared ----------------------------------------------------------------------------------------------------------


def _frame(request: HttpRequest) -> dict[str, Any]:
    user = reader_of(request)
    job = Job.objects.filter(kind=services.PORTRAY_KIND).order_by("-created_at").first()
    return {
        "job": job,
        "is_moving": job is not None and not job.is_finished,
        "may_add": user.has_perm("segments.add_persona"),
        "may_change": user.has_perm("segments.change_persona"),
        "may_delete": user.has_perm("segments.delete_persona"),
        "may_segment": user.has_perm("segments.add_segment"),
        "may_stop": job is not None and user.has_perm("jobs.view_job", job),
    }


def _demand(request: HttpRequest, codename: str) -> None:
    if not reader_of(request).has_perm(f"segments.{codename}"):
        raise PermissionDenied


def _persona(uuid: UUID) -> Persona:
    found = Persona.objects.select_related("segment").filter(uuid=uuid).first()
    if found is None:
        raise Http404
    return found


def _shown(request: HttpRequest, uuid: UUID) -> showing.Shown:
    _demand(request, "view_persona")
    found = Persona.objects.select_related("portrait", "segment").filter(uuid=uuid).first()
    if found is None:
        raise Http404
    return showing.shown(found, showing.portrait_of(found))


def _seen(request: HttpRequest, segment: Segment | None) -> Segment | None:
    """The segment it is made from, where this reader may know it."""
    if segment is None:
        return None
    return visible_segments(reader_of(request)).filter(pk=segment.pk).first()


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 3 else 0
