"""The simulated shop has the structure it claims, repeats itself exactly, and stays within the API's limits."""

import re
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

from demo.people import Kind, Person
from demo.seasons import BLACK_FRIDAY, black_friday, promotion_on
from demo.shop import crowd, first_day, messages
from demo.world import Sent

AS_OF = datetime(2026, 2, 1, 10, 30, tzinfo=UTC)
PEOPLE = 3_000
SMALL = {"seed": 5, "as_of": AS_OF, "people": 150}


class Told(NamedTuple):
    """A run of the simulation with its hidden causes."""

    sent: list[Sent]
    people: list[Person]

    def named(self, event: str) -> list[dict[str, Any]]:
        """The messages of one event, repeats left out."""
        return list({m["messageId"]: m for _, m in self.sent if m.get("event") == event}.values())

    def by_kind(self, event: str) -> Counter[Kind]:
        return Counter(self.kind(message) for message in self.named(event))

    def kind(self, message: dict[str, Any]) -> Kind:
        return self.people[number(message["userId"])].kind

    def size(self, kind: Kind) -> int:
        return sum(person.kind is kind for person in self.people)


def number(user_id: str) -> int:
    return int(user_id.removeprefix("u-"))


def at(message: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(message["timestamp"])


@pytest.fixture(scope="module")
def told() -> Told:
    arguments = {"seed": 11, "as_of": AS_OF, "people": PEOPLE}
    return Told(list(messages(**arguments)), crowd(**arguments))


def test_equal_arguments_give_equal_messages() -> None:
    assert list(messages(**SMALL)) == list(messages(**SMALL))


def test_another_seed_clock_or_size_gives_other_messages_under_other_ids() -> None:
    usual = {sent.message["messageId"] for sent in messages(**SMALL)}
    for change in ({"seed": 6}, {"as_of": AS_OF + timedelta(minutes=1)}, {"people": 151}, {"days": 399}):
        other = {sent.message["messageId"] for sent in messages(**{**SMALL, **change})}
        assert not usual & other


def test_messages_arrive_in_the_order_of_time_but_for_a_few_late_ones(told: Told) -> None:
    times = [at(message) for _, message in told.sent]
    newest, late = times[0], 0
    for moment in times:
        late += moment < newest
        newest = max(newest, moment)
    assert 0 < late / len(times) < 0.02


def test_nothing_is_stamped_outside_the_simulated_days(told: Told) -> None:
    first = first_day(AS_OF)
    assert all(first <= at(message).date() and at(message) < AS_OF for _, message in told.sent)
    assert {at(message).date() for _, message in told.sent} == {first + timedelta(days=n) for n in range(400)}


def test_some_messages_are_repeated_whole_under_the_same_id(told: Told) -> None:
    seen: dict[str, Sent] = {}
    repeats = 0
    for sent in told.sent:
        earlier = seen.setdefault(sent.message["messageId"], sent)
        if earlier is not sent:
            repeats += 1
            assert sent == earlier
    assert 0.001 < repeats / len(told.sent) < 0.01


def test_the_volume_is_what_the_time_for_a_demo_allows(told: Told) -> None:
    assert 25 < len(told.sent) / PEOPLE < 35, "500,000 to 700,000 messages for 20,000 people"


def test_every_message_is_within_the_limits_of_the_tracking_api(told: Told) -> None:
    encode = msgspec.json.Encoder().encode
    for source, message in told.sent:
        assert len(message["messageId"]) < 100
        assert message.get("userId") or message.get("anonymousId")
        assert source == "backend" or message["anonymousId"], "a browser always knows its own anonymous id"
    assert max(len(encode(message)) for _, message in told.sent) < 8_000


def test_black_friday_is_the_peak_of_the_year_and_sundays_lead_the_week(told: Told) -> None:
    days = Counter(at(m).date() for _, m in told.sent if m.get("event") == "Product Viewed")
    assert days.most_common(1)[0][0] == black_friday(2025)
    plain = {
        day: views
        for day, views in days.items()
        if date(2025, 2, 1) <= day < date(2025, 11, 1) and not promotion_on(day)
    }
    weekdays = Counter[int]()
    for day, views in plain.items():
        weekdays[day.weekday()] += views
    assert weekdays[6] > 1.15 * max(weekdays[day] for day in range(5))
    december = sum(days[date(2025, 12, day)] for day in range(5, 20))
    june = sum(days[date(2025, 6, day)] for day in range(5, 20))
    assert december > 1.3 * june


def test_people_are_awake_at_their_own_hours(told: Told) -> None:
    germans = {person.user_id for person in told.people if person.country.code == "DE"}
    hours = Counter((at(m).hour + 1) % 24 for m in told.named("Product Viewed") if m.get("userId") in germans)
    night, evening = sum(hours[h] for h in (1, 2, 3, 4)), sum(hours[h] for h in (18, 19, 20, 21))
    assert evening > 5 * night


def test_the_loyal_buy_most_and_window_shoppers_hardly(told: Told) -> None:
    orders = told.by_kind("Order Completed")
    rate = {kind: orders[kind] / told.size(kind) for kind in Kind}
    assert rate[Kind.LOYAL] > 2 * max(rate[kind] for kind in Kind if kind is not Kind.LOYAL)
    assert rate[Kind.WINDOW_SHOPPER] < 0.25


def test_cart_abandoners_begin_checkouts_and_leave_them(told: Told) -> None:
    started = Counter(told.kind(m) for m in told.named("Checkout Started") if "userId" in m)
    paid = told.by_kind("Order Completed")
    assert paid[Kind.CART_ABANDONER] / started[Kind.CART_ABANDONER] < 0.4
    assert paid[Kind.LOYAL] / started[Kind.LOYAL] > 0.8


def test_bargain_hunters_buy_in_sales_and_cheaper_goods(told: Told) -> None:
    coupons: defaultdict[Kind, list[bool]] = defaultdict(list)
    prices: defaultdict[Kind, list[float]] = defaultdict(list)
    for order in told.named("Order Completed"):
        kind, properties = told.kind(order), order["properties"]
        coupons[kind].append("coupon" in properties)
        prices[kind] += [line["price"] for line in properties["products"]]
    share = {kind: sum(used) / len(used) for kind, used in coupons.items()}
    mean = {kind: sum(found) / len(found) for kind, found in prices.items()}
    assert share[Kind.BARGAIN_HUNTER] > 0.6 > share[Kind.LOYAL]
    assert mean[Kind.BARGAIN_HUNTER] < 0.8 * mean[Kind.LOYAL]


def test_the_lapsed_bought_and_have_not_come_back(told: Told) -> None:
    last = max(at(m) for m in told.named("Product Viewed") if "userId" in m and told.kind(m) is Kind.LAPSED)
    assert last < AS_OF - timedelta(days=120)
    assert told.by_kind("Order Completed")[Kind.LAPSED] > 0.5 * told.size(Kind.LAPSED)
    answers: defaultdict[bool, list[int]] = defaultdict(list)
    for closed in told.named("Support Ticket Closed"):
        answers[told.kind(closed) is Kind.LAPSED].append(closed["properties"]["satisfaction"])
    assert sum(answers[True]) / len(answers[True]) < sum(answers[False]) / len(answers[False]) - 1


def test_new_people_are_first_seen_in_the_last_weeks(told: Told) -> None:
    first = min(at(m) for _, m in told.sent if "userId" in m and told.kind(m) is Kind.NEW)
    assert first > AS_OF - timedelta(days=62)


def test_taste_falls_into_two_camps(told: Told) -> None:
    """Of those with several orders, most buy mainly cheap or mainly fine goods; fewer stand in the middle."""
    brands: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for order in told.named("Order Completed"):
        brands[order["userId"]].update(line["brand"] for line in order["properties"]["products"])
    buyers = [found for found in brands.values() if found.total() >= 6]
    assert len(buyers) > 200
    cheap = sum(found["Puddle"] >= 2 * found["Admiralty"] for found in buyers)
    fine = sum(found["Admiralty"] >= 2 * found["Puddle"] for found in buyers)
    middle = len(buyers) - cheap - fine
    assert cheap > 1.5 * middle
    assert fine > 1.5 * middle


def test_jackets_sell_in_winter_and_outdoor_goods_in_summer(told: Told) -> None:
    sold: Counter[tuple[str, str]] = Counter()
    for viewed in told.named("Product Viewed"):
        season = {12: "winter", 1: "winter", 2: "winter", 6: "summer", 7: "summer", 8: "summer"}.get(at(viewed).month)
        sold[viewed["properties"]["category"], season or ""] += 1
    ratio = {what: sold[what, "winter"] / sold[what, "summer"] for what in ("Jackets", "Outdoor", "Shoes")}
    assert ratio["Jackets"] > 1.5 * ratio["Shoes"]
    assert ratio["Outdoor"] < 0.75 * ratio["Shoes"]


def test_some_orders_are_told_again_with_one_line_more(told: Told) -> None:
    orders = {order["properties"]["order_id"]: order for order in told.named("Order Completed")}
    updates = told.named("Order Updated")
    assert 0.02 < len(updates) / len(orders) < 0.06
    for update in updates:
        order = orders[update["properties"]["order_id"]]
        assert order["userId"] == update["userId"] and at(order) < at(update)
        *lines, wrap = update["properties"]["products"]
        assert lines == order["properties"]["products"]
        assert update["properties"]["revenue"] == pytest.approx(order["properties"]["revenue"] + wrap["price"])


def test_a_refund_follows_its_order_and_never_exceeds_it(told: Told) -> None:
    orders = {m["properties"]["order_id"]: m for m in told.named("Order Completed")}
    assert len(orders) == len(told.named("Order Completed")), "no order number twice"
    refunds = told.named("Order Refunded")
    assert refunds
    for refund in refunds:
        order = orders[refund["properties"]["order_id"]]
        assert order["userId"] == refund["userId"]
        assert at(order) < at(refund)
        assert 0 < refund["properties"]["total"] <= order["properties"]["revenue"] + 0.01


def test_the_money_of_an_order_adds_up(told: Told) -> None:
    for order in told.named("Order Completed"):
        properties = order["properties"]
        lines = sum(line["price"] * line["quantity"] for line in properties["products"])
        assert properties["revenue"] == pytest.approx(lines - properties.get("discount", 0), abs=0.011)
        assert properties["total"] == pytest.approx(properties["revenue"] + properties["shipping"], abs=0.011)
        promotion = promotion_on(at(order).date())
        if promotion is BLACK_FRIDAY and at(order).hour > 2:
            assert properties["coupon"] == "BLACKFRIDAY"


def test_devices_are_anonymous_until_a_log_in_links_them(told: Told) -> None:
    linked: defaultdict[str, set[str]] = defaultdict(set)
    anonymous: set[str] = set()
    linked_later = 0
    for _, message in told.sent:
        device, user = message.get("anonymousId"), message.get("userId")
        if device and user:
            linked_later += device in anonymous and device not in linked[user]
            linked[user].add(device)
        elif device:
            anonymous.add(device)
    assert linked_later > 0.2 * len(linked)
    assert sum(len(devices) > 1 for devices in linked.values()) > 0.05 * len(linked)
    assert max(len(devices) for devices in linked.values()) <= 5


def test_email_addresses_are_unique_and_cannot_belong_to_anybody(told: Told) -> None:
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for _, message in told.sent:
        email = message.get("traits", {}).get("email")
        if email:
            assert re.fullmatch(r"[a-z.\-]+\.\d+@example\.(com|org)", email)
            owners[email].add(message.get("userId", ""))
    assert len(owners) > PEOPLE * 0.6
    assert all(len(users - {""}) <= 1 for users in owners.values())


def test_traits_are_filled_but_not_for_everybody(told: Told) -> None:
    filled: Counter[str] = Counter()
    profiles: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for _, message in told.sent:
        if message["type"] == "identify" and "userId" in message:
            profiles[message["userId"]].update(message["traits"])
    for traits in profiles.values():
        filled.update(traits.keys())
    assert filled["country"] == filled["email"] == len(profiles)
    for sparse in ("birthday", "gender", "city"):
        assert 0.6 * len(profiles) < filled[sparse] < 0.97 * len(profiles)
    assert 0.1 * len(profiles) < filled["price_sensitivity"] < 0.6 * len(profiles)
    assert Counter(traits["loyalty_tier"] for traits in profiles.values()).keys() == {
        "paper",
        "bronze",
        "silver",
        "gold",
    }
    assert all(
        date(1930, 1, 1) < date.fromisoformat(t["birthday"]) < AS_OF.date()
        for t in profiles.values()
        if "birthday" in t
    )


def test_the_hidden_cause_is_never_sent(told: Told) -> None:
    words = {kind.value for kind in Kind}
    for _, message in told.sent:
        assert not words & {str(value) for value in message.get("traits", {}).values()}


def test_consent_is_recorded_by_the_backend_and_some_people_have_none(told: Told) -> None:
    answers: defaultdict[str, dict[str, bool]] = defaultdict(dict)
    for source, message in told.sent:
        if message.get("event") == "Segment Consent Preference Updated":
            assert source == "backend"
            who = message.get("userId") or message["anonymousId"]
            answers[who].update(message["context"]["consent"]["categoryPreferences"])
        else:
            assert "consent" not in message["context"]
    with_account = {m["userId"] for _, m in told.sent if "userId" in m}
    assert 0.02 * len(with_account) < len(with_account - answers.keys()) < 0.2 * len(with_account)
    given = [found["marketing_email"] for found in answers.values() if "marketing_email" in found]
    assert 0.2 < sum(given) / len(given) < 0.7
    left = {m.get("userId") or m["anonymousId"] for m in told.named("Newsletter Unsubscribed")}
    assert left
    assert not any(answers[who]["marketing_email"] for who in left)


def test_newsletters_are_read_only_by_subscribers_and_bring_visits(told: Told) -> None:
    subscribed = {m.get("userId") or m["anonymousId"] for m in told.named("Segment Consent Preference Updated")}
    opened = told.named("Newsletter Opened")
    assert len(opened) > PEOPLE * 0.5
    assert sum((m.get("userId") or m["anonymousId"]) in subscribed for m in opened) > 0.9 * len(opened)
    campaigns = Counter(m["context"]["campaign"]["source"] for _, m in told.sent if "campaign" in m["context"])
    assert campaigns["newsletter"] > 100
