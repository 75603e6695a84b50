"""What is done from the list of segments: to many at once, to one by cloning, and taking in a file of rules.

Each is allowed or refused segment by segment. The list itself is in `segments.screens.listing`.
"""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.admin_base import actor_of, reader_of
from cdp.errors import Conflict, DomainError
from segments import views
from segments.models import Segment
from segments.rule_files import LARGEST_FILE, FileRefused, clone, take_in, written
from segments.rules import RuleErrors
from segments.services import InUse, archive, change_details
from segments.sharing import visible_segments, with_permission

MOST_AT_ONCE = 100
LIST = "admin:segments_segment_changelist"


def many_view(request: HttpRequest) -> HttpResponse:
    """Tags, untags, archives or exports the ticked segments."""
    visible = views.visible_to(request)
    chosen = _chosen(request)
    segments = list(visible.filter(uuid__in=chosen).select_related("live_version").prefetch_related("purposes"))
    if not segments:
        messages.error(request, "Tick the segments first.")
        return _back(request)
    match request.POST.get("act"):
        case "export":
            return _file(request, segments)
        case "tag" | "untag" as act:
            _tag(request, segments, adds=act == "tag")
        case "archive":
            _archive(request, segments)
        case _:
            messages.error(request, "Choose what to do with them.")
    return _back(request)


def _chosen(request: HttpRequest) -> list[UUID]:
    chosen = []
    for text in request.POST.getlist("segment")[:MOST_AT_ONCE]:
        try:
            chosen.append(UUID(text))
        except ValueError:
            continue
    return chosen


def _file(request: HttpRequest, segments: list[Segment]) -> HttpResponse:
    text = written(sorted(segments, key=lambda one: one.key), by=actor_of(request))
    name = segments[0].key if len(segments) == 1 else f"segments-{timezone.localdate():%Y-%m-%d}"
    disposition = f'attachment; filename="{name}.json"'
    return HttpResponse(text, content_type="application/json", headers={"Content-Disposition": disposition})


def _changeable(request: HttpRequest, segments: list[Segment]) -> list[Segment]:
    """Those that the reader may change; of the others it is said."""
    allowed = set(
        with_permission(reader_of(request), "change_segment")
        .filter(pk__in=[one.pk for one in segments])
        .values_list("pk", flat=True)
    )
    if refused := [one.name for one in segments if one.pk not in allowed]:
        messages.error(request, f"You may not change {_listed(refused)}.")
    return [one for one in segments if one.pk in allowed]


def _tag(request: HttpRequest, segments: list[Segment], *, adds: bool) -> None:
    given = {tag for tag in (" ".join(one.split()).casefold() for one in request.POST.get("tag", "").split(",")) if tag}
    if not given:
        messages.error(request, "Type the tag first.")
        return
    done = 0
    for segment in _changeable(request, segments):
        try:
            _retag(segment, given, adds=adds, by=actor_of(request))
        except DomainError as error:
            messages.error(request, f"“{segment.name}”: {error.message}")
            continue
        done += 1
    if done:
        messages.success(request, f"{'Tagged' if adds else 'Untagged'} {done} segment{'s' if done > 1 else ''}.")


@transaction.atomic
def _retag(segment: Segment, given: set[str], *, adds: bool, by: Actor) -> None:
    """By the tags that it has now: what somebody else tagged it with since it was read stays."""
    tags = set(Segment.objects.select_for_update(of=("self",)).values_list("tags", flat=True).get(pk=segment.pk))
    change_details(segment=segment, tags=tags | given if adds else tags - given, by=by)


def _archive(request: HttpRequest, segments: list[Segment]) -> None:
    """Archives them in whatever order they let go of each other."""
    left = _changeable(request, segments)
    done: list[str] = []
    while left:
        refused: list[tuple[Segment, Conflict]] = []
        for segment in left:
            try:
                archive(segment=segment, by=actor_of(request))
                done.append(segment.name)
            except Conflict as error:
                refused.append((segment, error))
        if len(refused) == len(left):
            for segment, used in refused:
                messages.error(request, in_use(request, segment, used) if isinstance(used, InUse) else used.message)
            break
        left = [segment for segment, _ in refused]
    if done:
        messages.success(request, f"Archived {_listed(done)}.")


def in_use(request: HttpRequest, segment: Segment, error: InUse) -> str:
    """By whom it is used, as far as the reader may know."""
    seen = set(
        visible_segments(reader_of(request)).filter(pk__in=[one.pk for one in error.users]).values_list("pk", flat=True)
    )
    names = [f"“{one.name}”" for one in error.users if one.pk in seen]
    if hidden := len(error.users) - len(names):
        names.append(f"{hidden} that you may not see")
    return f"“{segment.name}” is used by {', '.join(names)}. Change them first."


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"“{name}”" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _back(request: HttpRequest) -> HttpResponse:
    """To the list as it was narrowed: only what follows the question mark is taken from the form."""
    response = redirect(LIST)
    if asked := request.POST.get("asked", ""):
        response["Location"] += f"?{_query(asked)}"
    return response


def _query(asked: str) -> str:
    known = ("q", "tag", "folder", "owner", "status", "sort", "after", "before")
    given, kept = QueryDict(asked[:2000]), QueryDict(mutable=True)
    for name in known:
        if name in given:
            kept[name] = given[name]
    return kept.urlencode()


def clone_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A new draft with the same rule."""
    if not request.user.has_perm("segments.add_segment"):
        raise PermissionDenied
    segment = views.visible_to(request).filter(uuid=uuid).first()
    if segment is None:
        raise Http404
    try:
        copy = clone(segment=segment, by=actor_of(request), owner=reader_of(request))
    except (RuleErrors, DomainError) as error:
        messages.error(request, f"“{segment.name}” can't be copied: {error}")
        return redirect("admin:segments_segment_detail", uuid=uuid)
    messages.success(request, f"“{copy.name}” is a draft of yours.")
    return redirect("admin:segments_segment_detail", uuid=copy.uuid)


def import_view(request: HttpRequest) -> HttpResponse:
    """Takes in a file of rules, or what was pasted, as drafts."""
    if not request.user.has_perm("segments.add_segment"):
        raise PermissionDenied
    if request.method != "POST":
        return render(request, "segments/import.html", {"text": ""})
    text, name = request.POST.get("rule", ""), request.POST.get("name", "")
    context: dict[str, Any] = {"text": text, "name": name}
    try:
        if file := request.FILES.get("file"):
            context["text"] = text = _text_of(file)
        made = take_in(text, name=name, by=actor_of(request), owner=reader_of(request))
    except FileRefused as refused:
        return render(request, "segments/import.html", context | {"errors": refused.places}, status=422)
    except DomainError as error:
        return render(request, "segments/import.html", context | {"error": error}, status=422)
    messages.success(request, f"{_listed([one.name for one in made])}: as drafts.")
    return redirect("admin:segments_segment_detail", uuid=made[0].uuid) if len(made) == 1 else redirect(LIST)


def _text_of(file: Any) -> str:
    """
    Raises:
        DomainError: it is too large, or no text.
    """
    if file.size > LARGEST_FILE:
        raise DomainError("file_too_large", "This is larger than a file of rules may be: 1 MB.", "/file")
    try:
        return str(file.read().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DomainError("not_text", "This file is no text in UTF-8.", "/file") from None
