"""Features as arrays equal what plain Python makes of what was sent, and are only ever of people who may be profiled."""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cdp.errors import DomainErrors, Forbidden
from cdp.identity.merging import merge_profiles
from cdp.profiles.models import Profile, Session, Trait
from consent.models import Decision, Purpose, StopKind
from consent.stops import lift, stop
from segments.features.catalogue import ALWAYS, FIXED, Family, FeatureKind
from segments.features.channels import channel_of, device_of
from segments.features.discovery import features_named, features_there_are
from segments.features.loading import load_features
from segments.features.matrix import FeatureMatrix
from segments.features.people import who_may_be_profiled
from segments.features.statistics import feature_statistics
from tests.factories import BY, Call, identify, person, process_all, track, tracker
from tests.integration.callers import decide

DAY = timedelta(days=1)
AS_OF = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
WINDOW = 100
SINCE = AS_OF - WINDOW * DAY
CATEGORIES = ["Shoes", "shoes", "Bags", None]
AGENTS = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0)",
    "Mozilla/5.0 (Linux; Android 14; Tab)",
    "Mozilla/5.0 (X11; Linux)",
    "",
]
CAMPAIGNS = [
    ("", ""),
    ("newsletter", "email"),
    ("google", "CPC"),
    ("facebook", "paid"),
    ("instagram", ""),
    ("x", "organic"),
]
KEYS = [
    *(one.key for one in ALWAYS),
    "category:shoes",
    "category:bags",
    "trait:points",
    "trait:member",
    "trait:customer_since",
    "value:plan=pro",
    "value:interests=garden",
]


@dataclass
class Told:
    """Of one person, all that was sent; the newest last."""

    traits: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, list[tuple[datetime, Call]]] = field(default_factory=dict)
    refunds: dict[str, list[tuple[datetime, float | None]]] = field(default_factory=dict)
    looks: list[tuple[datetime, str]] = field(default_factory=list)
    pages: list[tuple[datetime, str, str]] = field(default_factory=list)
    visits: list[tuple[datetime, datetime, str, str]] = field(default_factory=list)

    @property
    def moments(self) -> list[datetime]:
        told = [at for versions in self.versions.values() for at, _ in versions]
        told += [at for refunds in self.refunds.values() for at, _ in refunds]
        return told + [row[0] for row in (*self.looks, *self.pages)]


def at(moment: datetime) -> dict[str, str]:
    return {"timestamp": moment.isoformat()}


class Shop:
    """Sends what people do, and keeps what was sent."""

    def __init__(self, seed: int, people: int) -> None:
        self.chance = random.Random(seed)
        self.people = {f"u{number}": Told() for number in range(people)}
        source = tracker()
        for user, told in self.people.items():
            source.send(*self._story(user, told))
        process_all()
        Session.objects.bulk_create(
            Session(
                profile_id=person(user).pk, started_at=began, ended_at=ended, events=1, message_id=f"{user}{began}",
                source_id=1, utm_source=source_tag, utm_medium=medium,
            )
            for user, told in self.people.items()
            for began, ended, source_tag, medium in told.visits
        )  # fmt: skip

    def moment(self) -> datetime:
        """In the window or before it, and rather often on its edges."""
        chance = self.chance
        if chance.random() < 0.15:
            return chance.choice([SINCE, SINCE - timedelta(microseconds=1), AS_OF, AS_OF - timedelta(microseconds=1)])
        return AS_OF - timedelta(seconds=chance.randrange(-3000, 150 * 86400))

    def _story(self, user: str, told: Told) -> list[Call]:
        chance, calls = self.chance, []
        if chance.random() < 0.8:
            drawn = {
                "points": chance.randrange(-5, 100),
                "member": chance.random() < 0.5,
                "customer_since": (AS_OF - chance.randrange(900) * DAY).date().isoformat(),
                "plan": chance.choice(["Pro", "Free"]),
                "interests": chance.sample(["Garden", "Books", "Art"], 2),
            }
            told.traits = {key: value for key, value in drawn.items() if chance.random() < 0.8}
        for number in range(chance.choice([0, 0, 1, 2, 3, 6])):
            calls += self._order(user, told, f"{user}-{number}")
        for _ in range(chance.randrange(1, 4)):
            told.looks.append((moment := self.moment(), chance.choice(["Product Viewed", "Elsewhere"])))
            calls.append(track(told.looks[-1][1], user, **at(moment)))
        for _ in range(chance.randrange(4)):
            told.pages.append((moment := self.moment(), chance.choice(["", "ios", "Tablet"]), chance.choice(AGENTS)))
            context = {"device": {"type": told.pages[-1][1]}, "userAgent": told.pages[-1][2]}
            kind = chance.choice(["page", "screen"])
            calls.append(track("", user, context=context, **at(moment)) | {"type": kind, "name": "Home"})
        for _ in range(chance.randrange(4)):
            began = self.moment()
            told.visits.append((began, began + timedelta(seconds=chance.randrange(4000)), *chance.choice(CAMPAIGNS)))
        if told.traits and told.moments:
            calls.append(identify(user, traits=told.traits, **at(min(told.moments))))
        chance.shuffle(calls)
        return calls

    def _order(self, user: str, told: Told, order_id: str) -> list[Call]:
        chance, calls, moment = self.chance, [], self.moment()
        for name in ["Order Completed", "Order Updated"][: chance.choice([1, 1, 2])]:
            lines = [{"price": 5, "category": chance.choice(CATEGORIES)} for _ in range(chance.randrange(4))]
            said = {"order_id": order_id, "revenue": chance.randrange(1, 5000) / 10, "products": lines}
            said |= chance.choice([{}, {"discount": 2.5}, {"discount": 0}, {"coupon": "SPRING"}, {"coupon": " "}])
            told.versions.setdefault(order_id, []).append((moment, said))
            calls.append(track(name, user, properties=said, **at(moment)))
            moment = min(moment + timedelta(days=chance.randrange(1, 4)), AS_OF + timedelta(minutes=50))
        for _ in range(chance.choice([0, 0, 1, 2])):
            amount = chance.choice([None, chance.randrange(1, 30)])
            told.refunds.setdefault(order_id, []).append((moment, amount))
            said = {"order_id": order_id} | ({} if amount is None else {"revenue": amount})
            calls.append(track("Order Refunded", user, properties=said, **at(moment)))
            moment += timedelta(minutes=1)
        return calls


def counts(moment: datetime) -> bool:
    return SINCE <= moment < AS_OF


def days(span: timedelta) -> float:
    return span / DAY


def share(found: Counter[Any], which: Any) -> float:
    return found[which] / found.total() if found.total() else math.nan


def slope(values: Sequence[float]) -> float:
    """Least squares on 1, 2, 3 ..."""
    if len(values) < 2:
        return math.nan
    return float(np.polyfit(range(len(values)), values, 1)[0])


def reference(told: Told) -> dict[str, float] | None:
    """The features of one person out of what was sent, the plain way; None for who isn't in it."""
    if not told.moments or max(told.moments) < SINCE or min(told.moments) >= AS_OF:
        return None
    newest = {order: max(versions, key=lambda one: one[0]) for order, versions in told.versions.items()}
    orders = sorted(((m, s) for m, s in newest.values() if counts(m)), key=lambda one: one[0])
    booked = [(moment, said["revenue"]) for moment, said in newest.values()]
    for order, refunds in told.refunds.items():
        left = newest[order][1]["revenue"]
        for moment, amount in refunds:
            back = max(0.0, left) if amount is None else amount
            left -= back
            booked.append((moment, -back))
    booked = [(moment, value) for moment, value in booked if counts(moment)]
    brought = sum(value for _, value in booked if value > 0)
    placed = [moment for moment, _ in orders]
    pauses = [days(after - before) for before, after in pairwise(placed)]
    tenure = days(AS_OF - min(told.moments))
    visits = [one for one in told.visits if counts(one[0])]
    pages = [one for one in told.pages if counts(one[0])]
    discounted = [bool(said.get("discount") or (said.get("coupon") or "").strip()) for _, said in orders]
    channels = Counter(channel_of(source, medium) for _, _, source, medium in visits)
    devices = Counter(kind for _, said, agent in pages if (kind := device_of(said, agent)))
    bought = Counter(line["category"].lower() for _, said in orders for line in said["products"] if line["category"])
    found = {
        "orders_per_month": len(orders) / max(1, min(WINDOW, tenure) / 30.4375),
        "average_order_value": fmean(said["revenue"] for _, said in orders) if orders else math.nan,
        "net_revenue": sum(value for _, value in booked),
        "recency_days": days(AS_OF - placed[-1]) if placed else math.nan,
        "order_gap_days": fmean(pauses) if pauses else math.nan,
        "order_gap_trend": slope(pauses),
        "discount_share": fmean(discounted) if orders else math.nan,
        "refund_share": -sum(value for _, value in booked if value < 0) / brought if brought else math.nan,
        "tenure_days": tenure,
        "sessions": len(visits),
        "session_minutes": fmean((ended - began) / timedelta(minutes=1) for began, ended, *_ in visits)
        if visits
        else math.nan,
        "days_since_visit": days(AS_OF - max(began for began, *_ in visits)) if visits else math.nan,
        "page_views": len(pages),
        "product_views": sum(counts(moment) and name == "Product Viewed" for moment, name in told.looks),
    }
    for key in KEYS:
        kind, _, name = key.partition(":")
        for of, rows in (("channel", channels), ("device", devices), ("category", bought)):
            if kind == of:
                found[key] = share(rows, name)
    traits = told.traits
    since = traits.get("customer_since")
    return found | {
        "trait:points": traits.get("points", math.nan),
        "trait:member": float(traits["member"]) if "member" in traits else math.nan,
        "trait:customer_since": days(AS_OF - datetime.fromisoformat(since).replace(tzinfo=UTC)) if since else math.nan,
        "value:plan=pro": float(traits["plan"] == "Pro") if "plan" in traits else math.nan,
        "value:interests=garden": float("Garden" in traits["interests"]) if "interests" in traits else math.nan,
    }


def loaded(keys: Sequence[str] = KEYS, purpose: str = "internal_analysis", **more: Any) -> FeatureMatrix:
    return load_features(keys, as_of=AS_OF, window_days=WINDOW, purpose=Purpose.objects.get(key=purpose), **more)


def figures(matrix: FeatureMatrix, profile: Profile) -> dict[str, float]:
    row = matrix.values[matrix.ids.tolist().index(profile.pk)]
    return dict(zip(matrix.keys, row.tolist(), strict=True))


def same(found: Mapping[str, float], wanted: Mapping[str, float]) -> None:
    for key, value in found.items():
        assert value == pytest.approx(wanted[key], rel=1e-9, abs=1e-9, nan_ok=True), key


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.django_db
def test_features_equal_what_plain_python_makes_of_what_was_sent(seed: int) -> None:
    shop = Shop(seed, people=40)
    everybody = loaded()
    wanted = {person(user).pk: found for user, told in shop.people.items() if (found := reference(told)) is not None}
    assert everybody.ids.tolist() == sorted(wanted)
    for profile_id, row in zip(everybody.ids.tolist(), everybody.values.tolist(), strict=True):
        same(dict(zip(KEYS, row, strict=True)), wanted[profile_id])
    # Each way of asking gives the same: all, some in one pass, and one by one.
    some = everybody.ids[::2]
    assert np.array_equal(loaded(profile_ids=some.tolist()).values, everybody.values[::2], equal_nan=True)
    one = loaded(profile_ids=[int(some[1])])
    assert np.array_equal(one.values[0], everybody.values[2], equal_nan=True)
    assert not np.isnan(everybody.values).all(axis=0).any(), "each feature was seen"


@pytest.fixture
def shop(db: None) -> Shop:
    return Shop(3, people=30)


def test_whoever_objects_is_restricted_or_says_no_is_in_no_array(shop: Shop) -> None:
    keys = ["orders_per_month", "tenure_days"]
    ids = loaded(keys).ids.tolist()
    ann, bob, cyd, dee = (Profile.objects.get(pk=pk) for pk in ids[:4])
    Purpose.objects.filter(key="internal_analysis").update(covers_profiling=False)
    stop(profile=ann, kind=StopKind.PROFILING, by=BY)
    stop(profile=bob, kind=StopKind.RESTRICTION, by=BY)
    user = cyd.identifiers.get(namespace="user_id").value
    decide(user, "internal_analysis", Decision.DENIED)
    assert loaded(keys).ids.tolist() == ids[3:]
    for asked in ([ann.pk], [bob.pk, dee.pk], ids):
        expected = [pk for pk in asked if pk not in (ann.pk, bob.pk, cyd.pk)]
        assert loaded(keys, profile_ids=asked).ids.tolist() == expected
    lift(profile=ann, kind=StopKind.PROFILING, by=BY)
    assert ann.pk in loaded(keys).ids
    # Where people must be asked first, silence is no.
    assert loaded(keys, purpose="marketing_email").ids.tolist() == []
    with pytest.raises(Forbidden):
        who_may_be_profiled(Purpose.objects.get(key="privacy_rights"))


def test_two_who_prove_to_be_one_have_one_row_that_counts_both(shop: Shop) -> None:
    together, (first, second) = Told(), [told for told in shop.people.values() if told.versions][:2]
    for told in (first, second):
        together.versions |= told.versions
        together.refunds |= told.refunds
        together.looks += told.looks
        together.pages += told.pages
    users = {id(told): user for user, told in shop.people.items()}
    ann, bob = person(users[id(first)]), person(users[id(second)])
    merge_profiles(survivor=ann, absorbed=bob, reason="same", by=BY)
    process_all()
    keys = [one.key for one in FIXED if one.family != Family.VISITS]
    matrix = loaded(keys, profile_ids=[ann.pk, bob.pk])
    assert matrix.ids.tolist() == [ann.pk]
    wanted = reference(together)
    assert wanted is not None
    same(figures(matrix, ann), wanted)


def test_nothing_is_asked_of_tables_that_no_feature_needs(shop: Shop) -> None:
    with CaptureQueriesContext(connection) as asked:
        matrix = loaded(["tenure_days"])
    assert not any("profiles_event " in one["sql"] or "profiles_session" in one["sql"] for one in asked)
    assert matrix.only(["tenure_days"]).column("tenure_days").tolist() == matrix.values[:, 0].tolist()


def test_features_of_an_empty_shop_are_arrays_of_nobody(db: None) -> None:
    assert loaded([one.key for one in ALWAYS]).values.shape == (0, len(ALWAYS))
    assert loaded(["sessions"], profile_ids=[1]).values.shape == (0, 1)
    assert loaded(["sessions"], profile_ids=range(1, 200)).values.shape == (0, 1)
    assert loaded(["sessions"], profile_ids=[]).values.shape == (0, 1)


def test_what_is_offered_is_what_enough_people_have_and_nothing_personal(shop: Shop) -> None:
    Trait.objects.filter(key="points").update(is_pii=True)
    source = tracker()
    source.send(
        *(identify(f"u{n}", traits={"plan": f"Only {n}", "email": f"u{n}@b.ch", "vip_since": "x"}) for n in range(3))
    )
    source.send(track("Order Completed", "u1", properties={"order_id": "rare", "products": [{"category": "Rare"}]}))
    process_all()
    purpose = Purpose.objects.get(key="internal_analysis")
    offered = {one.key: one for one in features_there_are(purpose=purpose, as_of=timezone.now(), window_days=WINDOW)}
    assert {"category:shoes", "category:bags", "trait:member", "trait:customer_since"} <= offered.keys()
    assert {"value:plan=pro", "value:plan=free", "value:interests=garden"} <= offered.keys()
    unwanted = ("rare", "only", "trait:email", "email=", "points", "vip")
    assert not [key for key in offered if any(word in key for word in unwanted)]
    assert offered["value:plan=pro"].label == "Plan: Pro"
    assert len(offered) == len(features_named(list(offered))), "each is known by its key"
    refused = {"trait:points": "personal", "trait:email": "personal", "trait:gone": "no trait", "x:y": "no feature"}
    for key, why in refused.items():
        with pytest.raises(DomainErrors, match=why):
            loaded([key])
    with pytest.raises(DomainErrors, match="isn't"):
        loaded(["trait:plan"])


def test_each_feature_has_words_for_who_must_choose() -> None:
    assert len({one.key for one in ALWAYS}) == len({one.label for one in ALWAYS}) == len(ALWAYS)
    for one in ALWAYS:
        assert one.meaning.endswith(".") and one.high and one.low and one.high != one.low
        assert one.unit or one.kind == FeatureKind.AMOUNT


@pytest.mark.parametrize(("source", "medium", "channel"), [
    ("", "", "direct"), ("google", "cpc", "paid"), ("facebook", "paid_social", "paid"), ("facebook.com", "", "social"),
    ("x", "E-Mail", "email"), ("Newsletter", "", "email"), ("google", "organic", "organic"), ("blog", "referral", "referral"),
    ("flyer", "qr", "other"), ("roadster", "", "other"), ("", "display", "paid"),
])  # fmt: skip
def test_campaign_tags_say_a_channel(source: str, medium: str, channel: str) -> None:
    assert channel_of(source, medium) == channel


def test_statistics_are_of_a_stated_sample(shop: Shop) -> None:
    purpose = Purpose.objects.get(key="internal_analysis")
    everybody = loaded(["tenure_days", "page_views"])
    found = feature_statistics(everybody.keys, as_of=AS_OF, window_days=WINDOW, purpose=purpose)
    assert (found.sampled, found.is_everybody) == (len(everybody), True)
    assert [one.mean for one in found.features] == pytest.approx(everybody.values.mean(axis=0))
    few = feature_statistics(everybody.keys, as_of=AS_OF, window_days=WINDOW, purpose=purpose, sample=12)
    assert (few.sampled, few.is_everybody) == (12, False)
    assert few.features[0].distribution.sampled == 12
