"""The screens of files of people for a list: uploading one, looking at it, choosing what its columns hold, applying it, following it.

What becomes of a file is in `segments.uploads.services`; of which list it may be, here and in `segments.sharing`.
"""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import path

from cdp.audit.admin_base import actor_of, reader_of
from cdp.errors import DomainError
from cdp.identity.normalise import ANONYMOUS_ID, EMAIL, USER_ID
from cdp.profiles.masking import masked_identifier, masked_properties
from cdp.profiles.querysets import namespaces
from cdp.spreadsheet import as_file
from segments.by_hand import ready_lists
from segments.list_people import PUBLIC_ID
from segments.models import ByHand, StaticList
from segments.rules import RuleErrors
from segments.screens.frame import demand, segment_or_404
from segments.sharing import may_change_list, reads_people, visible_lists
from segments.uploads import services
from segments.uploads.models import ListUpload, Problem, UploadMode, UploadState
from segments.uploads.reading import MOST_BYTES, MOST_ROWS

ROWS_SHOWN: Final = 8
PROBLEMS_SHOWN: Final = 50
Wrap = Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]


def addresses(get: Wrap, post: Wrap) -> list[Any]:
    """Below those of lists."""
    name = "segments_listupload_{}".format
    return [
        path("list/<slug:key>/upload/", get(upload_view), name=name("new")),
        path("uploads/<uuid:uuid>/", get(file_view), name=name("detail")),
        path("uploads/<uuid:uuid>/columns/", post(columns_view), name=name("columns")),
        path("uploads/<uuid:uuid>/problems.csv", get(problems_view), name=name("problems")),
        path("uploads/<uuid:uuid>/apply/", post(apply_view), name=name("apply")),
        path("uploads/<uuid:uuid>/discard/", post(discard_view), name=name("discard")),
    ]


def upload_view(request: HttpRequest, key: str) -> HttpResponse:
    static_list = visible_lists(reader_of(request)).select_related("segment").filter(key=key).first()
    if static_list is None:
        raise Http404
    return _upload(request, static_list)


def by_hand_view(request: HttpRequest, uuid: UUID, kind: str) -> HttpResponse:
    """To the same for a segment's own lists, which are made when they are first needed."""
    segment = segment_or_404(request, uuid)
    demand(request, segment, "edit_members")
    if kind not in ByHand.values or not reads_people(reader_of(request)):
        raise PermissionDenied if kind in ByHand.values else Http404
    try:
        lists = ready_lists(segment=segment, by=actor_of(request), user=reader_of(request))
    except (RuleErrors, DomainError) as error:
        messages.error(request, error.message if isinstance(error, DomainError) else f"The rule can't go live: {error}")
        return redirect("admin:segments_segment_members", uuid=uuid)
    return redirect("admin:segments_listupload_new", key=lists.of(ByHand(kind)).key)


def _upload(request: HttpRequest, static_list: StaticList) -> HttpResponse:
    _demand(request, static_list)
    mode, reason = request.POST.get("mode", UploadMode.APPEND), request.POST.get("reason", "")
    context: dict[str, Any] = {
        "list": static_list,
        "modes": UploadMode.choices,
        "mode": mode,
        "reason": reason,
        "most_rows": MOST_ROWS,
        "most_megabytes": MOST_BYTES // 1024**2,
    }
    if request.method != "POST":
        return render(request, "segments/upload_new.html", context)
    given = request.FILES.get("file")
    try:
        if given is None:
            raise DomainError("file_missing", "Choose a file.", "/file")
        if mode not in UploadMode.values:
            raise DomainError("mode_unknown", "Choose what becomes of the people of the file.", "/mode")
        if static_list.by_hand and not reason.strip():
            raise DomainError("reason_missing", "Say why, so that whoever comes after you knows.", "/reason")
        file = services.upload(
            static_list=static_list,
            mode=UploadMode(mode),
            name=given.name or "people.csv",
            content=given.file,  # type: ignore[arg-type]  # bytes, as uploads are
            reason=reason,
            by=actor_of(request),
        )
    except DomainError as error:
        return render(request, "segments/upload_new.html", context | {"error": error}, status=422)
    return redirect("admin:segments_listupload_detail", uuid=file.uuid)


def file_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    file = _file(request, uuid)
    is_moving = file.state == UploadState.APPLYING and not (file.job and file.job.is_finished)
    context: dict[str, Any] = {
        "file": file,
        "list": file.static_list,
        "job": file.job,
        "is_moving": is_moving,
        "counts": [(Problem(one).label, count) for one, count in sorted(file.problem_counts.items())],
        "problems": [(line, Problem(code).label) for line, code in file.problems[:PROBLEMS_SHOWN]],
        "mode_said": UploadMode(file.mode).label,
    }
    if file.state == UploadState.READY:
        context |= _looked_at(file)
    return render(request, "segments/upload.html", context)


def _looked_at(file: ListUpload) -> dict[str, Any]:
    seen = services.look(file)
    known = dict.fromkeys([USER_ID, EMAIL, ANONYMOUS_ID, PUBLIC_ID, *namespaces(), *filter(None, file.namespaces)])
    columns = [
        {"number": number, "heading": heading, "namespace": namespace, "found": found}
        for number, (heading, namespace, found) in enumerate(
            zip(file.headings, file.namespaces, seen.found, strict=True), start=1
        )
    ]
    rows = [
        (row.line, list(zip(file.headings, map(_masked, row.cells or ()), strict=False)))
        for row in seen.rows[:ROWS_SHOWN]
    ]
    return {
        "columns": columns,
        "known": [(one, one.replace("_", " ")) for one in known],
        "first_rows": rows,
        "looked_at": seen.looked_at,
        "is_read": any(file.namespaces),
    }


def _masked(cell: str) -> str:
    """What reaches a person isn't shown, whoever uploaded it: others may open this page, too."""
    return masked_identifier("", str(masked_properties({"cell": cell})["cell"]))


def columns_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _act(
        request,
        uuid,
        lambda file: services.choose_columns(file=file, chosen=request.POST.getlist("column"), by=actor_of(request)),
    )


def apply_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _act(
        request, uuid, lambda file: services.ask_to_apply(file=file, by=actor_of(request), user=reader_of(request))
    )


def discard_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    key = _file(request, uuid).static_list.key
    response = _act(request, uuid, lambda file: services.discard(file=file, by=actor_of(request)))
    is_gone = not ListUpload.objects.filter(uuid=uuid).exists()
    return redirect("admin:segments_staticlist_detail", key=key) if is_gone else response


def problems_view(request: HttpRequest, uuid: UUID) -> HttpResponseBase:
    """Numbers of lines and what is wrong with each; nothing of what stood there."""
    file = _file(request, uuid)
    rows = ([str(line), code, Problem(code).label] for line, code in file.problems)
    return as_file(f"problems-{file.uuid}.csv", ["line", "code", "what is wrong"], rows)


def _act(request: HttpRequest, uuid: UUID, act: Callable[[ListUpload], object]) -> HttpResponse:
    try:
        act(_file(request, uuid))
    except DomainError as error:
        messages.error(request, error.message)
    return redirect("admin:segments_listupload_detail", uuid=uuid)


def _file(request: HttpRequest, uuid: UUID) -> ListUpload:
    """The file, if this reader may change its list."""
    found = ListUpload.objects.select_related("job", "static_list__segment").filter(uuid=uuid).first()
    if found is None or not visible_lists(reader_of(request)).filter(pk=found.static_list_id).exists():
        raise Http404
    _demand(request, found.static_list)
    return found


def _demand(request: HttpRequest, static_list: StaticList) -> None:
    """What tells which identifiers are known takes the right to look people up, too."""
    user = reader_of(request)
    if not may_change_list(user, static_list) or not reads_people(user):
        raise PermissionDenied
