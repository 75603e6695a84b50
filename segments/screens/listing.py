"""The list of segments: found by words, tag, folder, owner and status, in one of four orders, page by page.

What is done to many at once is in `segments.screens.many`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Case, Count, F, Func, IntegerField, OuterRef, QuerySet, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from cdp.audit.admin_base import reader_of
from cdp.key_pages import Key, key_page, moment, number, text
from segments import views
from segments.history import with_sparklines
from segments.models import ChangeKind, MembershipChange, Segment, SegmentStatus
from segments.sharing import with_permission

PAGE = 25
MOST_CHOICES = 200
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
BROKEN = "broken"


@dataclass(frozen=True, kw_only=True)
class Sort:
    """One order of the list: by these keys, after what they need was worked out."""

    label: str
    keys: tuple[Key, ...]
    prepare: Callable[[QuerySet[Segment]], QuerySet[Segment]] = lambda segments: segments


def _with_change(segments: QuerySet[Segment]) -> QuerySet[Segment]:
    """Each with how many more are in than 7 days ago: a range of an index for each of them."""
    signed = Case(When(kind=ChangeKind.ENTERED, then=Value(1)), default=Value(-1), output_field=IntegerField())
    week = timezone.now() - timedelta(days=7)
    net = (
        MembershipChange.objects.filter(segment=OuterRef("pk"), recorded_at__gte=week)
        .order_by()
        .values("segment")
        .annotate(net=Sum(signed))
        .values("net")
    )
    return segments.annotate(change=Coalesce(Subquery(net), Value(0)))


def _with_refreshed(segments: QuerySet[Segment]) -> QuerySet[Segment]:
    return segments.annotate(refreshed=Coalesce(F("last_refreshed_at"), Value(NEVER)))


BY_ID = Key(name="id", read=number)
SORTS = {
    "name": Sort(label="Name", keys=(Key(name="name", read=text), BY_ID)),
    "size": Sort(label="Size", keys=(Key(name="member_count", read=number, descends=True), BY_ID)),
    "change": Sort(label="Change", keys=(Key(name="change", read=number, descends=True), BY_ID), prepare=_with_change),
    "refresh": Sort(
        label="Last refresh", keys=(Key(name="refreshed", read=moment, descends=True), BY_ID), prepare=_with_refreshed
    ),
}


def list_view(request: HttpRequest) -> HttpResponse:
    visible = views.visible_to(request)
    asked = request.GET
    found = _narrowed(visible, request)
    counts = dict(found.order_by().values_list("status").annotate(Count("pk")))
    broken = found.filter(status=SegmentStatus.LIVE).exclude(broken_reason="").count()
    status = asked.get("status", "")
    sort = SORTS.get(asked.get("sort", ""), SORTS["name"])
    shown = _of_status(found, status).select_related("owner").prefetch_related("purposes")
    page = key_page(sort.prepare(shown), asked, keys=sort.keys, size=PAGE)
    narrowed = {name: asked[name] for name in ("q", "tag", "folder", "owner", "status") if asked.get(name)}
    context = {
        "page": page,
        "rows": with_sparklines(page.rows),
        "query": asked.get("q", "").strip(),
        "status": status,
        "narrowed": narrowed,
        "statuses": [(value, label, counts.get(value, 0)) for value, label in SegmentStatus.choices],
        "broken": broken,
        "total": sum(count for value, count in counts.items() if value != SegmentStatus.ARCHIVED),
        "sorts": [(name, one.label) for name, one in SORTS.items()],
        "sort": next(name for name, one in SORTS.items() if one is sort),
        "is_mine": asked.get("owner") == "me",
        "may_add": request.user.has_perm("segments.add_segment"),
        "may_change_some": with_permission(reader_of(request), "change_segment").exists(),
        **choices(visible),
    }
    return render(request, "segments/list.html", context)


def _narrowed(visible: QuerySet[Segment], request: HttpRequest) -> QuerySet[Segment]:
    """Those that the words, tag, folder and owner asked for fit."""
    asked = request.GET
    # The text that is searched is in small letters; every word must be in it.
    for word in asked.get("q", "").lower().split()[:8]:
        visible = visible.filter(words__contains=word)
    if tag := asked.get("tag", ""):
        visible = visible.filter(tags__contains=[tag])
    if folder := asked.get("folder", ""):
        visible = visible.filter(folder=folder)
    owner = asked.get("owner", "")
    if owner == "me":
        visible = visible.filter(owner=reader_of(request))
    elif owner.isdecimal() and len(owner) < 10:
        visible = visible.filter(owner=int(owner))
    return visible


def _of_status(found: QuerySet[Segment], status: str) -> QuerySet[Segment]:
    """Those of the status; without one all that isn't put away."""
    if status == BROKEN:
        return found.filter(status=SegmentStatus.LIVE).exclude(broken_reason="")
    if status in SegmentStatus.values:
        return found.filter(status=status)
    return found.exclude(status=SegmentStatus.ARCHIVED)


def choices(visible: QuerySet[Segment]) -> dict[str, Any]:
    """The tags, folders and owners there are to choose from, of segments that the reader may see."""
    tags = visible.order_by().annotate(tag=Func(F("tags"), function="unnest")).values_list("tag", flat=True).distinct()
    folders = visible.order_by("folder").exclude(folder="").values_list("folder", flat=True).distinct()
    owners = User.objects.filter(pk__in=visible.order_by().values("owner")).order_by("first_name", "username")
    return {
        "tags": sorted(tags[:MOST_CHOICES]),
        "folders": list(folders[:MOST_CHOICES]),
        "owners": list(owners[:MOST_CHOICES]),
    }
