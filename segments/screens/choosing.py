"""Choosing segments on screens that speak of several: by their keys in the address, of those that the reader may see."""

from collections.abc import Sequence

from django.db.models import Q
from django.http import HttpRequest

from cdp.errors import DomainError
from segments import views
from segments.models import Segment, SegmentStatus

# So many are offered while somebody types; the others are found by their name or key all the same.
OFFERED = 200
LONGEST = 150


def offered(request: HttpRequest) -> list[Segment]:
    """The largest live segments that this reader may see, by name."""
    live = views.visible_to(request).filter(status=SegmentStatus.LIVE)
    return sorted(live.order_by("-member_count", "key")[:OFFERED], key=lambda segment: segment.name.lower())


def chosen(request: HttpRequest, keys: Sequence[str]) -> list[Segment]:
    """The segments of these keys that the reader may see, in their order, each once; what is unknown is left out."""
    wanted = [key for key in dict.fromkeys(keys) if 0 < len(key) <= LONGEST]
    by_key = {segment.key: segment for segment in views.visible_to(request).filter(key__in=wanted)}
    return [by_key[key] for key in wanted if key in by_key]


def named(request: HttpRequest, text: str) -> Segment:
    """The segment that this key or name means.

    Raises:
        DomainError: none does, of those that the reader may see, or several do.
    """
    text = text.strip()[:LONGEST]
    visible = views.visible_to(request)
    exact = list(visible.filter(Q(key=text) | Q(name__iexact=text))[:2])
    found = exact or list(visible.filter(Q(name__icontains=text) | Q(key__icontains=text))[:2])
    if not found or not text:
        raise DomainError("segment_not_found", "No segment that you may see has this name or key.", "/add")
    if len(found) > 1:
        raise DomainError("segment_ambiguous", "Several segments match; write its whole name or its key.", "/add")
    return found[0]
