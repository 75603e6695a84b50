"""The screen of how segments overlap: how many are in each combination of them, and what each shares with each.

It is counted in `segments.flows`.
"""

from typing import Any
from urllib.parse import urlencode

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from cdp.charts import Column, Combination, Figure, Height, upset
from cdp.errors import DomainError
from segments.flows import FEWEST, MOST, SECONDS, Overlap, overlap
from segments.models import Segment
from segments.screens.choosing import chosen, named, offered

# More bars than that are no picture any more; the table has them all.
MOST_BARS = 24


def page(request: HttpRequest) -> HttpResponse:
    """Which segments; what they share comes afterwards."""
    segments = chosen(request, request.GET.getlist("segment"))
    error = None
    if add := request.GET.get("add", "").strip():
        try:
            segments = list(dict.fromkeys([*segments, named(request, add)]))
            if len(segments) <= MOST:
                return redirect(f"{reverse('admin:segments_segment_overlap')}?{query_of(segments)}")
        except DomainError as refused:
            error = refused.message
    if len(segments) > MOST:
        error, segments = f"At most {MOST} segments at once; take one out first.", segments[:MOST]
    context = {
        "chosen": segments,
        "offered": offered(request),
        "query": query_of(segments),
        "is_enough": len(segments) >= FEWEST,
        "is_full": len(segments) >= MOST,
        "most": MOST,
        "error": error,
        "add": add if error else "",
    }
    return render(request, "segments/overlap.html", context)


def query_of(segments: list[Segment]) -> str:
    return urlencode([("segment", segment.key) for segment in segments])


def figures_view(request: HttpRequest) -> HttpResponse:
    segments = chosen(request, request.GET.getlist("segment"))
    context: dict[str, Any] = {}
    try:
        found = overlap(segments)
    except DomainError as error:
        context["refused"] = error.message
    except OperationalError:
        context["refused"] = f"Counting took longer than {SECONDS} seconds and was stopped."
    else:
        context = {"found": found, "figure": figure_of(found), "pairs": pairs_of(found), "query": query_of(segments)}
    return render(request, "segments/_overlap.html", context)


def figure_of(found: Overlap) -> Figure:
    numbers = {segment.pk: number for number, segment in enumerate(found.segments)}
    shown = found.intersections[:MOST_BARS]
    combinations = [
        Combination(sets=frozenset(numbers[one.pk] for one in part.segments), count=part.count) for part in shown
    ]
    left_out = len(found.intersections) - len(shown)
    about = f"{found.people:,} people are in at least one of {len(found.segments)} segments, in {len(found.intersections)} combinations."
    if left_out:
        about += f" The {MOST_BARS} largest are drawn."
    rows = [
        (
            " and ".join(one.name for one in part.segments) + (" alone" if len(part.segments) == 1 else ""),
            f"{part.count:,}",
            f"{part.count / found.people * 100:.1f}%" if found.people else "",
        )
        for part in found.intersections
    ]
    return Figure(
        id="overlap",
        title="People in each combination of the segments",
        about=about,
        options=upset(sets=[one.name for one in found.segments], combinations=combinations, about=about),
        columns=[Column(label="In exactly these", is_number=False), Column(label="People"), Column(label="Of all")],
        rows=rows,
        height=Height.HIGH,
    )


def pairs_of(found: Overlap) -> list[tuple[Segment, int, list[tuple[int, float | None]]]]:
    """For each segment its size, and how many of it are in each of them, with their share of it."""
    return [
        (
            segment,
            found.shared[i][i],
            [(count, count / found.shared[i][i] if found.shared[i][i] else None) for count in found.shared[i]],
        )
        for i, segment in enumerate(found.segments)
    ]
