"""Exchange rates: amounts are converted by the rate of their day, and again when that rate comes late or was wrong."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cdp.audit.models import AuditEntry
from cdp.errors import DomainErrors
from cdp.jobs.models import Job, JobState
from cdp.pipeline import process_batch
from cdp.profiles.models import DirtyProfile, Event, EventName, EventTotal, ExchangeRate
from cdp.profiles.rate_services import Rate, Span, read_rates, set_rates, spans_of
from cdp.profiles.tasks import convert_again
from tests.factories import BY, Call, Tracker, live, members, process_all, track, tracker
from tests.integration.books import assert_books_balance

TODAY = datetime.now(UTC).date()
NOON = datetime.combine(TODAY, datetime.min.time(), UTC) + timedelta(hours=-12)  # of yesterday
YESTERDAY = NOON.date()


@pytest.fixture
def shop(db: None) -> Tracker:
    EventName.objects.create(name="Order Completed", label="Order Completed")
    return tracker()


def bought(
    amount: float, currency: str | None = "EUR", *, days_before: int = 0, user: str = "ann", **more: Any
) -> Call:
    at = (NOON - timedelta(days=days_before)).isoformat()
    return track("Order Completed", user, properties={"revenue": amount, "currency": currency, **more}) | {
        "timestamp": at
    }


def rates(*given: tuple[str, date, str]) -> Job | None:
    """Sets them, and runs the job as the worker would."""
    job = set_rates(rates=[Rate(currency, day, Decimal(rate)) for currency, day, rate in given], by=BY)
    if job:
        convert_again.apply(args=[job.pk]).get()
        job.refresh_from_db()
        process_all()
    return job


def values() -> list[Decimal | None]:
    return list(Event.objects.filter(type=1).order_by("occurred_at", "message_id").values_list("value", flat=True))


@pytest.mark.parametrize(
    ("days_before", "value"), [(0, "11.0000"), (1, "12.0000"), (7, "12.0000"), (9, "12.0000"), (10, None)]
)
def test_the_rate_of_a_day_is_the_newest_on_or_before_it_and_not_too_old(
    shop: Tracker, days_before: int, value: Any
) -> None:
    rates(
        ("EUR", YESTERDAY, "1.1"),
        ("EUR", YESTERDAY - timedelta(days=1), "1.2"),
        ("EUR", YESTERDAY - timedelta(days=9), "1.2"),
    )
    shop.send(bought(10, days_before=days_before))
    process_all()
    assert values() == [value and Decimal(value)]
    assert Event.objects.get(type=1).flags == (None if value else ["no_rate_for_currency"])
    assert_books_balance()


def test_the_reporting_currency_needs_no_rate_and_no_look_at_rates(shop: Tracker) -> None:
    shop.send(bought(10, "USD"), bought(5, None), bought(3, "usd"))
    with CaptureQueriesContext(connection) as queries:
        process_batch()
    assert sorted(values()) == [3, 5, 10]  # type: ignore[type-var]
    assert not [query for query in queries.captured_queries if "exchangerate" in query["sql"]]


def test_many_currencies_and_days_take_one_look(shop: Tracker) -> None:
    shop.send(*(bought(1, ["EUR", "GBP", "XXX", "bad"][n % 4], days_before=n, order_id=f"o{n}") for n in range(40)))
    with CaptureQueriesContext(connection) as queries:
        process_batch()
    assert len([query for query in queries.captured_queries if "exchangerate" in query["sql"]]) == 1


def test_a_rate_that_comes_late_gives_events_their_value_and_people_their_segments(shop: Tracker) -> None:
    spender = live("spender", {"performed": "Order Completed", "measure": "sum", "op": "gte", "value": 100})
    lately = live(
        "lately", {"performed": "Product Purchased", "measure": "sum", "op": "gte", "value": 100, "within": {"days": 9}}
    )
    shop.send(
        bought(100, products=[{"sku": "a", "price": 50, "quantity": 2}], order_id="o1"), bought(100, "GBP", user="bob")
    )
    process_all()
    assert members(spender) == members(lately) == set()
    job = rates(("EUR", YESTERDAY, "1.0842"))
    assert job and (job.state, job.result) == (JobState.SUCCEEDED, {"events": 1})
    assert members(spender) == members(lately) == {"ann"}
    assert EventTotal.objects.get(name__name="Product Purchased").value_sum == Decimal("108.42")
    assert not Event.objects.filter(currency="EUR", flags__isnull=False).exists()
    assert Event.objects.sent().get(currency="GBP").flags == ["no_rate_for_currency"]
    assert_books_balance()


def test_a_corrected_rate_changes_only_what_it_concerns(shop: Tracker) -> None:
    rates(("EUR", YESTERDAY, "2"), ("EUR", YESTERDAY - timedelta(days=2), "4"))
    shop.send(
        bought(1),
        bought(1, days_before=1, user="bob"),
        bought(1, days_before=2, user="bob"),
        bought(1, "USD", user="cyd"),
    )
    process_all()
    assert values() == [4, 4, 2, 1] or values() == [4, 4, 1, 2]
    job = set_rates(rates=[Rate("EUR", YESTERDAY - timedelta(days=2), Decimal(5))], by=BY)
    assert job is not None
    convert_again.apply(args=[job.pk]).get()
    assert len(set(DirtyProfile.objects.values_list("profile_id", flat=True))) == 1
    process_all()
    assert sorted(values()) == [1, 2, 5, 5]  # type: ignore[type-var]
    assert_books_balance()


def test_a_rate_that_was_known_changes_nothing(shop: Tracker) -> None:
    rates(("EUR", YESTERDAY, "2"))
    assert rates(("EUR", YESTERDAY, "2.0000")) is None


def test_the_job_may_run_twice(shop: Tracker) -> None:
    shop.send(bought(1, order_id="o1"), bought(3, order_id="o1", days_before=1))
    process_all()
    job = rates(("EUR", YESTERDAY - timedelta(days=3), "2"))
    assert job and job.result == {"events": 2}
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED)
    convert_again.apply(args=[job.pk]).get()
    job.refresh_from_db()
    assert job.result == {"events": 0}
    assert_books_balance()


def test_days_that_rates_reach_are_visited_once(db: None) -> None:
    def day(number: int) -> date:
        return date(2026, 1, number)

    assert spans_of([("EUR", day(3)), ("GBP", day(2)), ("EUR", day(1)), ("EUR", day(20))]) == [
        Span("EUR", day(1), day(10)),
        Span("EUR", day(20), day(27)),
        Span("GBP", day(2), day(9)),
    ]


# ---- How rates come in ---------------------------------------------------------------------------------------


def test_a_file_is_read_whole_or_not_at_all_and_says_all_that_is_wrong() -> None:
    good = ["day,currency,rate,source", "2026-01-02,eur,1.0842,ecb", "2026-01-03, GBP ,1.25,ecb"]
    assert read_rates(good) == [
        Rate("EUR", date(2026, 1, 2), Decimal("1.0842")),
        Rate("GBP", date(2026, 1, 3), Decimal("1.25")),
    ]
    bad = [
        "EUR,2026-13-01,1",
        "EURO,2026-01-01,1",
        "EUR,2026-01-01,0",
        "EUR,2026-01-01,NaN",
        "EUR,2026-01-01,x",
        "EUR,2026-01-01",
    ]
    with pytest.raises(DomainErrors) as refused:
        read_rates(["currency,day,rate", *bad])
    assert [error.pointer for error in refused.value.errors] == ["/2", "/3", "/4", "/5", "/6", "/7"]


def test_the_command_imports_and_audits(shop: Tracker, tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_text(f"currency,day,rate\nEUR,{YESTERDAY},1.5\nEUR,{TODAY},1.6\n")
    call_command("import_rates", str(file))
    assert ExchangeRate.objects.count() == 2
    assert AuditEntry.objects.get(action="rates.set").detail == {"given": 2, "changed": 2}
    file.write_text("currency,day\n")
    with pytest.raises(CommandError, match="columns currency, day, rate"):
        call_command("import_rates", str(file))


def test_a_rate_is_entered_and_corrected_in_the_console(shop: Tracker, client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    add = reverse("admin:profiles_exchangerate_add")
    assert client.post(add, {"currency": "eur", "day": "2026-01-02", "rate": "1"}).status_code == 200, "capitals"
    assert client.post(add, {"currency": "EUR", "day": "2026-01-02", "rate": "1.1"}).status_code == 302
    rate = ExchangeRate.objects.get()
    change = reverse("admin:profiles_exchangerate_change", args=[rate.pk])
    assert client.post(change, {"rate": "1.2"}).status_code == 302
    rate.refresh_from_db()
    assert rate.rate == Decimal("1.2") and Job.objects.filter(kind="profiles.convert_again").count() == 2
    actions = AuditEntry.objects.filter(actor_label="root", action__contains="rate").values_list("action", flat=True)
    assert sorted(actions) == ["exchangerate.changed", "exchangerate.created", "rates.set", "rates.set"]
    page = client.get(reverse("admin:profiles_exchangerate_changelist")).content.decode()
    assert "EUR" in page and "1.2" in page
    assert (
        client.post(reverse("admin:profiles_exchangerate_delete", args=[rate.pk]), {"post": "yes"}).status_code == 403
    )
