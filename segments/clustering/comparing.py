"""Two runs of a clustering side by side: what was set, how good they are, and where the people of each cluster went."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from cdp.database import bound_cursor
from segments.clustering.models import Cluster, ClusterRun
from segments.clustering.reading import ALGORITHMS, MISSING, OUTLIERS, SCALINGS
from segments.clustering.services import SCORE_KEY
from segments.clustering.settings import ClusteringSettings
from segments.clustering.showing import measures_of
from segments.clustering.views import clustering_or_404
from segments.features.discovery import features_named
from segments.fields.distributions import FEWEST

SHARED = """
    SELECT a.number::int, b.number::int, count(*)
      FROM profiles_score AS a JOIN profiles_score AS b USING (profile_id)
     WHERE a.run_id = %(before)s AND a.key = %(key)s AND b.run_id = %(after)s AND b.key = %(key)s
     GROUP BY 1, 2
"""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """From one cluster of the run before to each of the run after: how many, and what share of the former."""

    cluster: Cluster
    size: int
    cells: tuple[tuple[str, float], ...]


def page(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The two runs that were asked for, else the two newest that found clusters."""
    clustering = clustering_or_404(request, uuid)
    runs = list(
        clustering.runs.exclude(people=0)
        .defer("fitted", "picture", "tree", "prepared")
        .prefetch_related("clusters")[:50]
    )
    by_number = {run.number: run for run in runs}
    after = chosen(by_number, request.GET.get("b", "")) or (runs[0] if runs else None)
    before = chosen(by_number, request.GET.get("a", "")) or next(
        (run for run in runs if after and run.number < after.number), None
    )
    context: dict[str, Any] = {"clustering": clustering, "runs": runs, "before": before, "after": after}
    if before is not None and after is not None and before.pk != after.pk:
        context |= {
            "settings": settings_beside(before.as_settings, after.as_settings),
            "measures": measures_beside(before, after),
            "clusters": after.clusters.all(),
            **shared(before, after),
        }
    return render(request, "segments/clustering/compare.html", context)


def chosen(runs: Mapping[int, ClusterRun], number: str) -> ClusterRun | None:
    if not number:
        return None
    if not number.isdecimal() or len(number) > 9 or int(number) not in runs:
        raise Http404
    return runs[int(number)]


def settings_beside(before: ClusteringSettings, after: ClusteringSettings) -> list[tuple[str, str, str, bool]]:
    """What was set, in words: before, after, and whether that differs."""
    rows = []
    for (name, one), (_, other) in zip(in_words(before), in_words(after), strict=True):
        rows.append((name, one, other, one != other))
    return rows


def in_words(settings: ClusteringSettings) -> list[tuple[str, str]]:
    labels = {one.key: one.label for one in features_named(settings.keys)}
    told = [labels.get(one.key, one.key) + (" (log)" if one.transform == "log1p" else "") for one in settings.features]
    clusters = "found by the method" if settings.counts_itself else str(settings.clusters or "")
    return [
        ("Features", ", ".join(told)),
        ("Method", ALGORITHMS[settings.algorithm].partition(":")[0]),
        ("Clusters", clusters or f"chosen between {settings.fewest} and {settings.most}"),
        ("Scaling", SCALINGS[settings.scaling].partition(":")[0]),
        ("Missing figures", MISSING[settings.missing]),
        ("Outliers", OUTLIERS[settings.outliers]),
        ("Window", f"{settings.window_days:,} days"),
        ("Seed", str(settings.seed)),
    ]


def measures_beside(before: ClusterRun, after: ClusterRun) -> list[tuple[str, str, str]]:
    rows = [("People", f"{before.people:,}", f"{after.people:,}")]
    in_clusters = [sum(not one.is_noise for one in run.clusters.all()) for run in (before, after)]
    rows.append(("Clusters", str(in_clusters[0]), str(in_clusters[1])))
    found = [
        {one.name: one.figure for one in measures_of(quality)} if (quality := run.as_quality) else {}
        for run in (before, after)
    ]
    names = dict.fromkeys((*found[0], *found[1]))
    return [*rows, *((name, found[0].get(name, "–"), found[1].get(name, "–")) for name in names)]


def shared(before: ClusterRun, after: ClusterRun) -> dict[str, Any]:
    """Where people went; nothing where the scores of one of the runs are kept no longer."""
    if before.score_run_id is None or after.score_run_id is None:
        return {"moved": []}
    with bound_cursor() as cursor:
        cursor.execute(SHARED, {"before": before.score_run_id, "after": after.score_run_id, "key": SCORE_KEY})
        counts = {(one, other): count for one, other, count in cursor.fetchall()}
    if not counts:
        return {"moved": []}
    columns = [one.number for one in after.clusters.all()]
    rows = []
    for cluster in before.clusters.all():
        found = [counts.get((cluster.number, number), 0) for number in columns]
        size = sum(found)
        rows.append(
            Moved(
                cluster=cluster,
                size=size,
                cells=tuple(
                    (f"fewer than {FEWEST}" if 0 < count < FEWEST else f"{count:,}", count / size if size else 0.0)
                    for count in found
                ),
            )
        )
    return {"moved": rows}
