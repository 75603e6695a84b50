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


def order(
    order_id: Any, revenue: Any, *, minutes_ago: int = 1, user: str = "ann", event: str = "Order Completed", **more: Any
) -> Call:
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
    live(
        "spent-100-lately",
        {"performed": "Order Completed", "measure": "sum", "op": "gte", "value": 100, "within": {"days": 1}},
    )
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
            assert Event.objects.sent().count() == 3, "the history stays"
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
    assert total.first_at == total.last_at == Event.objects.sent().get(name_id__gt=0).occurred_at
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
    flagged = {tuple(flags or ()) for flags in Event.objects.sent().values_list("flags", flat=True)}
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
    shop.send(
        track(
            "Order Completed", anonymousId="x", ago=timedelta(minutes=9), properties={"order_id": "o1", "revenue": 10}
        )
    )
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


# ---- Lines ---------------------------------------------------------------------------------------------------


SHOES = {"product_id": "p1", "sku": "S-1", "name": "Boot", "category": "Shoes", "price": 40, "quantity": 2}
BAG = {"product_id": "p2", "category": "Bags", "price": 19.99}


def lines(user: str = "ann") -> list[Event]:
    name = catalogue.known_event_names()["Product Purchased"]
    found = Event.objects.filter(profile_id=person(user).pk, name_id=name)
    return sorted(found, key=lambda event: event.properties["position"])


def test_each_line_of_an_order_is_an_event_that_rules_can_count_filter_and_sum(shop: Tracker) -> None:
    in_shoes = {"where": [{"property": "category", "op": "equals", "value": "Shoes"}]}
    shoes = live("shoes", performed("Product Purchased", 1, **in_shoes))
    spender = live(
        "shoe-spender",
        {
            "performed": "Product Purchased",
            "measure": "sum",
            "op": "gte",
            "value": 80,
            "within": {"days": 1},
            **in_shoes,
        },
    )
    lines_ever = live("two-lines", performed("Product Purchased", 2))
    shop.send(order("o1", 99.99, products=[SHOES, BAG]))
    process_all()
    assert members(shoes) == members(spender) == members(lines_ever) == {"ann"}
    boot, bag = lines()
    assert boot.properties == {**SHOES, "position": 1, "order_id": "o1"}
    assert (boot.value, bag.value, bag.properties["quantity"]) == (80, Decimal("19.99"), 1)
    assert totals()["Product Purchased"] == (2, Decimal("99.99"))
    assert_books_balance()


def test_lines_are_replaced_along_with_their_order(shop: Tracker) -> None:
    bags = live(
        "bags", performed("Product Purchased", 1, where=[{"property": "category", "op": "equals", "value": "Bags"}])
    )
    shop.send(order("o1", 100, minutes_ago=30, products=[SHOES, BAG]))
    process_all()
    assert members(bags) == {"ann"}
    shop.send(order("o1", 80, minutes_ago=20, products=[SHOES]))
    process_all()
    assert members(bags) == set()
    assert totals()["Product Purchased"] == (1, 80)
    shop.send(order("o1", 60, minutes_ago=40, products=[BAG, BAG, BAG]))
    process_all()
    assert totals()["Product Purchased"] == (1, 80), "an older version that comes late has none"
    shop.send(order("o1", 20, minutes_ago=10, event="Order Updated", products=[BAG]))
    process_all()
    assert members(bags) == {"ann"} and len(lines()) == 1
    assert_books_balance()


def test_an_order_that_was_only_updated_has_no_lines(shop: Tracker) -> None:
    shop.send(
        order("o1", 20, event="Order Updated", products=[BAG]),
        track("Checkout Started", "ann", properties={"products": [BAG]}),
    )
    process_all()
    assert lines() == []


def test_orders_without_an_id_have_lines_as_well(shop: Tracker) -> None:
    shop.send(order(None, 20, products=[BAG]), order(None, 20, products=[BAG]))
    process_all()
    assert totals()["Product Purchased"] == (2, Decimal("39.98"))
    assert "order_id" not in lines()[0].properties
    assert_books_balance()


@pytest.mark.parametrize(
    ("line", "value", "flags"),
    [
        ({"sku": "a"}, None, None),
        ({"sku": "a", "price": "9.99"}, None, ["amount_not_a_number"]),
        ({"sku": "a", "price": 9.99, "quantity": "2"}, None, ["amount_not_a_number"]),
        ({"sku": "a", "price": 0.00005, "quantity": 3}, Decimal("0.0003"), None),
        ({"sku": "a", "price": 10**14, "quantity": 10**3}, None, ["amount_not_a_number"]),
        ({"sku": "a", "price": 5, "quantity": None}, 5, None),
        ({"sku": "a", "price": 5, "quantity": 0}, 0, None),
        ({"sku": "a", "price": 5, "currency": "nonsense"}, None, ["no_rate_for_currency"]),
        ({"sku": "a", "price": 5, "tags": ["x"], "more": {"y": 1}}, 5, None),
    ],
)
def test_a_line_is_worth_price_times_quantity_or_nothing_known(
    shop: Tracker, line: Any, value: Any, flags: Any
) -> None:
    shop.send(order("o1", 1, products=[line]))
    process_all()
    (one,) = lines()
    assert (one.value, one.flags) == (value, flags)
    assert "tags" not in one.properties and "more" not in one.properties


@pytest.mark.parametrize(("products", "count"), [("a", 0), ({"sku": "a"}, 0), ([1, {"sku": "a"}, None], 1)])
def test_products_that_are_no_list_of_objects_are_flagged(shop: Tracker, products: Any, count: int) -> None:
    shop.send(order("o1", 1, products=products))
    process_all()
    assert len(lines()) == count
    assert Event.objects.get(type=1).flags == ["products_malformed"]


def test_lines_go_with_the_person_when_profiles_merge_and_part(shop: Tracker) -> None:
    shop.send(
        order("o1", 40, products=[SHOES]),
        order("o2", 20, user="bob", products=[BAG]),
        order("o1", 20, user="bob", minutes_ago=5, products=[BAG]),
    )
    process_all()
    merge = merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="asked on the phone", by=BY)
    process_all()
    assert totals()["Product Purchased"] == (2, Decimal("99.99"))
    assert_books_balance()
    undo_merge(merge=merge, by=BY)
    process_all()
    assert (totals()["Product Purchased"], totals("bob")["Product Purchased"]) == ((1, 80), (2, Decimal("39.98")))
    assert_books_balance()


# ---- Refunds -------------------------------------------------------------------------------------------------


def refund(order_id: Any, total: Any = None, *, minutes_ago: int = 1, user: str = "ann", **more: Any) -> Call:
    said = {"order_id": order_id, **({} if total is None else {"total": total}), **more}
    return track("Order Refunded", user, ago=timedelta(minutes=minutes_ago), properties=said)


def net(user: str = "ann") -> Decimal | None:
    found = totals(user).get("Revenue Booked")
    return found and found[1]


def test_refunds_are_subtracted_in_the_window_of_their_own_moment(shop: Tracker) -> None:
    spent = {"performed": "Revenue Booked", "measure": "sum", "op": "gte", "value": 50}
    ever, lately = live("ever", spent), live("lately", {**spent, "within": {"days": 10}})
    days = 24 * 60
    shop.send(order("o1", 40, minutes_ago=20 * days), order("o2", 60, minutes_ago=days))
    process_all()
    assert (net(), members(ever), members(lately)) == (100, {"ann"}, {"ann"})
    shop.send(refund("o1", 30, minutes_ago=2 * days))
    process_all()
    assert (net(), members(ever), members(lately)) == (70, {"ann"}, set())
    assert totals()["Order Refunded"] == (1, 30), "what was refunded is told as it came"
    assert completed() == (2, 100)
    assert_books_balance()


def test_a_refund_without_an_amount_takes_back_what_is_left_of_its_order(shop: Tracker) -> None:
    words = [order("o1", 100, minutes_ago=90), refund("o1", 30, minutes_ago=60), refund("o1", minutes_ago=30)]
    for arrival in itertools.permutations(words):
        with transaction.atomic():
            for word in arrival:
                shop.send(word)
                process_all()
            booked = Event.objects.filter(name_id=catalogue.known_event_names()["Revenue Booked"])
            assert (net(), sorted(one.value for one in booked)) == (0, [-70, -30, 100])
            assert_books_balance()
            transaction.set_rollback(True)
        catalogue.forget()


def test_a_refund_of_an_order_that_is_not_known_books_only_what_it_names(shop: Tracker) -> None:
    shop.send(refund("o1"), refund("o2", 5), refund(None, -7))
    process_all()
    assert net() == -12
    shop.send(order("o1", 9, minutes_ago=50))
    process_all()
    assert net() == -12
    assert_books_balance()


def test_a_replaced_order_is_refunded_as_it_is_now(shop: Tracker) -> None:
    shop.send(order("o1", 100, minutes_ago=90), refund("o1", minutes_ago=30))
    process_all()
    shop.send(order("o1", 80, minutes_ago=60))
    process_all()
    assert net() == 0 and totals()["Revenue Booked"][0] == 2
    assert_books_balance()


def test_an_order_without_an_amount_books_nothing(shop: Tracker) -> None:
    shop.send(order("o1", None, products=[BAG]), refund("o1"))
    process_all()
    assert net() is None


def test_a_refund_follows_its_order_into_a_merge_and_back(shop: Tracker) -> None:
    shop.send(order("o1", 100, minutes_ago=90), refund("o1", user="bob"))
    process_all()
    assert (net(), net("bob")) == (100, None)
    merge = merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="asked on the phone", by=BY)
    process_all()
    assert net() == 0
    undo_merge(merge=merge, by=BY)
    process_all()
    assert (net(), net("bob")) == (100, None)
    assert_books_balance()
