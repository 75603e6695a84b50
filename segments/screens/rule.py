"""The pages on which a rule is written: of a segment that there is, and of a new one.

What is answered while somebody writes is in `segments.views` and `segments.builder`; reviewing and saving in `segments.screens.review`.
"""

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from segments import views
from segments.builder.views import shown
from segments.models import Segment, SegmentVersion
from segments.screens.frame import frame, segment_or_404
from segments.text import lay_out


def page(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The newest version's rule, or that of the version that was asked for."""
    segment = segment_or_404(request, uuid)
    version = _version(segment, request.GET.get("version", ""))
    text = lay_out(version.rule) if version else ""
    return rule_page(request, segment, version=version, text=text, **views.checked(request, text))


def rule_page(request: HttpRequest, segment: Segment, *, status: int = 200, **context: Any) -> HttpResponse:
    """The page with this ``text`` in its builder."""
    around = frame(request, segment)
    newest = around["newest"]
    told = {
        **around,
        **views.editor(request, segment),
        # Whoever saves what was drafted here hasn't seen what comes after this one.
        "base": newest.number if newest else 0,
        **context,
        **shown(request, context["text"]),
    }
    return render(request, "segments/rule.html", told, status=status)


def new_page(request: HttpRequest) -> HttpResponse:
    demand_new(request)
    text = lay_out(views.FIRST_RULE)
    context = {**views.editor(request), **views.beginnings(request), **shown(request, text)}
    return render(request, "segments/new.html", context)


def demand_new(request: HttpRequest) -> None:
    """Refuses who may make no segment."""
    if not request.user.has_perm("segments.add_segment"):
        raise PermissionDenied


def _version(segment: Segment, number: str) -> SegmentVersion | None:
    """The version asked for; without a number the newest."""
    if number.isdecimal() and len(number) < 10:
        return get_object_or_404(segment.versions, number=int(number))
    return segment.versions.first()
