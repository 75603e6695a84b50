"""Why a person is in a segment, or isn't, and when that changes; and the segments that they are not in.

The verdict and its reasons are `segments.why`'s, the outlook is `segments.turning`'s; here they are put on a page.
"""

from typing import Any
from uuid import UUID

from django.db import OperationalError, transaction
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from cdp.audit.admin_base import actor_of, reader_of
from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.key_pages import Key, key_page, number, text
from cdp.profiles.models import Profile
from consent.models import Purpose
from segments.models import READABLE, Membership, Segment, SegmentStatus
from segments.rules import RuleErrors
from segments.sharing import visible_segments
from segments.turning import Outlook, outlook
from segments.why import why

PAGE = 20
BY_NAME = (Key(name="name", read=text), Key(name="id", read=number))


def why_view(
    request: HttpRequest, person: Profile, purpose: Purpose, segment_uuid: UUID, *, is_masked: bool
) -> HttpResponse:
    """The tree of verdicts, as a piece of the person's page or as a page of its own."""
    visible = visible_segments(reader_of(request)).filter(status__in=READABLE)
    segment = visible.select_related("live_version__segment").filter(uuid=segment_uuid).first()
    if segment is None or segment.live_version is None:
        raise Http404
    context: dict[str, Any] = {"person": person, "segment": segment, "error": ""}
    try:
        context["told"] = why(
            profile=person,
            version=segment.live_version,
            purpose=purpose,
            by=actor_of(request),
            reader=reader_of(request),
            is_masked=is_masked,
        )
        context["outlook"] = _outlook(person, segment)
    except RuleErrors as errors:
        context["error"] = f"Its rule can't be judged now. {errors.errors[0].message.capitalize()}."
    except DomainError as error:
        context["error"] = error.message
    except OperationalError:
        context["error"] = "It took too long to find out. Try again in a minute."
    is_piece = request.headers.get("HX-Request") == "true"
    return render(request, "people/_why.html" if is_piece else "people/why.html", context)


def _outlook(person: Profile, segment: Segment) -> Outlook | None:
    """When the verdict would change if nothing happened; None where that can't be told."""
    if segment.status != SegmentStatus.LIVE:
        return None
    try:
        return outlook(profile=person, segment=segment)
    except DomainError:
        return None


def others_view(request: HttpRequest, person: Profile, purpose: Purpose) -> HttpResponse:
    """Segments that they are not in, of those the reader may see: as many as fit, and where the next ones are."""
    visible = visible_segments(reader_of(request)).filter(status__in=READABLE)
    mine = Membership.objects.filter(profile=person, segment=OuterRef("pk"))
    page = key_page(visible.filter(~Exists(mine)), request.GET, keys=BY_NAME, size=PAGE)
    with transaction.atomic():
        record(
            by=actor_of(request),
            action="profile.segments_viewed",
            object=person,
            purpose=purpose.key,
            detail={"count": len(page.rows)},
        )
    is_piece = request.headers.get("HX-Request") == "true"
    template = "people/_others.html" if is_piece else "people/others.html"
    return render(request, template, {"person": person, "page": page})
