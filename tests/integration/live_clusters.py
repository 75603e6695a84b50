"""Clusterings that are live, made by the pure functions alone, and people who are to be found in them."""

from datetime import timedelta
from typing import Any

from django.db.models import F
from django.utils import timezone

from cdp.profiles.models import Event
from cdp.profiles.score_arrays import add_score_arrays
from cdp.profiles.score_services import publish_run, scores_of, start_run
from consent.models import Purpose
from segments.analytics import clustering as maths
from segments.analytics.methods import NOISE, Method
from segments.analytics.preparing import apply, fit
from segments.clustering.models import NOT_IN_ANY, Cluster, Clustering, ClusterRun, Outcome
from segments.clustering.settings import ClusteringSettings, FeatureChoice
from segments.features.loading import load_features
from tests.factories import BY, identify, person, process_all, track, tracker

KEYS = ("product_views", "trait:points")
DAY = timedelta(days=1)


def shop() -> None:
    """Twelve who look a lot and have few points, twelve the other way round."""
    source = tracker()
    for number in range(24):
        looks, points = (9, 1) if number % 2 else (1, 90)
        calls = [track("Product Viewed", f"u{number}", ago=DAY * (1 + one)) for one in range(looks + number % 3)]
        source.send(*calls, identify(f"u{number}", ago=DAY, traits={"points": points + number % 5}))
    process_all()
    # They came long before whatever comes next: what came within a minute is looked at twice.
    Event.objects.update(received_at=F("received_at") - timedelta(hours=1))


def live_clustering(method: Method | None = None, **more: Any) -> Clustering:
    """A clustering whose run is live, made by the pure functions alone."""
    settings = ClusteringSettings(features=tuple(FeatureChoice(key=key) for key in KEYS), window_days=30, **more)
    purpose = Purpose.objects.get(key="internal_analysis")
    made = Clustering.objects.create(key="main", name="Main", settings=settings.as_json(), purpose=purpose)
    as_of = timezone.now()
    matrix = load_features(KEYS, as_of=as_of, window_days=30, purpose=purpose)
    prepared = fit(matrix.values, keys=KEYS, how=settings.preparation)
    applied = apply(matrix.values, prepared, keys=KEYS)
    found = maths.fit(applied.values[applied.usable], method or Method(clusters=2, seed=1), features=prepared.keys)
    scores = start_run(kind=made.kind, version="1", by=BY)
    run = ClusterRun.objects.create(
        clustering=made, number=1, settings=settings.as_json(), seed=1, requested_by="tests", outcome=Outcome.LIVE,
        as_of=as_of, requested_at=as_of, score_run_id=scores.pk, prepared=prepared.as_json(), fitted=found.fitted.as_json(),
    )  # fmt: skip
    # Identities are other numbers than those of the fit.
    numbers = {NOISE: NOISE} | {number: 10 + number for number in range(found.fitted.count)}
    labels = {NOISE: NOT_IN_ANY} | {number: f"Cluster {number}" for number in range(found.fitted.count)}
    for number, identity in numbers.items():
        Cluster.objects.create(run=run, number=identity, fit_number=number, label=labels[number], size=0, revenue=0)
    Clustering.objects.filter(pk=made.pk).update(live_run=run)
    kinds = sorted(numbers)
    add_score_arrays(
        run=scores, key="cluster", profile_ids=matrix.ids[applied.usable], numbers=[numbers[one] for one in found.labels.tolist()],
        codes=[kinds.index(one) for one in found.labels.tolist()], labels=[labels[one] for one in kinds],
    )  # fmt: skip
    publish_run(run=scores, by=BY)
    process_all()
    made.refresh_from_db()
    return made


def cluster(user: str) -> int | None:
    found = scores_of(person(user)).get("clusters-main.cluster")
    return int(found["number"]) if found and found["number"] is not None else None


def arrive(user: str, *, looks: int, points: int, ago: timedelta = timedelta(hours=1)) -> None:
    source = tracker()
    source.send(
        *(track("Product Viewed", user, ago=ago) for _ in range(looks)), identify(user, traits={"points": points})
    )
    process_all()
