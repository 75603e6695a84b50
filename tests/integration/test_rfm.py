"""A run of RFM on people who came through the pipeline: who is in, what is said of them, what changes with the next run, and that
nothing is seen of a run that didn't end."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.erasure import erase_profile
from cdp.errors import DomainError, DomainErrors
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import JobCancelled
from cdp.privacy.dossier import SCORE_HISTORY, Whose, rows_of
from cdp.profiles.models import Score, ScoreRun
from cdp.profiles.score_services import scores_of
from consent.models import StopKind
from consent.stops import stop
from segments.analytics.rfm import Cuts, Cutting, Scheme, Weights
from segments.analytics.rfm_groups import DEFAULT_GROUPS, DEFAULT_SCHEME
from segments.rfm import services
from segments.rfm.history import movers
from segments.rfm.models import RfmMove, RfmRun
from segments.rfm.running import PHASES, Ran, run
from segments.rfm.services import change_settings, request_due_run, request_run, segment_rule_for
from segments.tasks import run_rfm
from tests.factories import BY, identify, live, members, person, process_all, track, tracker

pytestmark = pytest.mark.django_db
NAMES = ("ann", "bob", "cyd", "dee", "eve", "fay", "gus", "hal", "ida", "jon")
# By name: days since the last order, orders, what each brought. Nobody but three bought twice.
BOUGHT: dict[str, tuple[int, int, float]] = {
    "ann": (1, 6, 90.0),
    "bob": (5, 3, 40.0),
    "cyd": (9, 2, 30.0),
    "dee": (20, 1, 10.0),
    "eve": (40, 1, 20.0),
    "fay": (60, 1, 20.0),
    "gus": (80, 1, 20.0),
    "hal": (120, 1, 50.0),
    "ida": (200, 1, 5.0),
    "jon": (300, 1, 200.0),
}


def ordered(user: str, number: int, days: float, revenue: float | None, **more: Any) -> dict[str, Any]:
    said = (
        {"order_id": f"{user}-{number}", "currency": "USD"} | ({} if revenue is None else {"revenue": revenue}) | more
    )
    return track("Order Completed", user, ago=timedelta(days=days, hours=1), properties=said)


def orders_of(user: str, days: int, count: int, revenue: float) -> list[dict[str, Any]]:
    return [ordered(user, number, days + number, revenue) for number in range(count)]


@pytest.fixture
def shop(db: None) -> None:
    tracker().send(*(one for user, bought in BOUGHT.items() for one in orders_of(user, *bought)))
    process_all()


def still(done: int, total: int, phase: str) -> None:
    assert 0 <= done <= total == PHASES


def made(progress: Callable[[int, int, str], None] = still) -> RfmRun:
    """A run, asked for and made."""
    asked = request_run(by=BY)
    run(rfm=asked, progress=progress)
    Job.objects.filter(pk=asked.job_id).update(state=JobState.SUCCEEDED)
    asked.refresh_from_db()
    return asked


def said_of(user: str) -> tuple[Any, ...]:
    """R, F, M, FM, the weighted score and the group that rules read."""
    found = scores_of(person(user))
    numbers = [found[f"rfm.{key}"]["number"] for key in ("recency", "frequency", "monetary", "fm", "group")]
    return (*numbers, found["rfm.group"]["label"])


def test_people_who_did_the_same_have_the_same_scores(shop: None) -> None:
    found = made()

    # Worked by hand. Of ten people the cuts are the 2nd, 4th, 6th and 8th of each measure in order:
    # days 1 5 9 20 40 60 80 120 200 300; orders 1 1 1 1 1 1 1 2 3 6; amounts 5 10 20 20 20 50 60 120 200 540.
    thresholds = found.as_thresholds
    assert thresholds is not None
    assert thresholds.recency == (5, 20, 60, 120)
    assert thresholds.frequency == (1, 1, 1, 2)
    assert thresholds.monetary == (10, 20, 50, 120)
    assert said_of("ann") == (5, 5, 5, 5, 5, "Champions")
    assert said_of("bob") == (5, 5, 4, 5, Decimal("4.6667"), "Champions")
    assert said_of("cyd") == (4, 4, 4, 4, 4, "Champions")
    assert said_of("dee") == (4, 1, 1, 1, 2, "Promising")
    # Three spent 20 each: one score of money, though a fifth of ten people is two.
    assert [said_of(user)[2] for user in ("eve", "fay", "gus")] == [2, 2, 2]
    assert said_of("hal") == (2, 1, 3, 2, 2, "Need attention")
    assert said_of("jon") == (1, 1, 5, 3, Decimal("2.3333"), "Hibernating")

    assert (found.people, found.orders, found.unpriced_orders) == (10, 18, 0)
    assert found.revenue == 540 + 120 + 60 + 10 + 60 + 50 + 5 + 200
    assert sum(cell["people"] for cell in found.cells) == 10 and len(found.cells) == 25
    corner = next(cell for cell in found.cells if (cell["r"], cell["fm"]) == (5, 5))
    assert corner == {
        "r": 5, "fm": 5, "group": "Champions", "people": 2, "orders": 9, "revenue": "660.0000", "recency_days": 6
    }  # fmt: skip
    champions = found.groups[0]
    assert champions["name"] == "Champions" and champions["people"] == 3
    assert champions["recency_mean"] == 5 and champions["frequency_mean"] == pytest.approx(11 / 3)
    assert champions["monetary_mean"] == pytest.approx(240)
    assert [group["name"] for group in found.groups] == [row.name for row in DEFAULT_GROUPS]
    # Nothing that is drawn stands for fewer than five people.
    assert all(count == 0 or count >= 5 for spread in found.as_spreads for count in spread.counts)
    assert all(sum(spread.counts) == 10 for spread in found.as_spreads)
    assert any("Only 3 of 5 scores of frequency" in note for note in found.notes)
    assert any("One person brings" in note for note in found.notes)
    assert found.state == "published" and RfmRun.objects.current() == found


def test_rules_find_exactly_the_people_of_a_cell_and_of_a_group(shop: None) -> None:
    found = made()
    corner = live("corner", {k: v for k, v in segment_rule_for(cells=[(5, 5)]).items() if k != "version"})
    assert members(corner) == {"ann", "bob"}
    several = live("several", segment_rule_for(cells=[(5, 5), (4, 4), (4, 1)]))
    assert members(several) == {"ann", "bob", "cyd", "dee"}
    for cell in found.cells:
        there = {user for user in BOUGHT if said_of(user)[0] == cell["r"] and said_of(user)[3] == cell["fm"]}
        assert len(there) == cell["people"]
    champions = live("champions", segment_rule_for(group="Champions"))
    assert members(champions) == {"ann", "bob", "cyd"}
    assert members(
        live("everybody", segment_rule_for(cells=[(r, fm) for r in range(1, 6) for fm in range(1, 6)]))
    ) == set(BOUGHT)
    with pytest.raises(DomainError, match="1 to 5"):
        segment_rule_for(cells=[(6, 1)])

    # Cyd buys no more, and the three who bought once buy a lot: with the next run members follow.
    tracker().send(*(one for user in ("eve", "fay", "gus") for one in orders_of(f"{user}", 0, 9, 500.0)))
    process_all()
    assert members(champions) == {"ann", "bob", "cyd"}
    made()
    process_all()
    assert {"eve", "fay", "gus"} <= members(champions) and "cyd" not in members(champions)


def test_the_next_run_tells_who_moved_and_how_thresholds_drifted(shop: None) -> None:
    first = made()
    assert first.flows == [] and first.drift == [] and first.previous is None
    tracker().send(*orders_of("hal", 0, 9, 500.0), *orders_of("kim", 0, 1, 1.0))
    process_all()
    second = made()

    assert second.previous == first and second.is_same_scheme
    flows = {(one["before"], one["after"]): one["people"] for one in second.flows}
    assert flows["Need attention", "Champions"] >= 1  # hal
    assert sum(people for (before, _), people in flows.items() if before == "") == 1  # kim
    assert sum(flows.values()) == 11
    moved = {(move.profile_id, move.before, move.after) for move in movers(second)}
    assert (person("hal").pk, "Need attention", "Champions") in moved
    assert all(before != after for _, before, after in moved)
    assert len(moved) == sum(people for (before, after), people in flows.items() if before != after)
    assert [move.profile_id for move in movers(second, before="", after=said_of("kim")[-1])] == [person("kim").pk]
    drifted = {(one.measure.value, one.cut): (one.before, one.after) for one in second.as_drift}
    assert len(drifted) == 12 and drifted["frequency", 4][0] == 2

    told = list(rows_of(SCORE_HISTORY, Whose(ids=[person("hal").pk], uuids=[])))
    assert [(one["before"], one["after"]) for one in told] == [("Need attention", "Champions")]

    # Whoever objects since is nobody's mover, and whoever is erased is in no row.
    stop(profile=person("hal"), kind=StopKind.PROFILING, by=BY)
    assert person("hal").pk not in {move.profile_id for move in movers(second)}
    gone = person("kim").pk
    erase_profile(profile=person("kim"), by=BY, reason="asked")
    assert not RfmMove.objects.filter(profile_id=gone).exists()

    change_settings(by=BY, scheme=Scheme(window_days=100, groups=DEFAULT_GROUPS))
    third = made()
    assert not third.is_same_scheme
    assert "jon" not in {user for user in BOUGHT if scores_of(person(user))}
    assert ScoreRun.objects.filter(kind="rfm").count() == 2  # the one that is read, and the one before


def test_who_objects_is_left_out_and_who_was_in_is_out(shop: None) -> None:
    made()
    assert said_of("ann")[-1] == "Champions"
    stop(profile=person("ann"), kind=StopKind.PROFILING, by=BY)
    stop(profile=person("bob"), kind=StopKind.RESTRICTION, by=BY)
    second = made()
    assert second.people == 8
    scored = set(Score.objects.filter(run_id=second.score_run_id).values_list("profile_id", flat=True))
    assert scored == {person(user).pk for user in BOUGHT if user not in ("ann", "bob")}
    assert not {person("ann").pk, person("bob").pk} & {move.profile_id for move in second.moves.all()}


class Killed(BaseException):
    """As a worker's end: nothing is tidied up."""


@pytest.mark.parametrize("phase", range(PHASES))
def test_a_run_that_is_killed_anywhere_leaves_the_one_before_and_is_made_once(shop: None, phase: int) -> None:
    first = made()
    before = {user: said_of(user) for user in BOUGHT}
    tracker().send(*orders_of("hal", 0, 9, 500.0))
    process_all()

    def kill(done: int, total: int, what: str) -> None:
        if done == phase:
            raise Killed

    asked = request_run(by=BY)
    with pytest.raises(Killed):
        run(rfm=asked, progress=kill)
    assert {user: said_of(user) for user in BOUGHT} == before
    assert RfmRun.objects.current() == first

    ran = run(rfm=asked, progress=still)
    asked.refresh_from_db()
    assert RfmRun.objects.current() == asked and said_of("hal")[-1] == "Champions"
    assert ScoreRun.objects.filter(kind="rfm").count() == 2
    assert Score.objects.filter(run_id=asked.score_run_id).count() == 5 * 10
    assert ran.moved == asked.moves.count() > 0
    assert run(rfm=asked, progress=still) == Ran(people=10, moved=ran.moved, people_changed=0)
    assert AuditEntry.objects.filter(action="rfm.published").count() == 2


def test_a_cancelled_run_leaves_nothing(shop: None) -> None:
    def cancelled(done: int, total: int, what: str) -> None:
        if done == 6:
            raise JobCancelled

    asked = request_run(by=BY)
    with pytest.raises(JobCancelled):
        run(rfm=asked, progress=cancelled)
    assert not ScoreRun.objects.exists() and not Score.objects.exists()
    assert RfmRun.objects.current() is None


# ---- What can't be scored, and what is to be known -----------------------------------------------------------------


def test_too_few_to_score_is_said_in_a_sentence(db: None) -> None:
    def problem() -> tuple[str, str]:
        asked = request_run(by=BY)
        run_rfm.apply(args=[asked.job_id])
        asked.refresh_from_db()
        assert asked.job is not None and asked.state == "failed" and asked.job.state == JobState.FAILED
        return asked.job.error_code, asked.problem

    code, said = problem()
    assert code == "nobody_bought" and said.startswith("Nobody bought in the 365 days before")
    tracker().send(*(ordered(user, 1, 3, 10.0) for user in NAMES[:4]), ordered("old", 1, 400, 10.0))
    process_all()
    code, said = problem()
    assert code == "too_few_buyers" and said.startswith("Only 4 people bought in the 365 days")
    tracker().send(*(ordered(user, 1, 3, 10.0) for user in NAMES[4:]))
    process_all()
    for user in NAMES[:6]:
        stop(profile=person(user), kind=StopKind.PROFILING, by=BY)
    code, said = problem()
    assert code == "too_few_permit" and "10 people bought" in said and "only 4 of them permit" in said


def test_equal_people_have_one_score_and_a_note_says_so(db: None) -> None:
    tracker().send(*(ordered(user, 1, 3, 10.0) for user in NAMES))
    process_all()
    found = made()
    assert {said_of(user) for user in NAMES} == {(5, 1, 1, 1, Decimal("2.3333"), "New")}
    assert [note.split(",")[0] for note in found.notes] == [
        "Everybody's last order lies equally long ago",
        "Everybody bought equally often",
        "Everybody brought the same amount",
    ]


def test_refunds_and_amounts_without_a_rate_are_told(db: None) -> None:
    calls = [ordered(user, 1, 3, 10.0) for user in NAMES]
    calls.append(ordered("ann", 2, 2, 99.0, currency="XAU"))
    refund = {"order_id": "bob-1", "revenue": 110.0, "currency": "USD"}
    calls.append(track("Order Refunded", "bob", ago=timedelta(days=1), properties=refund))
    tracker().send(*calls)
    process_all()
    found = made()
    assert found.unpriced_orders == 1 and found.orders == 11 and said_of("ann")[:2] == (5, 5)
    assert found.revenue == -10 and said_of("bob")[2] == 1
    assert any(note.startswith("1 of 11 orders have no amount in USD") for note in found.notes)
    assert any(note.startswith("1 of 10 people brought nothing, or less") for note in found.notes)
    assert any("no shares of revenue" in note for note in found.notes)


def test_fixed_thresholds_and_weights_hold(shop: None) -> None:
    scheme = Scheme(
        window_days=365,
        groups=DEFAULT_GROUPS,
        recency=Cuts(how=Cutting.FIXED, values=(Decimal(30), Decimal(60), Decimal(90), Decimal(180))),
        monetary=Cuts(how=Cutting.FIXED, values=tuple(map(Decimal, ("10", "20", "50.5", "100")))),
        weights=Weights(recency=Decimal(0), frequency=Decimal(0), monetary=Decimal("2.5")),
    )
    change_settings(by=BY, scheme=scheme)
    found = made()
    assert found.as_scheme == scheme
    # 60 days is not more than 60, and 10 not more than 10; FM and the weighted score are the monetary score alone.
    assert said_of("fay")[:5] == (4, 1, 2, 2, 2)
    assert said_of("dee")[:5] == (5, 1, 1, 1, 1)
    assert said_of("hal")[:5] == (2, 1, 3, 3, 3)
    assert said_of("jon")[:5] == (1, 1, 5, 5, 5)


# ---- Settings and nights -------------------------------------------------------------------------------------------


def test_settings_are_checked_kept_and_recorded(db: None) -> None:
    told = DEFAULT_SCHEME.as_json()
    told["groups"][0]["r_low"] = 5
    told["window_days"] = 0
    with pytest.raises(DomainErrors) as refused:
        change_settings(by=BY, scheme=services.read_scheme(told))
    assert {one.pointer for one in refused.value.errors} == {"/scheme/window_days"}
    with pytest.raises(DomainError, match="settings of RFM"):
        services.read_scheme({**told, "groups": [{"name": 3}]})
    assert change_settings(by=BY).as_scheme == DEFAULT_SCHEME
    assert not AuditEntry.objects.filter(action="rfm.settings_changed").exists()
    change_settings(by=BY, is_nightly=False)
    entry = AuditEntry.objects.get(action="rfm.settings_changed")
    assert entry.detail == {"before": {"is_nightly": True}, "after": {"is_nightly": False}}


def test_it_is_asked_for_once_a_night_where_somebody_buys(db: None) -> None:
    assert request_due_run() is None
    tracker().send(identify("ann"), ordered("ann", 1, 3, 10.0))
    process_all()
    asked = request_due_run()
    assert asked is not None and request_due_run() is None
    assert request_run(by=BY) == asked, "who asks meanwhile waits for the same run"
    run_rfm.apply(args=[asked.job_id])
    assert request_due_run() is None, "for want of buyers it is not tried again before the next night"
    Job.objects.update(created_at=timezone.now() - timedelta(days=2))
    assert request_due_run() is not None
    change_settings(by=BY, is_nightly=False)
    Job.objects.update(created_at=timezone.now() - timedelta(days=2), state=JobState.SUCCEEDED)
    assert request_due_run() is None
