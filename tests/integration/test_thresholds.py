"""Percentiles: one stored threshold for everybody, and whom it concerns when it moves."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Event as Signal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.utils import timezone

from cdp.pipeline import drain_dirty, process_batch
from cdp.profiles.models import DirtyProfile, Workspace
from segments import thresholds
from segments.catalogue import catalog
from segments.engines import percentiles
from segments.feed import number_changes
from segments.live import rules_lock
from segments.models import (
    ChangeWhy,
    DriftCheck,
    MembershipChange,
    PercentileThreshold,
)
from segments.refresh import preview
from segments.rules import RuleErrors
from segments.services import save_version
from segments.sweep import sweep_due
from segments.turning import outlook
from segments.versions import compare_versions
from segments.why import why
from tests.factories import BY, Tracker, live, members, person, process_all, refresh_now, rule, track
from tests.integration.books import assert_books_balance, member_ids, truth
from tests.integration.crew import crew, seeded
from tests.integration.rankings import (
    BOTTOM,
    DAY,
    MOST_OFTEN,
    SPENT,
    TOP,
    buy,
    leaf,
    order,
    purpose,
    recompute,
    stored,
    ten_people,
)


@pytest.fixture
def shop(db: None) -> Tracker:
    return ten_people()


# ---- One threshold for all ---------------------------------------------------------------------------------------


def test_publishing_takes_the_threshold_and_the_top_ten_percent_are_in(shop: Tracker) -> None:
    segment = live("top", TOP)
    assert (stored().value, stored().people, stored().version) == (Decimal(90), 10, 1)
    assert members(segment) == {"u9", "u10"}
    assert members(live("bottom", BOTTOM)) == {"u1", "u2"}


def test_preview_refresh_batch_and_comparison_go_by_the_same_row(shop: Tracker) -> None:
    assert preview(rule=rule(TOP), purpose=purpose()).count == 2
    # Others overtake them meanwhile: of whoever is judged next, the stored threshold decides, not one of their own.
    shop.send(*(buy(f"rich{number}", 1000) for number in range(20)))
    process_all()
    assert preview(rule=rule(TOP), purpose=purpose()).count == 22
    segment = live("top", TOP)
    assert len(members(segment)) == 22
    shop.send(buy("u8", 10), buy("u7", 19.9999))
    process_all()
    assert "u8" in members(segment) and "u7" not in members(segment)
    old = segment.versions.get()
    newer = save_version(segment=segment, rule=rule({**TOP, "op": "gt"}), by=BY)
    people = compare_versions(before=old, after=newer, purpose=purpose(), by=BY).people
    assert people and (people.entering.count, people.leaving.count, people.staying.count) == (0, 2, 21)
    assert stored().version == 1


def test_a_rule_on_totals_is_ranked_too(shop: Tracker) -> None:
    shop.send(buy("u3", 1), buy("u3", 1), buy("u4", 1))
    process_all()
    segment = live("often", MOST_OFTEN)
    assert stored(MOST_OFTEN).value == 1
    assert members(segment) == {"u3", "u4"}
    shop.send(buy("u5", 1))
    # Dated ahead: it doesn't count yet, and totals alone can't tell.
    shop.send(buy("u6", 1, timestamp=(datetime.now(UTC) + DAY).isoformat()))
    process_all()
    assert members(segment) == {"u3", "u4", "u5"}


def test_averages_are_ranked_by_their_first_four_decimals(shop: Tracker) -> None:
    thirds = {"performed": "Rated", "measure": "average", "of": "stars", "op": "gte", "than": {"percentile": 50}}
    calls = [track("Rated", user, properties={"stars": stars}) for user, stars in (("a", 1), ("c", 2), ("d", 5))]
    calls += [track("Rated", "b", properties={"stars": stars}) for stars in (1, 2, 2)]
    shop.send(*calls)
    process_all()
    segment = live("raters", thirds)
    assert stored(thirds).value == Decimal("1.6666")
    assert members(segment) == {"b", "c", "d"}, "whose average it was belongs"


def test_where_nobody_is_ranked_nobody_belongs_until_somebody_is(shop: Tracker) -> None:
    of_nobody = {"performed": "Bought", "measure": "sum", "of": "price", "where": NOBODY, "op": "gte"}
    segment = live("top", {**of_nobody, "than": {"percentile": 90}})
    others = live("others", {"not": {**of_nobody, "than": {"percentile": 90}}})
    row = stored({**of_nobody, "than": {"percentile": 90}})
    assert (row.value, row.people) == (None, 0)
    assert members(segment) == set() and len(members(others)) == 10
    shop.send(track("Bought", "u1", properties={"price": 5, "kind": "x"}))
    process_all()
    assert members(segment) == set()
    done = recompute()
    assert (done.moved, done.marked) == (1, 1)
    process_all()
    assert members(segment) == {"u1"} and len(members(others)) == 9


NOBODY = [{"property": "kind", "op": "equals", "value": "x"}]


def test_two_who_ask_at_once_share_what_the_first_has_stored(own_database: Any) -> None:
    ten_people()
    wanted, known = leaf(TOP), catalog()
    found: list[int] = []
    with crew(4) as threads:
        threads.race([lambda: found.append(thresholds.threshold_for(wanted, known).pk)] * 4)
    assert len(found) == 4 and len(set(found)) == 1
    assert PercentileThreshold.objects.count() == 1


# ---- A move ----------------------------------------------------------------------------------------------------


def test_a_move_has_only_those_between_judged_again(shop: Tracker) -> None:
    top, bottom = live("top", TOP), live("bottom", BOTTOM)
    shop.send(*(buy(f"u{number}", 5) for number in (6, 7, 8)), buy("new", 95))
    process_all()
    assert members(top) == {"u9", "u10", "new"}
    # Eleven now: 10 20 30 40 50 65 75 85 90 95 100, and the 10th of them is 95.
    done = recompute()
    assert (done.thresholds, done.moved, done.marked) == (2, 2, 2)
    assert stored().value == 95 and stored(BOTTOM).value == 30
    waiting = dict(DirtyProfile.objects.values_list("profile_id", "facts"))
    assert waiting == {
        person("u9").pk: {"why": "rank", "thresholds": [stored().pk]},
        person("u3").pk: {"why": "rank", "thresholds": [stored(BOTTOM).pk]},
    }
    process_all()
    assert members(top) == {"u10", "new"} and members(bottom) == {"u1", "u2", "u3"}
    changes = MembershipChange.objects.filter(why=ChangeWhy.RANK).order_by("position")
    assert set(changes.values_list("segment__key", "kind")) == {("top", "exited"), ("bottom", "entered")}
    assert [member_ids(one) for one in (top, bottom)] == [truth(one, timezone.now()) for one in (top, bottom)]
    past = stored().past.get()
    assert (past.version, past.value, past.people) == (1, 90, 10)
    assert (stored().version, stored().marked_version, stored().people) == (2, 2, 11)


def test_what_has_not_moved_concerns_nobody(shop: Tracker) -> None:
    live("top", TOP)
    before = stored()
    done = recompute()
    assert (done.thresholds, done.moved, done.marked) == (1, 0, 0)
    assert stored().version == 1 and stored().computed_at > before.computed_at
    assert not stored().past.exists() and not DirtyProfile.objects.exists()


def test_whoever_stands_on_the_threshold_is_marked_only_where_the_order_makes_a_difference(shop: Tracker) -> None:
    live("top", TOP)
    shop.send(*(buy(f"more{number}", 100) for number in range(10)))
    process_all()
    recompute()
    # At least 90 became at least 100: for u10, who has 100, nothing has changed.
    assert set(DirtyProfile.objects.values_list("profile_id", flat=True)) == {person("u9").pk}
    process_all()
    above = live("above", {**TOP, "op": "gt"})
    shop.send(*(buy(f"most{number}", 500) for number in range(50)))
    process_all()
    assert recompute().marked == 61, "all of 100 leave one segment, all of 500 the other"
    process_all()
    assert members(above) == set()
    assert_books_balance()


def test_a_worker_that_died_before_marking_has_left_it_to_the_next(shop: Tracker) -> None:
    segment = live("top", TOP)
    shop.send(buy("u8", 500), buy("u7", 500), buy("u6", 500))
    process_all()
    wanted, known = leaf(TOP), catalog()
    found = percentiles.percentile(wanted, known, as_of=timezone.now())
    assert thresholds.move(stored(), found, as_of=timezone.now())
    assert (stored().version, stored().marked_version) == (2, 1)
    assert not thresholds.are_marked([wanted.ranking])
    assert thresholds.move(stored(), found._replace(value=Decimal(1)), as_of=timezone.now()) is False, "not before"
    done = recompute()
    assert (done.moved, done.marked) == (0, 3), "u9, u10 and u6: who has 90, 100 and 560, and 570 is wanted now"
    assert thresholds.are_marked([wanted.ranking])
    process_all()
    assert member_ids(segment) == truth(segment, timezone.now())


def test_until_those_concerned_have_been_judged_nothing_is_taken_for_drift(shop: Tracker) -> None:
    # Long ago, so that no edge explains what a refresh finds.
    old = {**TOP, "performed": "Ordered"}
    shop.send(*(order(f"u{number}", number * 10) for number in range(1, 11)))
    process_all()
    segment = live("top", old)
    shop.send(order("u8", 500), order("u7", 500), order("u6", 500))
    process_all()
    wanted, known = leaf(old), catalog()
    found = percentiles.percentile(wanted, known, as_of=timezone.now())
    thresholds.move(stored(old), found, as_of=timezone.now())
    assert refresh_now(segment).exited == 3, "before anybody has been marked"
    assert thresholds.mark(stored(old), wanted, known) == 3
    process_all()
    # And where they are marked, and wait.
    shop.send(*(order(f"more{number}", 1000) for number in range(10)))
    process_all()
    assert recompute().marked
    assert refresh_now(segment).exited
    assert DriftCheck.objects.filter(segment=segment).count() == 2
    assert not any(check.missing or check.extra for check in DriftCheck.objects.filter(segment=segment))
    process_all()
    assert_books_balance()


def test_somebody_whose_events_leave_the_window_leaves_at_the_edge(shop: Tracker) -> None:
    at = datetime.now(UTC) - 20 * DAY
    Workspace.objects.update_or_create(pk=1, defaults={"frozen_at": at})
    condition = {**TOP, "performed": "Ordered", "within": {"days": 10}}
    shop.send(*(
        track("Ordered", f"u{number}", properties={"price": 10 * number}, timestamp=(at - number * DAY).isoformat())
        for number in range(1, 10)
    ))  # fmt: skip
    process_all()
    segment = live("top", condition)
    assert members(segment) == {"u9"}
    Workspace.objects.update(frozen_at=at + 2 * DAY)
    sweep_due(everything=True)
    number_changes()
    assert members(segment) == set(), "the threshold stays until it is taken anew"
    change = MembershipChange.objects.filter(segment=segment).latest("position")
    assert change.effective_at == at + DAY + timedelta(microseconds=1)
    assert recompute().moved == 1
    process_all()
    assert members(segment) == {"u8"}
    refresh_now(segment)
    assert not any(check.missing or check.extra for check in DriftCheck.objects.filter(segment=segment))


def test_why_somebody_is_in_is_told_with_the_stored_threshold_and_not_of_the_past(shop: Tracker) -> None:
    segment = live("top", TOP)
    asked: dict[str, Any] = {"version": segment.versions.get(), "purpose": purpose(), "by": BY}
    reader = User.objects.create_superuser("reader")
    told = why(profile=person("u8"), reader=reader, **asked).tree
    assert told.holds is False and told.finding is not None
    assert told.finding.said == "80 of at least 90, the 90th percentile"
    assert told.finding.hint and told.finding.hint.amount == 10
    assert why(profile=person("u9"), reader=reader, **asked).tree.holds
    with pytest.raises(RuleErrors) as refused:
        why(profile=person("u9"), reader=reader, as_of=timezone.now() - DAY, **asked)
    assert [(one.code, one.pointer) for one in refused.value.errors] == [("no_history", "/performed")]
    expected = outlook(segment=segment, profile=person("u9"))
    assert expected.belongs and expected.changes_at
    assert timedelta(days=364) < expected.changes_at - timezone.now() < timedelta(days=365)


# ---- At the same time --------------------------------------------------------------------------------------------


def test_no_batch_that_judged_by_the_old_value_slips_through(own_database: Any) -> None:
    """A batch has judged somebody by the old value and not committed: the move waits for it, and marks whom it judged."""
    shop = ten_people()
    segment = live("top", TOP)
    wanted, known = leaf(TOP), catalog()
    shop.send(buy("u1", 84), buy("u2", 1000), buy("u3", 1000), buy("u4", 1000))
    judged, may_commit, moved = Signal(), Signal(), Signal()

    def batch() -> None:
        with transaction.atomic():
            process_batch()
            judged.set()
            assert may_commit.wait(30)

    def moving() -> None:
        assert judged.wait(30)
        found = percentiles.Found(Decimal(1000), 10)
        assert thresholds.move(stored(), found, as_of=timezone.now())
        moved.set()
        assert thresholds.mark(stored(), wanted, known) == 3

    def letting_go() -> None:
        assert judged.wait(30)
        assert not moved.wait(0.5), "the move can't be written before the batch is"
        may_commit.set()

    with crew(3) as threads:
        threads.race([batch, moving, letting_go])
    number_changes()
    assert person("u1").pk in set(DirtyProfile.objects.values_list("profile_id", flat=True))
    process_all()
    assert members(segment) == {"u2", "u3", "u4"}
    assert_books_balance()


@pytest.mark.drill
def test_batches_and_moves_race_and_the_books_balance(own_database: Any, drill_scale: Callable[..., int]) -> None:
    shop = ten_people()
    live("top", TOP)
    live("others", {"not": {**TOP, "than": {"percentile": 50}}})
    live("below", {**SPENT, "op": "lt", "than": {"percentile": 75}})
    live("often", MOST_OFTEN)
    moved = 0

    def moving() -> None:
        nonlocal moved
        moved += recompute().moved

    def consuming() -> None:
        while process_batch(messages=3).requests:
            drain_dirty(limit=3)

    with crew(4) as threads:
        for number in range(drill_scale(full=200, quick=6)):
            chance = seeded("ranks", number)
            for _ in range(8):
                shop.send(
                    *(buy(f"u{chance.randint(1, 40)}", chance.randint(-20, 100 * (number + 1))) for _ in range(3))
                )
            threads.race([consuming, consuming, moving, drain_dirty])
            process_all()
            assert_books_balance()
    assert moved > 4, "thresholds hardly moved"


def test_taking_one_may_not_last_longer_than_a_preview(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = "SELECT 1, 1 FROM (SELECT pg_sleep(5)) AS s, ({figures}) AS figures WHERE %(percentile)s > 0"
    monkeypatch.setattr(percentiles, "PERCENTILE", slow)
    with pytest.raises(OperationalError), transaction.atomic():
        thresholds.with_thresholds(catalog(), leaf(TOP), seconds=1)
    assert not PercentileThreshold.objects.exists()


def test_the_move_holds_the_rules_alone_and_marking_does_not(own_database: Any) -> None:
    """Batches must not wait while everybody's figure is looked at."""
    shop = ten_people()
    live("top", TOP)
    shop.send(buy("u8", 500), buy("u7", 500))
    process_all()
    wanted, known = leaf(TOP), catalog()
    found = percentiles.percentile(wanted, known, as_of=timezone.now())
    thresholds.move(stored(), found, as_of=timezone.now())
    marked, done = Signal(), Signal()

    def marking() -> None:
        with transaction.atomic():
            thresholds.mark(stored(), wanted, known)
            marked.set()
            assert done.wait(30)

    def batch() -> None:
        assert marked.wait(30)
        with transaction.atomic():
            rules_lock(exclusive=False)
            assert process_batch() is not None
        done.set()

    with crew(2) as threads:
        threads.race([marking, batch])
