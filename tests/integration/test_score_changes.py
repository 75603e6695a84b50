"""Scores from arrays are those that were given; people scored anew are evaluated if it differs; who objects has none."""

from decimal import Decimal

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict, DomainError, NotFound
from cdp.identity.merging import merge_profiles
from cdp.pipeline import drain_dirty
from cdp.profiles.models import DirtyProfile, Profile, Score, ScoreRun
from cdp.profiles.score_arrays import add_score_arrays
from cdp.profiles.score_changes import forget_run, replace_scores_of
from cdp.profiles.score_services import Scored, add_scores, hold_run, publish_run, scores_of, start_run
from consent.models import Decision, Purpose, StopKind
from consent.stops import lift, stop
from segments.clustering.models import Clustering
from tests.factories import BY, identify, live, members, person, process_all, tracker
from tests.integration.callers import decide

pytestmark = pytest.mark.django_db
NAMES = ("ann", "bob", "cyd", "dee")


@pytest.fixture
def people() -> dict[str, Profile]:
    tracker().send(*(identify(name, traits={"n": 1}) for name in NAMES))
    process_all()
    return {name: person(name) for name in NAMES}


def published(people: dict[str, Profile], kind: str = "clusters-main", **labels: str) -> ScoreRun:
    run = start_run(kind=kind, version="1", by=BY)
    add_scores(run=run, scores=[Scored(people[n].pk, "cluster", Decimal(len(n)), label) for n, label in labels.items()])
    publish_run(run=run, by=BY)
    drain_dirty()
    return run


def test_arrays_are_written_as_single_scores_are() -> None:
    numbers = np.array([0, 1, -1, 3.25, -0.00004, 12345.6789, -99_999_999_999.5, 10_000, 0.0001, 1e9 + 0.5])
    ids = np.arange(len(numbers)) * 3 + 7
    labels = ["Fünf ☃", "Small baskets", "nobody's", "Not in any cluster"]
    codes = np.array([3, 0, 1, 1, 0, 3, 3, 0, 1, 0])
    run = start_run(kind="clusters-main", version="1", by=BY)
    assert add_score_arrays(run=run, key="both", profile_ids=ids, numbers=numbers, codes=codes, labels=labels) == 10
    add_score_arrays(run=run, key="number", profile_ids=ids, numbers=numbers)
    add_score_arrays(run=run, key="label", profile_ids=ids, codes=codes, labels=labels)
    assert add_score_arrays(run=run, key="none", profile_ids=[], numbers=[], codes=[], labels=[]) == 0
    one_by_one = start_run(kind="clusters-main", version="2", by=BY)
    said = [Decimal(repr(float(number))) for number in numbers]
    words = [labels[code] for code in codes]
    for key, of_number, of_label in (
        ("both", said, words),
        ("number", said, [None] * 10),
        ("label", [None] * 10, words),
    ):
        rows = zip(ids.tolist(), of_number, of_label, strict=True)
        add_scores(run=one_by_one, scores=[Scored(pk, key, number, label) for pk, number, label in rows])

    def stored(run: ScoreRun) -> list[tuple[object, ...]]:
        rows = Score.objects.filter(run=run).order_by("key", "profile_id")
        return list(rows.values_list("key", "profile_id", "number", "label"))

    assert stored(run) == stored(one_by_one)
    publish_run(run=run, by=BY)
    with pytest.raises(Conflict):
        add_score_arrays(run=run, key="late", profile_ids=ids, numbers=numbers)


def test_arrays_that_cannot_be_written_are_refused() -> None:
    run = start_run(kind="rfm", version="1", by=BY)
    for wrong in ([float("nan")], [float("inf")], [1e11]):
        with pytest.raises(DomainError, match="finite"):
            add_score_arrays(run=run, key="r", profile_ids=[1], numbers=wrong)
    for key, labels in (("", ["a"]), ("k" * 65, ["a"]), ("k", [""]), ("k", ["a" * 129])):
        with pytest.raises(DomainError, match="characters"):
            add_score_arrays(run=run, key=key, profile_ids=[1], codes=[0], labels=labels)
    with pytest.raises(DomainError, match="number or a label"):
        add_score_arrays(run=run, key="k", profile_ids=[1])
    with pytest.raises(ValueError):
        add_score_arrays(run=run, key="k", profile_ids=[1], codes=[1], labels=["a"])
    with pytest.raises(ValueError):
        add_score_arrays(run=run, key="k", profile_ids=[1, 2], numbers=[1])
    with pytest.raises(IntegrityError), transaction.atomic():
        add_score_arrays(run=run, key="k", profile_ids=[1, 1], numbers=[1, 2])


def test_people_scored_anew_are_evaluated_only_if_it_differs(people: dict[str, Profile]) -> None:
    run = published(people, ann="A", bob="A", cyd="B")
    with_a = live("with-a", {"score": "clusters-main.cluster", "op": "equals", "value": "A"})
    assert members(with_a) == {"ann", "bob"}
    ann, bob, cyd, dee = (people[name].pk for name in NAMES)
    scores = [Scored(ann, "cluster", Decimal("3.0"), "A"), Scored(cyd, "cluster", Decimal(3), "A")]
    scores.append(Scored(dee, "cluster", Decimal(3), "A"))
    assert replace_scores_of(run=run, profile_ids=[ann, bob, cyd, dee], scores=scores, by=BY) == 3
    assert sorted(DirtyProfile.objects.values_list("profile_id", flat=True)) == [bob, cyd, dee]
    process_all()
    assert members(with_a) == {"ann", "cyd", "dee"}
    entries = AuditEntry.objects.filter(action="scores.replaced").count()
    assert replace_scores_of(run=run, profile_ids=[ann, bob, cyd, dee], scores=scores, by=BY) == 0
    assert AuditEntry.objects.filter(action="scores.replaced").count() == entries, "nothing was done"
    assert scores_of(people["bob"]) == {}
    with pytest.raises(ValueError):
        replace_scores_of(run=run, profile_ids=[bob], scores=scores, by=BY)
    published(people, ann="B")
    with pytest.raises(Conflict):
        replace_scores_of(run=run, profile_ids=[ann], scores=[], by=BY)


@pytest.mark.parametrize("kind", [StopKind.PROFILING, StopKind.RESTRICTION])
def test_who_objects_loses_what_analyses_said_at_once(people: dict[str, Profile], kind: StopKind) -> None:
    published(people, ann="A", bob="A")
    waiting = start_run(kind="clusters-main", version="2", by=BY)
    add_scores(run=waiting, scores=[Scored(people["ann"].pk, "cluster", Decimal(1), "A")])
    for of in ("rfm", "persona", "churn"):
        published(people, of, ann="A")
    with_a = live("with-a", {"score": "clusters-main.cluster", "op": "equals", "value": "A"})
    assert members(with_a) == {"ann", "bob"}
    stop(profile=people["ann"], kind=kind, by=BY)
    assert set(scores_of(people["ann"])) == {"churn.cluster"}, "what another model said is no group of ours"
    assert not Score.objects.filter(run=waiting).exists(), "nor would a run that waits say it again"
    process_all()
    assert members(with_a) == {"bob"}
    entry = AuditEntry.objects.get(action="scores.forgotten_of")
    assert entry.detail == {"kinds": ["clusters-main", "persona", "rfm"], "why": kind.value}
    # Having it lifted brings back nothing: what was said is gone until the next run.
    lift(profile=people["ann"], kind=kind, by=BY)
    assert set(scores_of(people["ann"])) == {"churn.cluster"}


def test_an_objection_to_something_else_takes_no_scores(people: dict[str, Profile]) -> None:
    published(people, ann="A")
    stop(profile=people["ann"], kind=StopKind.LEGITIMATE_INTERESTS, by=BY)
    assert set(scores_of(people["ann"])) == {"clusters-main.cluster"}


def test_an_objection_follows_into_whom_one_is_merged(people: dict[str, Profile]) -> None:
    published(people, ann="A", bob="A")
    stop(profile=people["bob"], kind=StopKind.PROFILING, by=BY)
    merge_profiles(survivor=people["ann"], absorbed=people["bob"], reason="same", by=BY)
    process_all()
    assert scores_of(people["ann"]) == {}


def test_who_permits_the_purpose_no_longer_loses_what_was_said_for_it(people: dict[str, Profile]) -> None:
    for kind in ("clusters-main", "clusters-other", "persona", "churn"):
        published(people, kind, ann="A", bob="A")
    analysis, email = (Purpose.objects.get(key=key) for key in ("internal_analysis", "marketing_email"))
    Clustering.objects.create(key="main", name="Main", purpose=analysis)
    Clustering.objects.create(key="other", name="Other", purpose=email)
    decide("ann", "internal_analysis", Decision.DENIED)
    assert set(scores_of(people["ann"])) == {"churn.cluster", "clusters-other.cluster"}
    assert len(scores_of(people["bob"])) == 4
    decide("bob", "marketing_email", Decision.GRANTED)
    assert len(scores_of(people["bob"])) == 4
    decide("bob", "marketing_email", Decision.WITHDRAWN)
    assert set(scores_of(people["bob"])) == {"churn.cluster", "clusters-main.cluster", "persona.cluster"}


def test_nothing_is_written_into_a_run_that_is_gone(people: dict[str, Profile]) -> None:
    run = start_run(kind="rfm", version="1", by=BY)
    forget_run(run_id=run.pk)
    with pytest.raises(NotFound), transaction.atomic():
        hold_run(run.pk)
    with pytest.raises(ScoreRun.DoesNotExist), transaction.atomic():
        add_score_arrays(run=run, key="k", profile_ids=[1], numbers=[1])
    assert not Score.objects.exists()
