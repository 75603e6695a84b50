"""The figures of fields: what they come to, whom they leave out, and that nobody is found in them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.jobs.models import Job, JobState
from cdp.jobs.services import JobCancelled, cancel
from cdp.profiles.models import Profile, Trait
from cdp.profiles.score_services import Scored, add_scores, publish_run, start_run
from consent.models import Decision
from segments.catalogue import catalog
from segments.fields import figures, measuring
from segments.fields.counting import Query, distributions
from segments.fields.distributions import Distribution, Scale, rank
from segments.fields.figures import distribution_of
from segments.fields.measuring import Measured, measure, request_due_measurement
from segments.fields.models import FieldKind, FieldStatistics
from segments.lists import add_people, create_list
from segments.moments import moment_of_judgement
from segments.rules import Performed, load
from segments.tasks import measure_fields
from tests.factories import BY, Tracker, identify, person, process_all, rule, track, tracker
from tests.integration.callers import decide

pytestmark = pytest.mark.django_db

PEOPLE = 20


def taken() -> Measured:
    return measure(progress=lambda done, total, phase: None)


def row(kind: FieldKind, key: str, event: str = "") -> FieldStatistics:
    return FieldStatistics.objects.get(kind=kind, key=key, event=event)


def lies(found: FieldStatistics) -> Distribution:
    assert found.distribution is not None
    return Distribution.from_json(found.distribution)


@pytest.fixture
def shop() -> Tracker:
    """Twenty people: all have points, half a city, one a city of their own; each bought once for their number times ten."""
    source = tracker()
    for number in range(1, PEOPLE + 1):
        traits: dict[str, Any] = {
            "points": number,
            "email": f"u{number}@example.com",
            "joined": f"2024-{1 + number % 12:02}-03",
            "likes": ["Tea", "Cake"] if number % 2 else ["tea"],
            "is_member": number % 4 == 0,
        }
        if number <= PEOPLE // 2:
            traits["city"] = "Graz" if number > 3 else "GRAZ"
        elif number == PEOPLE:
            traits["city"] = "Hermitage"
        source.send(
            identify(f"u{number}", traits=traits),
            track(
                "Bought",
                f"u{number}",
                properties={
                    "price": number * 10,
                    "revenue": number * 10,
                    "currency": "USD",
                    "colour": "red" if number % 2 else "blue",
                    "note": f"for u{number}",
                    "phone": "5550100",
                    f"id-{number}": True,
                },
            ),
        )
    process_all()
    return source


# ---- What they come to -------------------------------------------------------------------------------------------


def test_traits_have_a_fill_a_distribution_or_common_values(shop: Tracker) -> None:
    assert taken().left == 0
    points = row(FieldKind.TRAIT, "points")
    assert (points.filled, points.of, points.sources) == (PEOPLE, PEOPLE, [[shop.source_id, PEOPLE]])
    assert (lies(points).people, lies(points).at(50), sum(lies(points).counts)) == (PEOPLE, 10, PEOPLE)
    city = row(FieldKind.TRAIT, "city")
    assert (city.filled, city.distinct, city.top) == (11, 2, [["Graz", 10]])
    assert row(FieldKind.TRAIT, "likes").top == [["tea", 20], ["cake", 10]]
    assert row(FieldKind.TRAIT, "is_member").top == [["false", 15], ["true", 5]]
    joined = lies(row(FieldKind.TRAIT, "joined"))
    assert (joined.scale, joined.period, sum(joined.counts)) == (Scale.DATE, "week", PEOPLE)


def test_events_have_their_last_thirty_days_and_their_properties(shop: Tracker) -> None:
    shop.send(track("Bought", "u1", properties={"price": 1}, ago=timedelta(days=40)))
    process_all()
    taken()
    bought = row(FieldKind.EVENT, "Bought")
    assert (bought.occurrences, bought.filled, bought.of) == (PEOPLE, PEOPLE, PEOPLE)
    assert bought.last_seen_at is not None and bought.last_seen_at.minute == bought.last_seen_at.second == 0
    price = row(FieldKind.PROPERTY, "price", "Bought")
    assert (price.type, price.filled, price.people, lies(price).at(50)) == ("number", PEOPLE, PEOPLE, 100)
    assert row(FieldKind.PROPERTY, "colour", "Bought").top == [["blue", 10], ["red", 10]]


def test_the_value_of_events_is_counted_in_the_reporting_currency(db: None) -> None:
    source = tracker()
    source.send(
        *(
            track(
                "Order Completed",
                f"u{number}",
                properties={"order_id": f"o{number}", "revenue": number, "currency": "USD"},
            )
            for number in range(1, 31)
        )
    )
    process_all()
    taken()
    assert lies(row(FieldKind.EVENT, "Order Completed")).at(50) == 15


def test_scores_lists_and_permissions_are_counted(shop: Tracker) -> None:
    run = start_run(kind="rfm", version="1", by=BY)
    people = [person(f"u{number}") for number in range(1, 13)]
    add_scores(
        run=run,
        scores=[Scored(one.pk, "total", Decimal(n), "good" if n < 9 else "rare") for n, one in enumerate(people)],
    )
    publish_run(run=run, by=BY)
    some = create_list(name="Some", by=BY)
    add_people(static_list=some, profile_ids=[one.pk for one in people[:3]], by=BY)
    decide("u1", "marketing_email", Decision.GRANTED)
    taken()
    total = row(FieldKind.SCORE, "rfm.total")
    assert (total.filled, total.top, lies(total).people) == (12, [["good", 9]], 12)
    assert row(FieldKind.LIST, some.key).filled == 3
    assert row(FieldKind.PURPOSE, "marketing_email").filled == 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.decimals(min_value=-9999, max_value=10**9, places=4), min_size=10, max_size=60))
def test_the_database_gives_the_percentiles_and_bins_that_python_does(figures: list[Decimal]) -> None:
    source = Query(
        sql="SELECT '' AS key, unnest(%(figures)s::numeric[]) AS figure", params={"figures": list(map(str, figures))}
    )
    found, ordered = distributions(source)[""], sorted(figures)
    assert list(found.quantiles) == [ordered[rank(percent, len(ordered)) - 1] for percent in range(101)]
    for one in found.bins:
        expected = [f for f in figures if (one.low is None or f >= one.low) and (one.high is None or f < one.high)]
        assert one.people == len(expected)


# ---- Whom they leave out -----------------------------------------------------------------------------------------


def test_who_does_not_permit_being_analysed_is_in_no_figure(shop: Tracker) -> None:
    for number in range(1, 6):
        decide(f"u{number}", "internal_analysis", Decision.DENIED)
    taken()
    points = row(FieldKind.TRAIT, "points")
    assert (points.filled, points.of, lies(points).people) == (15, 15, 15)
    assert row(FieldKind.TRAIT, "city").top == [["Graz", 5]]
    assert row(FieldKind.EVENT, "Bought").occurrences == 15


def test_personal_fields_are_counted_and_no_more(shop: Tracker) -> None:
    Trait.objects.filter(key="points").update(is_pii=True)
    taken()
    for key in ("email", "points"):
        found = row(FieldKind.TRAIT, key)
        assert (found.filled, found.top, found.distribution, found.distinct) == (PEOPLE, [], None, None)
    phone = row(FieldKind.PROPERTY, "phone", "Bought")
    assert (phone.filled, phone.top, phone.distinct) == (PEOPLE, [], None)


def test_nothing_stands_for_fewer_than_five(shop: Tracker) -> None:
    taken()
    kept = str(list(FieldStatistics.objects.values()))
    assert "Hermitage" not in kept and "for u1" not in kept and "id-1" not in kept and "example.com" not in kept
    # The four who have most, and the four who have least, are in no percentile.
    points = lies(row(FieldKind.TRAIT, "points"))
    assert (points.at(0), points.at(100)) == (5, 16)


def test_an_address_is_no_common_value_however_many_have_it(db: None) -> None:
    tracker().send(*(identify(f"u{n}", traits={"contact": "info@example.com"}) for n in range(8)))
    process_all()
    Trait.objects.filter(key="contact").update(is_pii=False, type="text")
    taken()
    found = row(FieldKind.TRAIT, "contact")
    assert (found.top, found.distinct) == ([], 1)


def test_of_few_people_there_is_no_distribution(db: None) -> None:
    tracker().send(*(identify(f"u{n}", traits={"points": n}) for n in range(9)))
    process_all()
    taken()
    found = lies(row(FieldKind.TRAIT, "points"))
    assert (found.people, found.is_shown, found.quantiles) == (9, False, ())


# ---- The job -----------------------------------------------------------------------------------------------------


def test_a_run_takes_the_place_of_the_one_before_and_forgets_what_is_gone(shop: Tracker) -> None:
    taken()
    before = set(FieldStatistics.objects.values_list("kind", "event", "key"))
    FieldStatistics.objects.create(kind=FieldKind.SCORE, key="old.score", filled=1, of=2, as_of=timezone.now())
    FieldStatistics.objects.update(computed_at=timezone.now() - timedelta(days=1))
    assert taken().forgotten == 1
    assert set(FieldStatistics.objects.values_list("kind", "event", "key")) == before


def test_it_is_asked_for_once_a_night_and_again_after_a_failure(shop: Tracker) -> None:
    job = request_due_measurement()
    assert job is not None and request_due_measurement() is None
    measure_fields(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result["left"], job.done) == (JobState.SUCCEEDED, 0, job.total)
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(days=2))
    again = request_due_measurement()
    assert again is not None
    Job.objects.filter(pk=again.pk).update(state=JobState.FAILED)
    assert request_due_measurement() is None
    Job.objects.filter(pk=again.pk).update(created_at=timezone.now() - timedelta(minutes=11))
    assert request_due_measurement() is not None


def test_of_nobody_nothing_is_asked_for(db: None) -> None:
    assert request_due_measurement() is None
    assert taken().left == 0


def test_it_can_be_stopped_and_leaves_whole_rows(shop: Tracker) -> None:
    def stop(done: int, total: int, phase: str) -> None:
        if done == 2:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        measure(progress=stop)
    assert FieldStatistics.objects.count() == 2
    job = measuring.request_measurement(by=BY)
    cancel(job=job, by=BY)
    measure_fields(job.pk)
    assert FieldStatistics.objects.count() == 2


def test_what_takes_too_long_is_left_as_it_was(shop: Tracker, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    taken()
    FieldStatistics.objects.update(computed_at=timezone.now() - timedelta(days=1))
    settings.LOOK_SECONDS = 0.5
    slow = measuring.NUMBERS.replace("v.number AS figure", "v.number AS figure, pg_sleep(1)")
    monkeypatch.setattr(measuring, "NUMBERS", slow)
    done = taken()
    assert (done.left, done.forgotten) == (1, 0)
    assert row(FieldKind.TRAIT, "points").computed_at < timezone.now() - timedelta(hours=1)
    assert row(FieldKind.TRAIT, "city").computed_at > timezone.now() - timedelta(hours=1)


def test_more_people_are_no_more_queries(shop: Tracker) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            taken()
        return len(captured)

    few = queries()
    shop.send(*(identify(f"v{n}", traits={"points": n}) for n in range(30)))
    process_all()
    assert queries() == few


# ---- Figures that are asked for ----------------------------------------------------------------------------------

SPENT = {"performed": "Bought", "measure": "sum", "of": "price", "within": {"days": 30}, "op": "gt", "value": 5}


@pytest.fixture
def no_cache() -> Callable[[], None]:
    cache.clear()
    return cache.clear


def figure(condition: dict[str, Any] = SPENT) -> Performed:
    found = load(rule(condition), catalog())
    assert isinstance(found, Performed)
    return found


def asked(condition: dict[str, Any] = SPENT) -> Distribution:
    found = distribution_of(figure(condition), catalog(), moment_of_judgement())
    assert found is not None
    return found


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize(
    ("condition", "median"),
    [
        (SPENT, 100),
        ({"performed": "Bought", "op": "gte", "value": 1}, 1),
        ({"performed": "Bought", "measure": "average", "of": "price", "op": "gt", "value": 1}, 100),
        ({"performed": "Bought", "measure": "distinct", "of": "colour", "op": "gt", "value": 1}, 1),
        ({"performed": "Bought", "per": "week", "within": {"days": 14}, "op": "gt", "value": 1}, Decimal("0.5")),
    ],
)
def test_a_figure_lies_alike_of_everybody_and_of_a_sample_that_has_them_all(
    shop: Tracker, condition: dict[str, Any], median: Decimal, monkeypatch: pytest.MonkeyPatch, no_cache: Any
) -> None:
    found = asked(condition)
    assert (found.people, found.at(50), found.sampled) == (PEOPLE, median, None)
    no_cache()
    monkeypatch.setattr(figures, "CHEAP", 0)
    sampled = asked(condition)
    assert (sampled.sampled, sampled.quantiles, sampled.counts) == (10_000, found.quantiles, found.counts)


@pytest.mark.usefixtures("no_cache")
def test_a_figure_leaves_out_who_objects_and_is_of_nobody_where_nobody_has_it(shop: Tracker) -> None:
    decide("u7", "internal_analysis", Decision.DENIED)
    assert asked().people == PEOPLE - 1
    nobody = asked(SPENT | {"where": [{"property": "colour", "op": "equals", "value": "green"}]})
    assert (nobody.people, nobody.is_shown) == (0, False)


@pytest.mark.usefixtures("no_cache")
def test_a_figure_is_kept_for_minutes_whatever_it_is_compared_with(shop: Tracker) -> None:
    asked()
    shop.send(track("Bought", "u99", properties={"price": 5}))
    process_all()
    assert asked(SPENT | {"value": 99, "op": "lt"}).people == PEOPLE


@pytest.mark.usefixtures("no_cache")
def test_a_figure_that_takes_too_long_is_told_of_nobody(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "SECONDS", 0.2)
    monkeypatch.setattr(figures, "OF_WHOM", figures.OF_WHOM.replace("figure FROM", "figure, pg_sleep(0.1) FROM"))
    assert distribution_of(figure(), catalog(), moment_of_judgement()) is None
    assert Profile.objects.exists(), "the transaction goes on"


def test_a_date_has_no_place_among_figures(shop: Tracker) -> None:
    last = figure({"performed": "Bought", "measure": "last_at", "op": "after", "value": "2024-01-01"})
    with pytest.raises(ValueError, match="numbers"):
        distribution_of(last, catalog(), datetime.now(UTC))
