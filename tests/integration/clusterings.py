"""A clustering with runs as a run leaves them, small and made by hand: for tests of what is shown and done with it."""

from datetime import UTC, datetime
from decimal import Decimal

from consent.models import Purpose
from segments.analytics.methods import NOISE
from segments.analytics.outcomes import (
    Axis,
    Candidate,
    Choice,
    ClusterQuality,
    FeatureOfCluster,
    Join,
    Leaf,
    Matched,
    Meaning,
    Picture,
    Point,
    Quality,
    Stability,
    Structure,
    Tree,
)
from segments.analytics.preparing import Missing, OutlierAction, Prepared, PreparedFeature, Transform
from segments.clustering.models import NOT_IN_ANY, Cluster, Clustering, ClusterRun, Outcome
from segments.clustering.settings import ClusteringSettings, FeatureChoice

FEATURES = {
    "orders_per_month": "Purchase frequency",
    "sessions": "Visits",
    "average_order_value": "Average order value",
}
LABELS = ("Frequent small baskets", "Seldom, large baskets")
SETTINGS = ClusteringSettings(features=tuple(FeatureChoice(key=key) for key in FEATURES), seed=3)


def made_clustering(key: str = "habits") -> Clustering:
    """With a live run and one that waits."""
    clustering = Clustering.objects.create(
        key=key, name="Habits", settings=SETTINGS.as_json(), purpose=Purpose.objects.get(key="internal_analysis")
    )
    live = made_run(clustering, 1, Outcome.LIVE)
    clustering.live_run = live
    clustering.save(update_fields=["live_run"])
    made_run(clustering, 2, Outcome.HELD)
    return clustering


def made_run(clustering: Clustering, number: int, outcome: Outcome) -> ClusterRun:
    run = ClusterRun.objects.create(
        clustering=clustering,
        number=number,
        settings=SETTINGS.as_json(),
        seed=3,
        requested_by="mara",
        outcome=outcome,
        as_of=datetime(2026, 11, 1, 12, tzinfo=UTC),
        finished_at=datetime(2026, 11, 1, 12, 1, tzinfo=UTC),
        people=120,
        clustered=110,
        noise=8,
        left_out=2,
        revenue=Decimal("5000"),
        prepared=PREPARED.as_json(),
        choice=CHOICE.as_json(),
        quality=QUALITY.as_json(),
        tree=TREE.as_json(),
        picture=PICTURE.as_json(),
        matched=matched(number).as_json(),
    )
    for fit, (label, size, revenue) in enumerate(zip(LABELS, (70, 40), ("1500", "3400"), strict=True)):
        Cluster.objects.create(
            run=run,
            number=fit + 1,
            fit_number=fit,
            label=label,
            suggested_label=label,
            size=size,
            revenue=Decimal(revenue),
            meaning=meaning(fit, label, size).as_json(),
        )
    Cluster.objects.create(
        run=run, number=NOISE, fit_number=NOISE, label=NOT_IN_ANY, size=8, revenue=Decimal("100"), meaning=None
    )
    return run


def meaning(fit: int, label: str, size: int) -> Meaning:
    far = (1.4, 0.6, -1.7) if fit == 0 else (-1.1, -0.3, 1.9)
    return Meaning(
        cluster=fit,
        people=size,
        share=size / 110,
        features=tuple(
            FeatureOfCluster(
                key=key, name=name, mean=3.5 + far[place], others=3.5, standardised=far[place], effect=far[place]
            )
            for place, (key, name) in enumerate(FEATURES.items())
        ),
        apart=("average_order_value", "orders_per_month"),
        sentences=(f"Average order value is {3.5 + far[2]:.1f}, against 3.5 of the others.",),
        label=label,
    )


def matched(number: int) -> Matched:
    if number == 1:
        return Matched(
            numbers=((0, 1), (1, 2)), new=(), vanished=(), compared=0, moved=0, share=None, clusters_before=None,
            drifted=False, verdict="This is the first run.",
        )  # fmt: skip
    return Matched(
        numbers=((0, 1), (1, 2)), new=(), vanished=(), compared=100, moved=45, share=0.45, clusters_before=2,
        drifted=True, verdict="45% of people changed cluster, more than the 20% that go by themselves.",
    )  # fmt: skip


PREPARED = Prepared(
    features=tuple(
        PreparedFeature(
            key=key, name=name, transform=Transform.LOG1P, fill=0.0, low=None, high=None, center=1.0, scale=2.0, missing=3,
            outliers=0, skew=4.2, skew_after=0.3,
        )
        for key, name in FEATURES.items()
    ),
    dropped=(), missing=Missing.MEDIAN, outlier_action=OutlierAction.KEEP, people=120, left_out=2, set_aside=0,
    notes=("Of 3 people a figure of Visits is missing; the median stands in for it.",),
)  # fmt: skip
CHOICE = Choice(
    tried=tuple(Candidate(clusters=k, inertia=1000 / k, silhouette=0.6 - k / 20) for k in range(2, 7)),
    elbow=3, best_silhouette=2, recommended=2, used=2, reason="Two clusters fit best.", looked_at=118, people=118,
)  # fmt: skip
QUALITY = Quality(
    structure=Structure.CLEAR, verdict="There are two clear groups.", silhouette=0.52, silhouette_without_clusters=0.21,
    davies_bouldin=0.7, calinski_harabasz=321.0, noise=8 / 118,
    clusters=tuple(
        ClusterQuality(
            cluster=fit, people=(70, 40)[fit], silhouette=0.5 + fit / 10, cohesion=0.8, separation=2.5, nearest=1 - fit,
            valley=0.9, plot=tuple(round(0.9 - place / 20, 2) for place in range(20)),
        )
        for fit in range(2)
    ),
    stability=Stability(bootstraps=(0.97, 0.95), seeds=(1.0,), mean=0.97, lowest=0.95, looked_at=118),
    advice=("The second cluster is broad; try three.",), looked_at=118, people=118,
)  # fmt: skip
TREE = Tree(
    leaves=(Leaf(people=30, cluster=0), Leaf(people=40, cluster=0), Leaf(people=40, cluster=1)),
    joins=(Join(left=0, right=1, height=1.5, people=70), Join(left=3, right=2, height=4.0, people=110)),
    cut=2.5, looked_at=110,
)  # fmt: skip
AXIS = Axis(variance=0.5, loadings=(("Average order value", 0.8), ("Visits", -0.4), ("Purchase frequency", 0.2)))
PICTURE = Picture(
    points=tuple(Point(x=place % 7 - 3 + 4 * (place % 2), y=place % 5 - 2, cluster=place % 3 - 1) for place in range(60)),
    x=AXIS, y=AXIS, looked_at=60, people=118,
)  # fmt: skip
