"""How many clusters: inertia and silhouette over a range, the elbow, and a recommendation with its reason.

Methods that find the number themselves (DBSCAN, HDBSCAN) have nothing to choose here.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from segments.analytics.clustering import Labels, fit, refuse_too_few, sample
from segments.analytics.hierarchy import Merges, cut_into
from segments.analytics.methods import Algorithm, Method
from segments.analytics.outcomes import Candidate, Choice
from segments.analytics.plain import CannotAnalyse
from segments.analytics.preparing import Floats

TRIED_ON: Final = 20_000  # people for the fits
MOST_FOR_SILHOUETTE: Final = 4_000
NEARLY: Final = 0.02  # of silhouette: then the elbow decides between two numbers
NO_STRUCTURE: Final = 0.25  # below it "no substantial structure has been found" (Kaufman and Rousseeuw 1990)


def choose(
    values: Floats,
    method: Method,
    *,
    fewest: int,
    most: int,
    given: int | None = None,
    merges: Merges | None = None,
    step: Callable[[], None] = lambda: None,
) -> Choice:
    """What each number of clusters comes to, on a sample, and which is recommended.

    Args:
        values: (n_people, n_features) as prepared; of a hierarchical method those its tree is of.
        fewest, most: the range that is tried, as far as there are people who differ.
        given: the number that a person chose; the curves are told all the same.
        merges: the tree, of a hierarchical method: each number is one cut of it.
        step: called before each number; may raise to stop the work.

    Raises:
        CannotAnalyse: too few people for even the fewest.
    """
    refuse_too_few(values, fewest)
    some = None if merges is not None else sample(len(values), TRIED_ON, method.seed)
    looked_at = values if some is None else values[some]
    shown = sample(len(looked_at), MOST_FOR_SILHOUETTE, method.seed)
    tried: list[Candidate] = []
    for clusters in range(fewest, most + 1):
        step()
        try:
            labels = _labels(looked_at, replace(method, clusters=clusters), merges)
        except CannotAnalyse:
            break  # more clusters than kinds of people: the range ends here
        tried.append(_candidate(looked_at, labels, clusters, shown))
    elbow = _elbow(tried)
    best = max(tried, key=lambda one: (one.silhouette, -one.clusters))
    recommended, reason = _recommended(tried, elbow, best)
    if given is not None and given != recommended:
        reason = f"You asked for {given} clusters. {reason}"
    return Choice(
        tried=tuple(tried),
        elbow=elbow,
        best_silhouette=best.clusters,
        recommended=recommended,
        used=given if given is not None else recommended,
        reason=reason,
        looked_at=len(looked_at),
        people=len(values),
    )


def _labels(values: Floats, method: Method, merges: Merges | None) -> Labels:
    assert method.clusters is not None
    if merges is not None:
        refuse_too_few(values, method.clusters)
        return cut_into(merges, method.clusters)
    # What they come to on a sample tells MiniBatchKMeans apart by nothing but noise, which an elbow mustn't have.
    return fit(
        values, replace(method, algorithm=Algorithm.KMEANS), features=tuple(map(str, range(values.shape[1])))
    ).labels


def _candidate(values: Floats, labels: Labels, clusters: int, shown: Labels | None) -> Candidate:
    from sklearn.metrics import silhouette_score

    inertia = 0.0
    for one in range(clusters):
        own = values[labels == one]
        away = own - own.mean(axis=0)
        inertia += float(np.einsum("ij,ij->", away, away))
    some, few = (values, labels) if shown is None else (values[shown], labels[shown])
    is_comparable = 2 <= len(np.unique(few)) < len(few)
    return Candidate(
        clusters=clusters,
        inertia=inertia,
        silhouette=float(silhouette_score(some, few)) if is_comparable else -1.0,
    )


def _elbow(tried: Sequence[Candidate]) -> int | None:
    """Where inertia stops falling steeply (Satopää and others 2011); None of fewer than three, or of a curve without a bend."""
    from kneed import KneeLocator

    if len(tried) < 3 or tried[0].inertia <= tried[-1].inertia:
        return None
    bend = KneeLocator(
        [one.clusters for one in tried], [one.inertia for one in tried], curve="convex", direction="decreasing"
    ).knee
    return None if bend is None else int(bend)


def _recommended(tried: Sequence[Candidate], elbow: int | None, best: Candidate) -> tuple[int, str]:
    at = {one.clusters: one for one in tried}
    if len(tried) == 1:
        return best.clusters, f"No other number than {best.clusters} could be tried: there are too few kinds of people."
    weak = (
        ""
        if best.silhouette >= NO_STRUCTURE
        else (
            " No clear clusters show at any number: silhouette stays below 0.25, so people overlap whatever the number."
        )
    )
    if elbow is None:
        return best.clusters, (
            f"{best.clusters} clusters have the highest silhouette ({best.silhouette:.2f}); inertia falls evenly, without an elbow.{weak}"
        )
    if elbow == best.clusters:
        return (
            elbow,
            f"At {elbow} clusters inertia has its elbow, and silhouette is highest ({best.silhouette:.2f}).{weak}",
        )
    if at[elbow].silhouette >= best.silhouette - NEARLY:
        return elbow, (
            f"At {elbow} clusters inertia has its elbow, and silhouette is nearly as high ({at[elbow].silhouette:.2f}) as at "
            f"{best.clusters} ({best.silhouette:.2f}).{weak}"
        )
    return best.clusters, (
        f"{best.clusters} clusters have the highest silhouette ({best.silhouette:.2f}); inertia has its elbow at {elbow}, where "
        f"silhouette is lower ({at[elbow].silhouette:.2f}).{weak}"
    )
