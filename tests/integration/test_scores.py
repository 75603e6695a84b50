"""Scores: written into a run, read once it is published, and only those who changed are evaluated anew."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict, DomainError
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.pipeline import drain_dirty
from cdp.profiles.models import DirtyProfile, Profile, Score, ScoreRun
from cdp.profiles.score_services import Published, Scored, add_scores, publish_run, purge_runs, scores_of, start_run
from tests.factories import BY, identify, person, process_all, tracker
from tests.integration.books import assert_books_balance


@pytest.fixture
def people(db: None) -> dict[str, Profile]:
    tracker().send(*(identify(name, traits={"n": 1}) for name in ("ann", "bob", "cyd", "dee")))
    process_all()
    return {name: person(name) for name in ("ann", "bob", "cyd", "dee")}


def run_of(people: dict[str, Profile], kind: str = "rfm", **scores: Any) -> ScoreRun:
    """A run with a number or label per person, under one key."""
    run = start_run(kind=kind, version="1", by=BY)
    add_scores(
        run=run,
        scores=[
            Scored(people[name].pk, "segment", label=said)
            if isinstance(said, str)
            else Scored(people[name].pk, "segment", said)
            for name, said in scores.items()
        ],
    )
    return run


def dirty(people: dict[str, Profile]) -> list[str]:
    """Who waits to be evaluated, each as often as it stands there; read once."""
    names = {profile.pk: name for name, profile in people.items()}
    found = sorted(names[number] for number in DirtyProfile.objects.values_list("profile_id", flat=True))
    drain_dirty()
    return found


def test_only_people_whose_score_changed_are_evaluated_anew(people: dict[str, Profile]) -> None:
    first = run_of(people, ann=Decimal(1), bob="loyal", cyd=Decimal("0.5"))
    assert dirty(people) == [], "nobody reads a run that is not published"
    assert publish_run(run=first, by=BY) == Published(scores=3, people_changed=3)
    assert dirty(people) == ["ann", "bob", "cyd"]
    second = run_of(people, ann=Decimal("1.0000"), bob="lapsed", dee=Decimal(0))
    assert publish_run(run=second, by=BY) == Published(scores=3, people_changed=3)
    assert dirty(people) == ["bob", "cyd", "dee"], "changed, gone, and new; not who has the same"


def test_a_person_with_several_changed_keys_waits_once(people: dict[str, Profile]) -> None:
    run = start_run(kind="rfm", version="1", by=BY)
    add_scores(run=run, scores=[Scored(people["ann"].pk, key, Decimal(3)) for key in ("r", "f", "m")])
    publish_run(run=run, by=BY)
    assert DirtyProfile.objects.get().facts == {"why": "edit", "scores": ["rfm"]}
    assert scores_of(people["ann"]) == {f"rfm.{key}": {"number": 3, "label": None} for key in ("f", "m", "r")}


def test_kinds_are_published_each_by_itself(people: dict[str, Profile]) -> None:
    publish_run(run=run_of(people, ann="loyal"), by=BY)
    publish_run(run=run_of(people, "churn", ann=Decimal("0.2")), by=BY)
    assert set(scores_of(people["ann"])) == {"rfm.segment", "churn.segment"}
    assert ScoreRun.objects.filter(is_current=True).count() == 2


def test_an_earlier_run_can_be_published_again(people: dict[str, Profile]) -> None:
    good, bad = run_of(people, ann="loyal"), run_of(people, ann="nonsense")
    for run in (good, bad, good):
        publish_run(run=run, by=BY)
    assert scores_of(people["ann"])["rfm.segment"]["label"] == "loyal"
    with pytest.raises(Conflict):
        publish_run(run=good, by=BY)
    assert AuditEntry.objects.filter(action="scores.published").count() == 3


def test_a_published_run_takes_no_more_scores(people: dict[str, Profile]) -> None:
    run = run_of(people, ann="loyal")
    publish_run(run=run, by=BY)
    with pytest.raises(Conflict):
        add_scores(run=run, scores=[Scored(people["bob"].pk, "segment", Decimal(1))])
    assert scores_of(people["bob"]) == {}


@pytest.mark.parametrize("said", [{}, {"key": ""}, {"key": "k" * 65, "label": "x"}, {"label": "x" * 129}])
def test_a_score_that_says_nothing_or_too_much_is_refused_and_nothing_kept(
    people: dict[str, Profile], said: Any
) -> None:
    run = start_run(kind="rfm", version="1", by=BY)
    good = Scored(people["bob"].pk, "segment", Decimal(1))
    with pytest.raises(DomainError), transaction.atomic():
        add_scores(run=run, scores=[good, Scored(**{"profile_id": people["ann"].pk, "key": "segment", **said})])
    assert not Score.objects.exists()


def test_one_person_has_one_score_per_key_and_run(people: dict[str, Profile]) -> None:
    run = start_run(kind="rfm", version="1", by=BY)
    with pytest.raises(IntegrityError), transaction.atomic():
        add_scores(
            run=run, scores=[Scored(people["ann"].pk, "r", Decimal(1)), Scored(people["ann"].pk, "r", Decimal(2))]
        )


def test_of_two_who_proved_to_be_one_the_survivors_scores_stay(people: dict[str, Profile]) -> None:
    publish_run(run=run_of(people, ann="loyal", bob="lapsed"), by=BY)
    merge = merge_profiles(survivor=people["ann"], absorbed=people["bob"], reason="asked on the phone", by=BY)
    process_all()
    assert [(one.profile_id, one.label) for one in Score.objects.all()] == [(people["ann"].pk, "loyal")]
    assert_books_balance()
    restored = undo_merge(merge=merge, by=BY)
    assert scores_of(restored) == {}, "until the next run knows them"
    waiting = run_of(people, cyd="loyal")
    Profile.objects.filter(pk=people["cyd"].pk).delete()
    DirtyProfile.objects.all().delete()
    assert publish_run(run=waiting, by=BY).people_changed == 1, "ann lost hers; cyd is nobody now"


def test_old_runs_are_forgotten_but_never_the_one_that_is_read(people: dict[str, Profile]) -> None:
    runs = [run_of(people, ann=Decimal(n)) for n in range(4)]
    publish_run(run=runs[0], by=BY)
    assert purge_runs(kind="rfm", keep=1, by=BY) == 2
    assert set(ScoreRun.objects.values_list("pk", flat=True)) == {runs[0].pk, runs[3].pk}
    assert Score.objects.count() == 2
