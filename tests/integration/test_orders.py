"""Orders: of what was said of one order only the newest word counts, in whatever order and batches it arrives."""

import itertools
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cdp.identity.merging import merge_profiles, undo_merge
from cdp.pipeline import process_batch
from cdp.profiles import catalogue
from cdp.profiles.models import Event, EventName, Profile
from segments.models import Segment
from tests.factories import BY, Call, Tracker, live, members, performed, person, process_all, track, tracker
from tests.integration.books import assert_books_balance


@pytest.fixture
def shop(db: None) -> Tracker:
    # Rules may only name events that have been seen.
    EventName.objects.create(name="Order Completed", label="Order Completed")
    return tracker()


def order(order_id: Any, revenue: Any, *, minutes_ago: int = 1, user: str = "ann", event: str = "Order Completed", **more: Any) -> Call:  # fmt: skip
    properties = {"order_id": order_id, "revenue": revenue, **more}
    return track(event, user, ago=timedelta(minutes=minutes_ago), properties=properties)


def totals(user: str = "ann") -> dict[str, tuple[int, Decimal]]:
    """Event name -> how many count, and what they sum to."""
    rows = person(user).event_totals.values_list("name__name", "count", "value_sum")
    return {name: (count, value) for name, count, value in rows}


def completed(user: str = "ann") -> tuple[int, Decimal] | None:
    return totals(user).get("Order Completed")


@pytest.mark.parametrize("batching", ["together", "apart"])
def test_an_order_told_again_replaces_what_was_told_before_in_any_order(shop: Tracker, batching: str) -> None:
    live("spent-100", {"performed": "Order Completed", "measure": "sum", "op": "gte", "value": 100})
    live("spent-100-lately", {"performed": "Order Completed", "measure": "sum", "op": "gte", "value": 100, "within": {"days": 1}})  # fmt: skip
    live("ordered-once", {"performed": "Order Completed", "op": "equals", "value": 1})
    words = [order("o1", 60, minutes_ago=30), order("o1", 70, minutes_ago=20), order("o1", 80, minutes_ago=10)]
    for arrival in itertools.permutations(words):
        with transaction.atomic():
            for word in arrival:
                shop.send(word)
                if batching == "apart":
                    process_all()
            process_all()
            assert completed() == (1, 80)
            assert members_of("spent-100") == members_of("spent-100-lately") == set()
            assert members_of("ordered-once") == {"ann"}
            assert Event.objects.count() == 3, "the history stays"
            assert_books_balance()
            transaction.set_rollback(True)
        catalogue.forget()


def members_of(key: str) -> set[str]:
    return members(Segment.objects.get(key=key))


def test_at_one_moment_the_greater_message_id_is_the_newer_version(shop: Tracker) -> None:
    first, second = order("o1", 10), order("o1", 20)
    second["timestamp"] = first["timestamp"]
    shop.send(first | {"messageId": "b"}, second | {"messageId": "a"})
    process_all()
    assert completed() == (1, 10)


def test_a_replaced_order_takes_people_out_of_segments_and_its_moment_with_it(shop: Tracker) -> None:
    big = live("big", {"performed": "Order Completed", "measure": "sum", "op": "gt", "value": 50})
    shop.send(order("o1", 100, minutes_ago=60))
    process_all()
    assert members(big) == {"ann"}
    shop.send(order("o1", 5, minutes_ago=30))
    process_all()
    assert members(big) == set()
    total = person("ann").event_totals.get(name__name="Order Completed")
    assert total.first_at == total.last_at == Event.objects.get(name_id__gt=0).occurred_at
    assert_books_balance()


def test_an_updated_order_stays_completed_and_is_worth_what_the_update_says(shop: Tracker) -> None:
    buyers = live("buyers", performed("Order Completed"))
    shop.send(order("o1", 30, minutes_ago=50, event="Order Updated"))
    process_all()
    assert (completed(), totals()["Order Updated"]) == (None, (1, 30)), "not bought yet"
    shop.send(order("o1", 40, minutes_ago=40))
    process_all()
    assert (completed(), totals().get("Order Updated")) == ((1, 40), None)
    shop.send(order("o1", 55, minutes_ago=20, event="Order Updated"))
    process_all()
    assert (completed(), totals()["Order Updated"]) == ((1, 55), (1, 55))
    assert members(buyers) == {"ann"}
    assert_books_balance()


def test_orders_with_other_ids_or_other_people_add_up(shop: Tracker) -> None:
    shop.send(order("o1", 10), order("o2", 20), order("o1", 40, user="bob"))
    process_all()
    assert (completed(), completed("bob")) == ((2, 30), (1, 40))


def test_a_number_and_its_text_are_one_order_id(shop: Tracker) -> None:
    shop.send(order(17, 10, minutes_ago=9), order("17", 20, minutes_ago=5), order(" 17 ", 30))
    process_all()
    assert completed() == (1, 30)


@pytest.mark.parametrize("order_id", [None, "", True, 1.5, ["o1"], {"id": 1}, "x" * 201])
def test_orders_without_a_usable_id_count_each(shop: Tracker, order_id: Any) -> None:
    shop.send(order(order_id, 10), order(order_id, 20))
    process_all()
    assert completed() == (2, 30)
    flagged = {tuple(flags or ()) for flags in Event.objects.values_list("flags", flat=True)}
    assert flagged == ({()} if order_id is None else {("order_id_unusable",)})
    assert_books_balance()


def test_the_order_of_two_profiles_is_one_once_they_are_merged_and_two_again_once_parted(shop: Tracker) -> None:
    buyers = live("twice", {"performed": "Order Completed", "op": "equals", "value": 2})
    shop.send(order("o1", 10, minutes_ago=30), order("o2", 1), order("o1", 25, minutes_ago=10, user="bob"))
    process_all()
    assert (completed(), completed("bob")) == ((2, 11), (1, 25))
    merge = merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="asked on the phone", by=BY)
    process_all()
    assert completed() == (2, 26)
    assert_books_balance()
    undo_merge(merge=merge, by=BY)
    process_all()
    assert (completed(), completed("bob")) == ((2, 11), (1, 25))
    assert members(buyers) == {"ann"}
    assert_books_balance()


def test_an_order_of_a_visitor_told_again_after_log_in_is_one(shop: Tracker) -> None:
    shop.send(track("Order Completed", anonymousId="x", ago=timedelta(minutes=9), properties={"order_id": "o1", "revenue": 10}))  # fmt: skip
    shop.send(order("o1", 12))
    process_all()
    shop.send(track("Signed In", "ann", anonymousId="x"))
    process_all()
    assert Profile.objects.count() == 1 and completed() == (1, 12)
    assert_books_balance()


def test_the_timeline_tells_of_the_superseded_version(shop: Tracker, client: Client) -> None:
    shop.send(order("o1", 60, minutes_ago=30), order("o1", 70, minutes_ago=5))
    process_all()
    client.force_login(User.objects.create_superuser("root"))
    name = catalogue.known_event_names()["Order Completed"]
    url = reverse("admin:profiles_profile_detail", kwargs={"uuid": person("ann").uuid})
    for address in (url, f"{url}?kind={name}"):
        page = client.get(address).content.decode()
        assert "60.00, superseded" in page and "70.00" in page and "70.00, superseded" not in page


def test_settling_takes_the_same_number_of_statements_however_many_orders(shop: Tracker) -> None:
    counts = []
    for size in (3, 150):
        shop.send(*(order(f"s{size}", n, minutes_ago=n + 1, user=f"u{size}-{n // 2}") for n in range(size)))
        with CaptureQueriesContext(connection) as queries:
            process_batch()
        counts.append(len(queries))
    assert counts[1] <= counts[0]


def test_events_without_an_order_ask_nothing_of_orders(shop: Tracker) -> None:
    shop.send(track("Looked", "ann", properties={"order_id": "o1", "products": [{"sku": "a"}]}))
    with CaptureQueriesContext(connection) as queries:
        process_batch()
    assert not [query for query in queries.captured_queries if "order_key = ANY" in query["sql"]]
