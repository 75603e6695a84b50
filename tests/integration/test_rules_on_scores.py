"""Rules that ask for scores follow what is published: who changed enters and leaves, and what breaks mends itself."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict, DomainError
from cdp.pipeline import drain_dirty
from cdp.profiles.models import DirtyProfile, ScoreRun, Trait
from cdp.profiles.score_services import Scored, add_scores, publish_run, start_run
from consent.models import Purpose
from segments.engines.postgres import LeafQueries
from segments.live import forget, live_rules, rules_lock
from segments.models import MembershipChange, Segment, SweepState
from segments.refresh import preview, request_due_refreshes
from segments.rules import RuleErrors
from segments.services import publish, save_version
from tests.factories import (
    BY,
    draft,
    identify,
    live,
    members,
    performed,
    person,
    process_all,
    refresh_now,
    rule,
    set_live,
    track,
    tracker,
)
from tests.integration.books import assert_books_balance
from tests.integration.callers import found, key, problem

pytestmark = pytest.mark.django_db

FREQUENT = {"score": "rfm.frequency", "op": "gte", "value": 4}
CHAMPIONS = {"score": "rfm.group", "op": "equals", "value": "Champions"}


@pytest.fixture
def shop(db: None) -> None:
    forget()
    tracker().send(*(identify(name, traits={"n": 1}) for name in ("ann", "bob", "cyd", "dee")))
    process_all()


def run_of(kind: str = "rfm", **scores: tuple[Any, ...]) -> ScoreRun:
    """A run with a frequency and a group per person, as far as they are given."""
    run = start_run(kind=kind, version="1", by=BY)
    said = []
    for name, given in scores.items():
        for one in given:
            if isinstance(one, str):
                said.append(Scored(person(name).pk, "group", label=one))
            else:
                said.append(Scored(person(name).pk, "frequency", Decimal(one)))
    add_scores(run=run, scores=said)
    return run


def published(kind: str = "rfm", **scores: tuple[Any, ...]) -> ScoreRun:
    run = run_of(kind, **scores)
    publish_run(run=run, by=BY)
    return run


def test_what_was_never_published_is_unknown_even_under_not(shop: None) -> None:
    run_of(ann=(5,))
    for condition in (FREQUENT, {"not": FREQUENT}):
        with pytest.raises(RuleErrors) as refused:
            draft("frequent", condition)
        assert [error.code for error in refused.value.errors] == ["unpublished_score"]
    published(ann=(5,), bob=(2,))
    assert members(live("frequent", FREQUENT)) == {"ann"}
    assert members(live("others", {"not": FREQUENT})) == {"bob", "cyd", "dee"}, "who has no score, too"


def test_publishing_moves_those_whose_score_changed_and_nobody_is_asked_about_rules_without_scores(shop: None) -> None:
    published(ann=(5, "Champions"), bob=(2, "Lost"))
    frequent, champions = live("frequent", FREQUENT), live("champions", CHAMPIONS)
    live("identified", {"trait": "n", "op": "equals", "value": 1})
    published(ann=(5, "Lost"), bob=(4, "Champions"), dee=(9,))
    assert set(DirtyProfile.objects.values_list("profile_id", flat=True)) == {
        person(name).pk for name in ("ann", "bob", "dee")
    }
    process_all()
    assert members(frequent) == {"ann", "bob", "dee"}
    assert members(champions) == {"bob"}
    assert set(MembershipChange.objects.filter(segment=frequent, why="edit").values_list("kind", flat=True)) == {
        "entered"
    }
    assert_books_balance()


def test_only_rules_that_ask_for_that_kind_are_evaluated(shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    published(ann=(5,))
    published("churn", ann=("high",))
    live("frequent", FREQUENT)
    live("leaving", {"score": "churn.group", "op": "equals", "value": "high"})
    live("people", {"trait": "n", "op": "exists"})
    process_all()
    asked: list[str] = []
    published("churn", ann=("low",))
    answer = LeafQueries.answer

    def listening(self: LeafQueries, wanted: Any, **more: Any) -> Any:
        asked.extend(leaf.key for leaf in wanted)
        return answer(self, wanted, **more)

    monkeypatch.setattr(LeafQueries, "answer", listening)
    assert drain_dirty() == 1
    assert asked == ['["score","churn.group","equals","exact","high"]']


def test_a_rule_whose_score_is_gone_freezes_and_comes_alive_with_the_next_run(shop: None) -> None:
    good = published(ann=(5, "Champions"), bob=(5, "Lost"))
    frequent = live("frequent", FREQUENT)
    reader = live("readers", {"in_segment": "frequent"})
    champions = live("champions", CHAMPIONS)
    published(ann=("Lost",), cyd=("Champions",))
    process_all()
    frequent.refresh_from_db()
    assert "rfm.frequency" in frequent.broken_reason and frequent.waits_for_scores and not frequent.is_usable
    assert members(frequent) == members(reader) == {"ann", "bob"}, "as they were"
    assert members(champions) == {"cyd"}, "the others go on"
    assert not SweepState.objects.filter(segment__in=[frequent, reader]).exists()
    with pytest.raises(Conflict, match=r"rfm\.frequency"):
        refresh_now(frequent)
    request_due_refreshes()
    assert not SweepState.objects.filter(segment=frequent).exists()

    # What happens meanwhile passes it by; the refresh finds it.
    tracker().send(identify("eve", traits={"n": 1}))
    process_all()
    published(ann=(1, "Lost"), eve=(7, "Champions"))
    process_all()
    frequent.refresh_from_db()
    assert (frequent.broken_reason, frequent.waits_for_scores, frequent.is_usable) == ("", False, True)
    assert request_due_refreshes() == 2, "the segment, and the one that reads it"
    for segment in (frequent, reader):
        refresh_now(segment)
        assert members(segment) == {"eve"}
    publish_run(run=good, by=BY)
    process_all()
    assert members(frequent) == {"ann", "bob"}
    told = AuditEntry.objects.filter(action__in=["segment.broken", "segment.mended"]).order_by("recorded_at")
    assert list(told.values_list("action", flat=True)) == ["segment.broken", "segment.mended"]
    assert_books_balance()


def test_that_it_waits_is_said_again_when_the_transaction_that_said_it_came_to_nothing(shop: None) -> None:
    published(ann=(5,))
    frequent = live("frequent", FREQUENT)
    published(ann=("Lost",))
    DirtyProfile.objects.all().delete()
    with transaction.atomic():
        rules_lock(exclusive=False)
        assert live_rules().by_segment(frequent.pk) is None
        transaction.set_rollback(True)
    frequent.refresh_from_db()
    assert not frequent.broken_reason
    process_all()
    tracker().send(track("Looked", "ann"))
    process_all()
    frequent.refresh_from_db()
    assert frequent.waits_for_scores and not SweepState.objects.filter(segment=frequent).exists()


def test_labels_where_numbers_were_freeze_it_too_and_another_mistake_outlasts_publications(shop: None) -> None:
    published(ann=(5,))
    frequent = live("frequent", {"any": [FREQUENT, {"not": {"trait": "n", "op": "gte", "value": 2}}]})
    run = start_run(kind="rfm", version="2", by=BY)
    add_scores(run=run, scores=[Scored(person("ann").pk, "frequency", label="often")])
    publish_run(run=run, by=BY)
    process_all()
    frequent.refresh_from_db()
    assert frequent.broken_reason.endswith("has labels, and no numbers") and frequent.waits_for_scores
    Trait.objects.filter(key="n").update(type="text")
    with transaction.atomic():
        rules_lock(exclusive=False)
        live_rules()
    frequent.refresh_from_db()
    assert frequent.broken_reason and not frequent.waits_for_scores
    published(ann=(5,))
    process_all()
    frequent.refresh_from_db()
    assert frequent.broken_reason, "somebody must mend it"


def test_a_segment_is_mended_by_another_version_too(shop: None) -> None:
    published(ann=(5, "Champions"))
    frequent = live("frequent", FREQUENT)
    published(ann=("Champions",))
    process_all()
    version = save_version(segment=frequent, rule=rule(CHAMPIONS), by=BY)
    publish(segment=frequent, version=version, by=BY)
    refresh_now(frequent)
    frequent.refresh_from_db()
    assert (frequent.broken_reason, frequent.waits_for_scores) == ("", False)
    assert members(frequent) == {"ann"}


def test_somebody_new_is_taken_in_by_chance_alone(shop: None) -> None:
    """A draw needs nothing to be recorded, so it is asked about everybody who comes."""
    halves = [live(name, {"bucket": "halves", "op": op, "value": 50}) for name, op in (("low", "lt"), ("high", "gte"))]
    tracker().send(*(track("Looked", f"new{n}") for n in range(40)))
    process_all()
    one, other = (members(half) for half in halves)
    assert one | other == {"ann", "bob", "cyd", "dee", *(f"new{n}" for n in range(40))} and not one & other
    assert min(len(one), len(other)) > 5
    shown = preview(
        rule=rule({"bucket": "halves", "op": "lt", "value": 50}), purpose=Purpose.objects.get(key="internal_analysis")
    )
    assert shown.count == len(one)
    assert_books_balance()


def test_why_tells_scores_and_draws_and_refuses_the_past(shop: None) -> None:
    published(ann=(3, "Champions"))
    tracker().send(track("Looked", "ann"))
    process_all()
    drawn = {"bucket": "s", "op": "lt", "value": 100}
    caller = key(sees=[draft("asked", {"all": [FREQUENT, CHAMPIONS, drawn, performed("Looked")]})])
    body = found(caller.get("segments/asked/why/user_id:ann/"))
    said = [one["finding"]["said"] for one in body["tree"]["conditions"]]
    assert said[:2] == ["rfm frequency is 3", 'rfm group is "Champions"']
    assert said[2].endswith('in the draw "s"')
    refused = problem(caller.get("segments/asked/why/user_id:ann/", as_of="2026-01-01T00:00:00Z"), 400)
    assert [one["pointer"] for one in refused["errors"]] == [
        "/rule/all/0/score",
        "/rule/all/1/score",
        "/rule/all/2/bucket",
    ]


def test_a_kind_has_no_full_stop(shop: None) -> None:
    for kind in ("", "r.fm", "k" * 65):
        with pytest.raises(DomainError):
            start_run(kind=kind, version="1", by=BY)


def test_a_live_rule_follows_scores_of_many_keys(shop: None) -> None:
    published(ann=(1,))
    segment = live("either", {"any": [FREQUENT, {"score": "rfm.frequency", "op": "missing"}]})
    assert members(segment) == {"bob", "cyd", "dee"}
    published(bob=(1,), cyd=(4,))
    process_all()
    assert members(segment) == {"ann", "cyd", "dee"}
    set_live(segment, {"not": {"score": "rfm.frequency", "op": "exists"}})
    assert members(segment) == {"ann", "dee"}
    assert Segment.objects.get(key="either").broken_reason == ""
