"""The screens of clusterings: which there are, setting one up, what a run found, and what is made of its clusters.

What a run found as pictures is in `segments.clustering.pictures`, the form in `segments.clustering.setting_up`, comparing runs in
`segments.clustering.comparing`; every change is a service.
"""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from cdp.audit.admin_base import actor_of, reader_of
from cdp.errors import DomainError
from cdp.jobs.models import FINISHED
from cdp.profiles.models import ScoreRun, Workspace
from segments.clustering import pictures, services
from segments.clustering.models import Cluster, Clustering, ClusterRun, Outcome
from segments.clustering.reading import ALGORITHMS
from segments.clustering.showing import cards_of, measures_of, row_of, standing_of
from segments.models import Segment
from segments.rules import RuleErrors
from segments.services import create_segment, publish

PAGE = 50
RUNS_SHOWN = 12


def demand(request: HttpRequest, codename: str) -> None:
    if not request.user.has_perm(f"segments.{codename}"):
        raise PermissionDenied


def clustering_or_404(request: HttpRequest, uuid: UUID) -> Clustering:
    demand(request, "view_clustering")
    return get_object_or_404(Clustering.objects.select_related("purpose"), uuid=uuid)


def run_or_404(clustering: Clustering, number: int) -> ClusterRun:
    return get_object_or_404(clustering.runs.select_related("job", "clustering"), number=number)


def list_view(request: HttpRequest) -> HttpResponse:
    demand(request, "view_clustering")
    # Few by nature: each is something that somebody set up to look at.
    clusterings = list(Clustering.objects.order_by("name", "pk")[:PAGE])
    newest = {
        run.clustering_id: run
        for run in ClusterRun.objects.filter(clustering__in=clusterings)
        .order_by("clustering_id", "-number")
        .distinct("clustering_id")
        .defer("fitted", "picture", "tree", "prepared", "choice", "matched")
        .select_related("job")
    }
    live = {
        run.pk: run
        for run in ClusterRun.objects.filter(pk__in=[one.live_run_id for one in clusterings if one.live_run_id])
        .defer("fitted", "picture", "tree", "prepared", "choice", "matched")
        .prefetch_related("clusters")
    }
    rows = [row_of(one, newest.get(one.pk), live.get(one.live_run_id or 0)) for one in clusterings]
    context = {"rows": rows, "may_add": request.user.has_perm("segments.add_clustering")}
    return render(request, "segments/clustering/list.html", context)


# ---- One clustering --------------------------------------------------------------------------------------------------


def detail_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The run that was asked for, else the one that waits, else the live one, else the newest."""
    clustering = clustering_or_404(request, uuid)
    asked = request.GET.get("run", "")
    if asked:
        if not asked.isdecimal() or len(asked) > 9:
            raise Http404
        run: ClusterRun | None = run_or_404(clustering, int(asked))
    else:
        run = shown_first(clustering)
    return render(request, "segments/clustering/clustering.html", page_of(request, clustering, run))


def shown_first(clustering: Clustering) -> ClusterRun | None:
    runs = clustering.runs.select_related("job", "clustering")
    return (
        runs.filter(outcome=Outcome.HELD).first()
        or runs.filter(outcome=Outcome.LIVE).first()
        or runs.exclude(people=0).first()
    )


def page_of(request: HttpRequest, clustering: Clustering, run: ClusterRun | None, **more: Any) -> dict[str, Any]:
    return {
        **frame(request, clustering, run),
        **(found_by(request, clustering, run) if run is not None else {}),
        **more,
    }


def frame(request: HttpRequest, clustering: Clustering, run: ClusterRun | None) -> dict[str, Any]:
    """What stands around a clustering: how its newest run is, the runs before, and what this reader may do."""
    runs = list(
        clustering.runs.select_related("job").defer("fitted", "picture", "tree", "prepared", "choice")[:RUNS_SHOWN]
    )
    newest = runs[0] if runs else None
    settings = clustering.as_settings
    return {
        "clustering": clustering,
        "settings": settings,
        "algorithm": ALGORITHMS[settings.algorithm].partition(":")[0],
        "runs": runs,
        "run": run,
        "standing": standing_of(newest),
        "is_other": run is not None and newest is not None and run.pk != newest.pk,
        "held": next((one for one in runs if one.outcome == Outcome.HELD), None),
        "may_change": request.user.has_perm("segments.change_clustering"),
        "may_run": request.user.has_perm("segments.run_clustering"),
        "may_delete": request.user.has_perm("segments.delete_clustering"),
        "may_segment": request.user.has_perm("segments.add_segment"),
        "may_persona": request.user.has_perm("segments.add_persona"),
        "persona_url": reverse("admin:segments_persona_new"),
        "currency": Workspace.current().reporting_currency,
    }


def found_by(request: HttpRequest, clustering: Clustering, run: ClusterRun) -> dict[str, Any]:
    """What a run found: nothing where it found nothing."""
    clusters = sorted(run.clusters.all(), key=lambda one: (one.is_noise, -one.size, one.number))
    if not clusters:
        return {"cards": []}
    named = pictures.Named.of(clusters)
    in_clusters = [one for one in clusters if not one.is_noise]
    quality, choice, tree, picture = run.as_quality, run.as_choice, run.as_tree, run.as_picture
    return {
        "cards": cards_of(run, clusters, quality),
        "clusters": in_clusters,
        "heat": pictures.heat(in_clusters),
        "quality": quality,
        "measures": measures_of(quality) if quality else [],
        "choice": choice,
        "matched": run.as_matched,
        "prepared": run.as_prepared,
        "plane": pictures.plane(picture, named) if picture else None,
        "knives": pictures.knives(quality, named) if quality else None,
        "elbow": pictures.elbow(choice) if choice and len(choice.tried) > 1 else None,
        "silhouettes": pictures.silhouette_curve(choice) if choice and len(choice.tried) > 1 else None,
        "radar": pictures.profiles(in_clusters, named),
        "tree": pictures.tree_of(tree, named) if tree else None,
        "is_live": run.outcome == Outcome.LIVE,
        "can_return": run.outcome == Outcome.PAST and ScoreRun.objects.filter(pk=run.score_run_id or 0).exists(),
    }


def standing_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """How far the newest run is; once it has ended, the page is to be read anew."""
    clustering = clustering_or_404(request, uuid)
    newest = clustering.runs.select_related("job").defer("fitted", "picture", "tree", "prepared", "choice").first()
    context = {
        "clustering": clustering,
        "standing": standing_of(newest),
        "may_run": request.user.has_perm("segments.run_clustering"),
    }
    response = render(request, "segments/clustering/_standing.html", context)
    if newest is None or newest.job is None or newest.job.state in FINISHED:
        response["HX-Refresh"] = "true"
    return response


# ---- Doing -----------------------------------------------------------------------------------------------------------


def run_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A run with the settings as they are."""
    clustering = clustering_or_404(request, uuid)
    demand(request, "run_clustering")
    try:
        services.request_run(clustering=clustering, by=actor_of(request), user=reader_of(request))
    except DomainError as error:
        messages.error(request, f"It can't run: {error.message}")
    return redirect("admin:segments_clustering_detail", uuid=uuid)


def accept_view(request: HttpRequest, uuid: UUID, number: int) -> HttpResponse:
    """Sets a run live that waited, or an earlier one again."""
    clustering = clustering_or_404(request, uuid)
    demand(request, "run_clustering")
    run = run_or_404(clustering, number)
    try:
        services.publish_run(run=run, by=actor_of(request))
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"Run {number} is live. Segments that ask for its clusters follow within a minute.")
    return redirect("admin:segments_clustering_detail", uuid=uuid)


def decline_view(request: HttpRequest, uuid: UUID, number: int) -> HttpResponse:
    clustering = clustering_or_404(request, uuid)
    demand(request, "run_clustering")
    run = run_or_404(clustering, number)
    try:
        services.decline_run(run=run, by=actor_of(request))
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"Run {number} is declined. What was live stays.")
    return redirect("admin:segments_clustering_detail", uuid=uuid)


def delete_one_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    clustering = clustering_or_404(request, uuid)
    demand(request, "delete_clustering")
    try:
        services.delete_clustering(clustering=clustering, by=actor_of(request))
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("admin:segments_clustering_detail", uuid=uuid)
    messages.success(request, f"{clustering.name} is deleted with its runs.")
    return redirect("admin:segments_clustering_changelist")


def cluster_or_404(clustering: Clustering, run: int, number: int) -> Cluster:
    found = Cluster.objects.select_related("run", "run__clustering").filter(
        run__clustering=clustering, run__number=run, number=number
    )
    return get_object_or_404(found)


def rename_view(request: HttpRequest, uuid: UUID, run: int, number: int) -> HttpResponse:
    clustering = clustering_or_404(request, uuid)
    demand(request, "change_clustering")
    cluster = cluster_or_404(clustering, run, number)
    try:
        renamed = services.rename_cluster(cluster=cluster, label=request.POST.get("label", ""), by=actor_of(request))
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(
            request, f"The cluster is called “{renamed.label}”, here and wherever rules or people's pages name it."
        )
    return redirect(f"{reverse('admin:segments_clustering_detail', args=[uuid])}?run={run}#cluster-{number}")


def segment_view(request: HttpRequest, uuid: UUID, number: int) -> HttpResponse:
    """A live segment of one cluster's people."""
    clustering = clustering_or_404(request, uuid)
    demand(request, "add_segment")
    live = clustering.live_run
    if live is None:
        raise Http404
    cluster = cluster_or_404(clustering, live.number, number)
    try:
        segment = make_segment(request, clustering, cluster)
    except (DomainError, RuleErrors) as error:
        messages.error(request, f"The segment can't be made: {error}")
        return redirect("admin:segments_clustering_detail", uuid=uuid)
    messages.success(request, f"{segment.name} is live. It follows this cluster through later runs.")
    return redirect("admin:segments_segment_detail", uuid=segment.uuid)


@transaction.atomic
def make_segment(request: HttpRequest, clustering: Clustering, cluster: Cluster) -> Segment:
    by, user = actor_of(request), reader_of(request)
    name = request.POST.get("name", "").strip() or f"{clustering.name}: {cluster.label}"
    meaning = cluster.as_meaning
    segment = create_segment(
        name=name[:150],
        description=" ".join(meaning.sentences)[:2000] if meaning else "",
        rule=services.segment_rule_for(clustering, cluster.number),
        owner=user,
        by=by,
    )
    publish(segment=segment, version=segment.versions.get(), by=by, user=user)
    return segment
