"""What clustering everybody costs beside bare scikit-learn on figures that lie ready, how much memory it takes, and how long it takes
to find one person's cluster.

Run by `make bench ARGS=clustering`, with BENCH_SCALE=full for a million people. The data is that of `bench.scale`. Ours is from
the events and traits as they are stored to scores in a run: count and load, prepare, find the clusters, write. The floor is SQL by
hand for these twelve figures, copied out; KMeans as scikit-learn has it, on an array that lies ready; and to copy labels into a bare
table. Beside it stands the same where the figures lie in a table, counted by nobody.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from statistics import median
from typing import Any

import django

django.setup()

import numpy as np
from django.db import connections, transaction
from django.utils import timezone
from sklearn.cluster import KMeans

from bench.report import Row, publish
from bench.scale import NOW, prepare
from cdp.audit import SYSTEM
from cdp.database import bound_cursor
from cdp.profiles.models import EventName, ScoreRun, Trait
from cdp.profiles.orders import ORDER_COMPLETED, PRODUCT_PURCHASED
from cdp.profiles.score_arrays import add_score_arrays
from cdp.profiles.score_changes import forget_kind
from cdp.profiles.score_services import start_run
from consent.models import Purpose
from consent.querysets import INTERNAL_ANALYSIS
from segments.analytics import clustering as maths
from segments.analytics.methods import Method
from segments.analytics.preparing import Preparation, Transform, apply, fit
from segments.clustering.assigning import AT_ONCE, assign, model_of
from segments.clustering.models import Cluster, Clustering, ClusterRun, Outcome
from segments.clustering.settings import ClusteringSettings, FeatureChoice
from segments.features.counting import PRODUCT_VIEWED
from segments.features.discovery import features_named
from segments.features.loading import _copied, load_features
from segments.features.matrix import FeatureMatrix

KEYS = (
    "orders_per_month", "average_order_value", "recency_days", "order_gap_days", "discount_share", "tenure_days",
    "product_views", "category:shoes", "category:bags", "category:home", "trait:age", "trait:points",
)  # fmt: skip
WINDOW, CLUSTERS, SEED = 365, 6, 1
ROUNDS = 3
PEOPLE = 200
NAME = "bench"
MEGABYTE = 2**20

READY = """
    CREATE UNLOGGED TABLE bench_features (id bigint NOT NULL, {columns});
    CREATE UNLOGGED TABLE bench_labels (id bigint PRIMARY KEY, label smallint NOT NULL);
    CREATE TABLE bench_scores (LIKE profiles_score INCLUDING ALL)
"""

# By hand, as a person would who needs these twelve figures once; in two ways, of which the quicker one is the floor.
WHO = """
SELECT p.id, p.first_seen_at FROM profiles_profile AS p
 WHERE p.last_seen_at >= %(since)s AND p.first_seen_at < %(now)s
   AND NOT EXISTS (SELECT FROM consent_stop AS s WHERE s.profile_id = p.id AND s.lifted_at IS NULL
                       AND s.kind IN ('profiling', 'restriction', 'legitimate_interests'))
   AND NOT EXISTS (SELECT FROM consent_consentstate AS c WHERE c.profile_id = p.id AND c.purpose_id = %(purpose)s
                       AND c.decision <> 'granted')
"""
OF_NAMES = """count(*) FILTER (WHERE name_id = %(order)s) AS orders, avg(value) FILTER (WHERE name_id = %(order)s) AS worth,
max(occurred_at) FILTER (WHERE name_id = %(order)s) AS last_at, min(occurred_at) FILTER (WHERE name_id = %(order)s) AS first_at,
count(*) FILTER (WHERE name_id = %(view)s) AS views"""
OF_ORDERS = """avg(CASE WHEN properties ->> 'discount' ~ '^-?[0-9.]*[1-9]' OR btrim(properties ->> 'coupon') <> '' THEN 1.0 ELSE 0.0 END)
FILTER (WHERE name_id = %(order)s) AS discounted"""
OF_LINES = ", ".join(
    f"avg((lower(properties ->> 'category') = '{one}')::int) FILTER (WHERE name_id = %(line)s) AS {one}"
    for one in ("shoes", "bags", "home")
)
EVENTS = "FROM profiles_event WHERE occurred_at >= %(since)s AND occurred_at < %(now)s AND name_id = ANY(%({names})s::int[]) GROUP BY 1"
PASSES = {
    "one by one": f"""
  LEFT JOIN (SELECT profile_id AS id, {OF_NAMES} {EVENTS.format(names="plain")}) AS n USING (id)
  LEFT JOIN (SELECT profile_id AS id, {OF_ORDERS} {EVENTS.format(names="ordered")}) AS o USING (id)
  LEFT JOIN (SELECT profile_id AS id, {OF_LINES} {EVENTS.format(names="lines")}) AS l USING (id)""",
    "at once": f"""
  LEFT JOIN (SELECT profile_id AS id, {OF_NAMES}, {OF_ORDERS}, {OF_LINES} {EVENTS.format(names="every")}) AS n USING (id)""",
}
BY_HAND = """
SELECT id, coalesce(orders, 0) / greatest(1, least(%(days)s, since_seen) / 30.4375),
       coalesce(worth::float8, 'NaN'), coalesce(date_part('epoch', %(now)s - last_at) / 86400, 'NaN'),
       coalesce(date_part('epoch', last_at - first_at) / 86400 / nullif(orders - 1, 0), 'NaN'),
       coalesce(discounted::float8, 'NaN'), since_seen, coalesce(views, 0)::float8,
       coalesce(shoes::float8, 'NaN'), coalesce(bags::float8, 'NaN'), coalesce(home::float8, 'NaN'),
       coalesce(a.number::float8, 'NaN'), coalesce(b.number::float8, 'NaN')
  FROM (SELECT id, date_part('epoch', %(now)s - first_seen_at) / 86400 AS since_seen FROM ({who}) AS w) AS p {passes}
  LEFT JOIN profiles_traitvalue AS a ON a.trait_id = %(age)s AND a.profile_id = p.id
  LEFT JOIN profiles_traitvalue AS b ON b.trait_id = %(points)s AND b.profile_id = p.id
"""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    made = work()
    return time.perf_counter() - began, made


def figures() -> Any:
    purpose = Purpose.objects.get(key=INTERNAL_ANALYSIS)
    return load_features(KEYS, as_of=NOW, window_days=WINDOW, purpose=purpose)


def pipeline() -> dict[str, Any]:
    """All that is ours, with the seconds of each phase; leaves a live clustering behind."""
    settings = ClusteringSettings(
        features=tuple(FeatureChoice(key=key) for key in KEYS), clusters=CLUSTERS, window_days=WINDOW
    )
    transforms = {one.key: Transform(one.transform) for one in features_named(KEYS)}
    began = time.perf_counter()
    load, matrix = timed(figures)
    prepare_them, (prepared, applied) = timed(lambda: _prepared(matrix.values, transforms))
    find, found = timed(lambda: maths.fit(applied.values, Method(clusters=CLUSTERS, seed=SEED), features=prepared.keys))
    scores = start_run(kind=f"clusters-{NAME}", version="1", by=SYSTEM)
    labels = [f"Cluster {number}" for number in range(CLUSTERS)]
    write, _ = timed(
        lambda: add_score_arrays(
            run=scores, key="cluster", profile_ids=matrix.ids, numbers=found.labels, codes=found.labels, labels=labels
        )
    )
    whole = time.perf_counter() - began
    _set_live(settings, prepared, found.fitted, scores, labels)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "people": len(matrix), "load": load, "prepare": prepare_them, "find": find, "write": write, "whole": whole,
        "peak": peak / MEGABYTE,
    }  # fmt: skip


def _prepared(values: np.ndarray, transforms: dict[str, Transform]) -> tuple[Any, Any]:
    prepared = fit(values, keys=KEYS, how=Preparation(), transforms=transforms)
    return prepared, apply(values, prepared, keys=KEYS)


def _set_live(settings: Any, prepared: Any, fitted: Any, scores: ScoreRun, labels: list[str]) -> None:
    purpose = Purpose.objects.get(key=INTERNAL_ANALYSIS)
    made = Clustering.objects.create(key=NAME, name=NAME, settings=settings.as_json(), purpose=purpose)
    run = ClusterRun.objects.create(
        clustering=made, number=1, settings=settings.as_json(), seed=SEED, requested_by=NAME, outcome=Outcome.LIVE,
        as_of=NOW, score_run_id=scores.pk, prepared=prepared.as_json(), fitted=fitted.as_json(),
    )  # fmt: skip
    Cluster.objects.bulk_create(
        Cluster(run=run, number=number, fit_number=number, label=label, size=0, revenue=0)
        for number, label in enumerate(labels)
    )
    Clustering.objects.filter(pk=made.pk).update(live_run=run)
    # Publishing would have a million people judged again, which is another measure.
    ScoreRun.objects.filter(pk=scores.pk).update(
        is_current=True, published_at=timezone.now(), keys={"cluster": ["numbers", "labels"]}
    )


def forget() -> None:
    Clustering.objects.filter(key=NAME).update(live_run=None)
    Clustering.objects.filter(key=NAME).delete()
    forget_kind(kind=f"clusters-{NAME}", by=SYSTEM)
    with connections["owner"].cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_features, bench_labels, bench_scores")


def lay_ready() -> None:
    """The figures as a table, without gaps and on one scale, as scikit-learn needs them."""
    matrix = figures()
    prepared, applied = _prepared(matrix.values, {one.key: Transform(one.transform) for one in features_named(KEYS)})
    columns = ", ".join(f"f{number} float8 NOT NULL" for number in range(len(prepared.keys)))
    with connections["owner"].cursor() as cursor:
        cursor.execute(READY.format(columns=columns))
        cursor.execute("GRANT ALL ON bench_features, bench_labels, bench_scores TO PUBLIC")
    with bound_cursor() as cursor, cursor.copy("COPY bench_features FROM STDIN") as copy:
        for profile_id, row in zip(matrix.ids.tolist(), applied.values.tolist(), strict=True):
            copy.write_row((profile_id, *row))
    with connections["owner"].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE bench_features")


def by_hand(passes: str) -> FeatureMatrix:
    """What `figures` gives, by hand."""
    numbers = dict(EventName.objects.values_list("name", "pk"))
    traits = dict(Trait.objects.values_list("key", "pk"))
    order, view, line = (numbers[one] for one in (ORDER_COMPLETED, PRODUCT_VIEWED, PRODUCT_PURCHASED))
    params = {
        "now": NOW, "since": NOW - timedelta(days=WINDOW), "days": float(WINDOW), "order": order, "view": view, "line": line,
        "plain": [order, view], "ordered": [order], "lines": [line], "every": [order, view, line],
        "purpose": Purpose.objects.get(key=INTERNAL_ANALYSIS).pk, "age": traits["age"], "points": traits["points"],
    }  # fmt: skip
    return _copied(BY_HAND.replace("{who}", WHO).replace("{passes}", passes), params, KEYS)


def count_by_hand() -> dict[str, float]:
    """Seconds of the quicker way."""
    return {"counted": min(timed(lambda passes=passes: by_hand(passes))[0] for passes in PASSES.values())}


def compare() -> None:
    """Raises SystemExit unless the floor counts what we count."""
    ours = figures()
    for way, passes in PASSES.items():
        theirs = by_hand(passes)
        if not (np.array_equal(ours.ids, theirs.ids) and np.allclose(ours.values, theirs.values, equal_nan=True)):
            amiss = [
                key
                for key, a, b in zip(KEYS, ours.values.T, theirs.values.T, strict=False)
                if len(a) != len(b) or not np.allclose(a, b, equal_nan=True)
            ]
            raise SystemExit(f"counted {way}, figures differ: {amiss}, {len(ours)} and {len(theirs)} people")


def floor() -> dict[str, float]:
    """The same without us: figures out of a table, bare KMeans, labels into a table."""
    out, matrix = timed(lambda: _copied("SELECT * FROM bench_features", {}, KEYS))
    find, labels = timed(lambda: KMeans(n_clusters=CLUSTERS, random_state=SEED).fit(matrix.values).labels_)

    def write() -> None:
        with transaction.atomic(), bound_cursor() as cursor:
            cursor.execute("DELETE FROM bench_labels")
            with cursor.copy("COPY bench_labels FROM STDIN (FORMAT BINARY)") as copy:
                copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
                copy.write(binary(matrix.ids, labels))
                copy.write(b"\xff\xff")

    def write_alike() -> None:
        """The same into a table that rules could read it from: of the shape, and with the indexes, of our own."""
        with transaction.atomic(), bound_cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE bench_found (id bigint, label smallint) ON COMMIT DROP")
            with cursor.copy("COPY bench_found FROM STDIN (FORMAT BINARY)") as copy:
                copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
                copy.write(binary(matrix.ids, labels))
                copy.write(b"\xff\xff")
            cursor.execute("INSERT INTO bench_scores (run_id, profile_id, key, number, label)"
                           " SELECT 1, id, 'cluster', label, 'Cluster ' || label FROM bench_found ORDER BY id")  # fmt: skip

    put, _ = timed(write)
    alike, _ = timed(write_alike)
    with connections["owner"].cursor() as cursor:
        cursor.execute("TRUNCATE bench_scores")
    return {"load": out, "find": find, "write": put, "whole": out + find + put, "alike": alike}


def binary(ids: np.ndarray, labels: np.ndarray) -> bytes:
    """Rows of an id and a label as COPY has them."""
    rows = np.empty(len(labels), dtype=[("n", ">i2"), ("a", ">i4"), ("id", ">i8"), ("b", ">i4"), ("label", ">i2")])
    rows["n"], rows["a"], rows["id"], rows["b"], rows["label"] = 2, 8, ids, 2, labels
    return rows.tobytes()


def child(what: str) -> dict[str, Any]:
    """What a process of its own finds, so that its memory is its own."""
    done = subprocess.run([sys.executable, "-m", "bench.clustering", what], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def one_person() -> list[tuple[str, float]]:
    """Milliseconds: to find where one person belongs, and to write it as well; and for each of many at once."""
    clustering = Clustering.objects.select_related("purpose", "live_run").get(key=NAME)
    ids = list(figures().ids[:: max(1, 900_000 // PEOPLE)][:PEOPLE].tolist())
    model = model_of(clustering.live_run.uuid)

    def find(profile_id: int) -> None:
        matrix = load_features(
            model.keys, as_of=NOW, window_days=WINDOW, purpose=clustering.purpose, profile_ids=[profile_id]
        )
        model.cluster_of(matrix)

    def best(work: Callable[[int], object]) -> float:
        """Of each person the best of several times, as what else the machine does can only add to it; of those the median."""
        return median(min(timed(lambda pk=pk: work(pk))[0] for _ in range(ROUNDS)) for pk in ids)

    found = best(find)
    written = best(lambda pk: assign([pk], clustering=clustering))
    some = ids[:AT_ONCE]
    many = timed(lambda: assign(some, clustering=clustering))[0] / len(some)
    return [
        ("one person's cluster, found", found * 1e3),
        ("found and written", written * 1e3),
        ("each of 200 at once", many * 1e3),
    ]


def main() -> None:
    scale = prepare()
    forget()
    lay_ready()
    compare()
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, float]] = []
    for number in range(ROUNDS):
        if number:
            forget_ours()
        ours.append(child("pipeline"))
        theirs.append(child("floor") | child("by_hand"))
    size = f"{ours[0]['people']:,} people, {scale.events:,} events"
    best = {phase: min(one[phase] for one in ours) for phase in ours[0]}
    least = {phase: min(one[phase] for one in theirs) for phase in theirs[0]}
    print({phase: round(value, 2) for phase, value in best.items()}, {k: round(v, 2) for k, v in least.items()})
    rows = [
        Row(
            name="k-means: all",
            size=size,
            value=best["whole"],
            floor=least["counted"] + least["find"] + least["write"],
            unit="s",
            goal=3,
        ),
        Row(
            name="k-means: all, beside figures that lie ready",
            size=size,
            value=best["whole"],
            floor=least["whole"],
            unit="s",
        ),
        # Counting is SQL's; the rest is ours, beside figures that come out of a table as quickly.
        Row(
            name="k-means: all but counting",
            size=size,
            value=best["whole"] - best["load"] + least["load"],
            floor=least["whole"],
            unit="s",
            goal=3,
        ),
        # Where scores can be read by rules there are keys, indexes and a log to be written as well.
        Row(
            name="k-means: all, beside a table like ours",
            size=size,
            value=best["whole"],
            floor=least["counted"] + least["find"] + least["alike"],
            unit="s",
        ),
        Row(name="k-means: count and load", size=size, value=best["load"], floor=least["counted"], unit="s"),
        Row(
            name="k-means: prepare, find",
            size=size,
            value=best["prepare"] + best["find"],
            floor=least["find"],
            unit="s",
        ),
        Row(name="k-means: write", size=size, value=best["write"], floor=least["write"], unit="s"),
        Row(
            name="k-means: peak memory of 2 GB",
            size=size,
            value=max(one["peak"] for one in ours),
            floor=2048,
            unit="MB",
            goal=1,
        ),
    ]
    rows += [
        Row(name=name, size=size, value=taken, floor=5, unit="ms", goal=1 if not place else None)
        for place, (name, taken) in enumerate(one_person())
    ]
    forget()
    publish(rows)


def forget_ours() -> None:
    Clustering.objects.filter(key=NAME).update(live_run=None)
    Clustering.objects.filter(key=NAME).delete()
    forget_kind(kind=f"clusters-{NAME}", by=SYSTEM)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps({"pipeline": pipeline, "floor": floor, "by_hand": count_by_hand}[sys.argv[1]]()))
    else:
        main()
