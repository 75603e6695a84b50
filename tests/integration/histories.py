"""A small shop in which any history can happen: its people, what they do and are told, its rules, and a clock of its own.

What happens, in which order, and what must be true afterwards is in `tests.integration.test_histories`. The catalogue
is that of `tests.spec.world`, so that the random rules of `tests.generative` can be set live, and what ready-made
segments (`segments.templates`) speak of.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

from django.db.models import QuerySet
from hypothesis import strategies as st

from cdp.identity.models import Merge
from cdp.ingestion.accept import accept
from cdp.ingestion.models import SourceKind
from cdp.profiles import catalogue
from cdp.profiles.models import EventName, Profile, Trait, TraitType, Workspace
from cdp.profiles.score_services import Scored, add_scores, publish_run, start_run
from consent.models import LawfulBasis, Purpose
from segments.lists import create_list
from segments.models import Segment
from segments.templates import TEMPLATES
from tests.factories import BY, Call, Tracker, live, performed, tracker
from tests.generative.standing import LABELS
from tests.generative.strategies import DATES, NUMBERS, OPERANDS, TEXTS, Drawn, conditions, documents, leaf_forms
from tests.spec.world import AS_OF, CATALOG

MICROSECOND, MINUTE, HOUR, DAY = timedelta(microseconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# Whose midnights and Mondays are other ones than UTC's, the last by three quarters of an hour.
ZONES = ["Europe/Zurich", "America/New_York", "Asia/Kathmandu"]
START = AS_OF - 2 * DAY

USERS, DEVICES = ["ann", "bob", "cyd", "dan"], ["x", "y"]
EMAILS = ["e1@b.ch", "e2@b.ch"]
ORDERS = ["Order Completed", "Order Completed", "Order Updated", "Order Refunded"]
EVENTS = ["Order Completed", "Product Viewed", "Product Added", "Bought", "Bought", "Looked", "Looked"]
MORE_EVENTS = {"Order Updated", "Order Refunded", "Product Purchased", "Session Started", "Page Viewed"}
KINDS = sorted({info.kind for info in CATALOG.scores.values()})
TRAITS = {**{key: info.type.value for key, info in CATALOG.traits.items()}, "renews": "date", "birthday": "date"}

# ---- When: near the edges of the windows below, and of those of the random rules ------------------------------------

STEPS = [timedelta(0), MINUTE, HOUR, 12 * HOUR, DAY, 3 * DAY, 7 * DAY, 30 * DAY]
NUDGES = [-MICROSECOND, timedelta(0), timedelta(0), MICROSECOND]
# How long before the clock something happened; less than nothing is ahead of it.
ON_TIME = [timedelta(0), MICROSECOND, 10 * MINUTE]
LONG_AGO = [60 * DAY, 200 * DAY, 365 * DAY, 600 * DAY]
AHEAD = [-HOUR, -12 * HOUR, MINUTE - DAY]


def nudged(chance: Random, steps: Sequence[timedelta]) -> timedelta:
    return chance.choice(steps) + chance.choice(NUDGES)


def _before(chance: Random, *, is_past: bool) -> timedelta:
    match chance.randrange(2, 8) if is_past else chance.randrange(10):
        case 0 | 1 | 8:
            return chance.choice(ON_TIME)
        case 2 | 3 | 4 | 5:
            return nudged(chance, STEPS)
        case 6 | 7:
            return nudged(chance, LONG_AGO)
        case _:
            return nudged(chance, AHEAD)


# ---- What is said ------------------------------------------------------------------------------------------------

PROPERTIES: dict[str, Sequence[Any]] = {
    "category": ["Shoes", "Shoes", "Bags", *TEXTS[:8]],
    "price": NUMBERS,
    "gift": [True, False, "true", None],
    "a.\"b'%s$/~[0]": TEXTS,
    "product_id": ["p1", "p2"],
    "coupon": ["WELCOME"],
    "revenue": [4, 6, 20, 260, 510, -5],
    "currency": ["USD", "EUR", "EUR", "XXX"],
}
VALUES: dict[str, Sequence[Any]] = {
    **{key: OPERANDS[info.type] for key, info in CATALOG.traits.items() if key != "email"},
    "list": [["Shoes"], ["bags", "É"], []],
    "renews": [*DATES, "2026-05-31T10:00:00Z", "2026-06-02", "2026-05-29"],
    "birthday": ["1990-06-02", "1988-02-29", "1970-05-31"],
}


def said(chance: Random, *, is_past: bool = False) -> tuple[Call, timedelta]:
    """A call, and how long before the clock it tells of."""
    return _call(chance), _before(chance, is_past=is_past)


def _call(chance: Random) -> Call:
    who: Call = {"userId": chance.choice(USERS)}
    if chance.random() < 0.3:
        who = {"anonymousId": chance.choice(DEVICES)} | (who if chance.random() < 0.4 else {})
    match chance.choices(["track", "order", "page", "decide", "identify", "alias"], [8, 5, 1, 2, 4, 1])[0]:
        case "track":
            return {"type": "track", **who, "event": chance.choice(EVENTS), "properties": _some_of(chance, PROPERTIES)}
        case "order":
            lines = [{"product_id": one, "price": chance.randint(1, 9)} for one in chance.sample(["p1", "p2"], 1)]
            about = {"order_id": chance.choice(["o1", "o2", 3, None]), "products": lines}
            properties = {**_some_of(chance, PROPERTIES), **about}
            return {"type": "track", **who, "event": chance.choice(ORDERS), "properties": properties}
        case "page":
            return {"type": "page", **who}
        case "decide":
            choices = {key: chance.random() < 0.6 for key in CATALOG.purposes}
            consent = {"consent": {"categoryPreferences": choices}}
            return {"type": "track", **who, "event": "Segment Consent Preference Updated", "context": consent}
        case "identify":
            traits = {key: None if chance.random() < 0.2 else raw for key, raw in _some_of(chance, VALUES).items()}
            email = {"email": chance.choice(EMAILS)} if chance.random() < 0.1 else {}
            return {"type": "identify", **who, "traits": traits | email}
        case _:
            return {
                "type": "alias",
                "userId": chance.choice(USERS),
                "previousId": chance.choice([*USERS, *DEVICES]),
            }


def _some_of(chance: Random, pool: Mapping[str, Sequence[Any]]) -> Call:
    return {key: chance.choice(values) for key, values in pool.items() if chance.random() < 0.5}


# ---- Rules -------------------------------------------------------------------------------------------------------

_SHOES = [{"property": "category", "op": "equals", "value": "Shoes"}]
_RENEWS = {"trait": "renews"}
LIVELY: list[Call] = [
    performed("Bought", within={"days": 1}),
    performed("Bought", 2, within={"days": 3}),
    {"not": performed("Looked", within={"days": 3})},
    {"performed": "Bought", "op": "lt", "value": 2},
    {"performed": "Looked", "op": "equals", "value": 1, "within": {"days": 7}},
    {"performed": "Order Completed", "measure": "sum", "op": "gt", "value": 10, "within": {"hours": 12}},
    {"performed": "Revenue Booked", "measure": "sum", "op": "lt", "value": 20},
    {"performed": "Order Completed", "measure": "sum", "op": "gte", "value": 20},
    {"performed": "Product Purchased", "measure": "distinct", "of": "product_id", "op": "gte", "value": 2},
    {"performed": "Bought", "where": _SHOES, "within": {"days": 7, "ago": {"days": 1}}},
    {"performed": "Session Started", "op": "gte", "value": 2, "within": {"days": 3}},
    {"performed": "Order Refunded", "op": "gt", "than": {"performed": "Order Completed"}, "times": 0.5},
    {"performed": "Bought", "measure": "last_at", "op": "within_last", "value": {"days": 1}},
    {"performed": "Looked", "measure": "first_at", "op": "within_last", "value": {"days": 3}},
    {"performed": "Looked", "measure": "periods", "each": {"days": 1}, "within": {"days": 3}, "op": "gte", "value": 2},
    performed("Looked", within={"since": "Bought"}),
    performed("Bought", within="today"),
    {"not": performed("Looked", within="this_month")},
    {"sequence": [{"performed": "Looked"}, {"performed": "Bought", "within": {"days": 1}}], "within": {"days": 7}},
    {"sequence": [{"performed": "Product Added"}, {"not_performed": "Order Completed", "within": {"hours": 12}}]},
    {"sequence": [{"performed": "Looked"}, {"not_performed": "Bought", "within": {"days": 1}}], "same": "product_id"},
    {**_RENEWS, "op": "within_last", "value": {"days": 3}},
    {"not": {**_RENEWS, "op": "within_next", "value": {"days": 1}}},
    {"trait": "birthday", "op": "anniversary", "value": {"days": 3}},
    {"trait": "text", "op": "exists"},
    {"not": {"trait": "number", "op": "gt", "value": 1}},
    {"everyone": True},
    {"performed": "Bought", "op": "gte", "than": {"percentile": 50}},
    {"performed": "Order Completed", "measure": "sum", "within": {"days": 7}, "op": "gt", "than": {"percentile": 90}},
    {"score": "churn.risk", "op": "gte", "value": 3},
    {"all": [{"not": {"score": "rfm.group", "op": "equals", "value": "high"}}, performed("Looked")]},
    {"consented": "marketing_email"},
    {"any": [{"in_list": "vip"}, {"not": {"consented": "analysis"}}]},
    {"all": [{"bucket": "spring test", "op": "lt", "value": 50}, performed("Looked", within={"days": 3})]},
    {"all": [{"in_segment": "loyal"}, {"not": {"in_segment": "lapsed"}}]},
    {"any": [{"in_segment": "lapsed"}, performed("Bought", within={"hours": 1})]},
    {"not": {"in_segment": "loyal"}},
]
"""Conditions that turn often while little happens: random ones seldom do."""

_DRAWN = Drawn()
_FORMS = leaf_forms(_DRAWN)
_RANDOM = documents(st.sampled_from(_FORMS).flatmap(lambda form: form), conditions(_DRAWN))


@st.composite
def rules(draw: st.DrawFn) -> Call:
    """Documents: lively ones, ready-made ones, and random ones with every form of condition."""
    kind = draw(st.sampled_from(["lively", "lively", "lively", "template", "random", "random"]))
    if kind == "random":
        return draw(_RANDOM)
    ready = [template.condition for template in TEMPLATES]
    return {"version": 1, **draw(st.sampled_from(LIVELY if kind == "lively" else ready))}


BASES = {
    "opt_in": LawfulBasis.CONSENT,
    "opt_out": LawfulBasis.LEGITIMATE_INTERESTS,
    "notice_only": LawfulBasis.CONTRACT,
}


class Shop:
    """The platform with all that its catalogue names, three sources, and a clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START
        self.sent = self.runs = 0
        Workspace.objects.update_or_create(pk=1, defaults={"frozen_at": self.now, "time_zone": ZONES[0]})
        for key, kind in TRAITS.items():
            Trait.objects.get_or_create(key=key, defaults={"label": key, "type": TraitType(kind)})
        for name in (*EVENTS, *MORE_EVENTS):
            EventName.objects.get_or_create(name=name, defaults={"label": name})
        for key, info in CATALOG.purposes.items():
            basis = BASES[info.mode.value]
            Purpose.objects.get_or_create(
                key=key, defaults={"label": key, "lawful_basis": basis, "mode": info.mode.value}
            )
        Purpose.objects.filter(key="marketing_email").update(lifetime_days=7)
        for key in CATALOG.lists:
            create_list(name=key, key=key, by=BY)
        catalogue.forget()
        self.sources: dict[str, Tracker] = {kind: tracker(SourceKind(kind)) for kind in ("server", "browser", "import")}

    def open(self) -> None:
        """Publishes scores and sets segments live; those who were told of before are in them."""
        for kind in KINDS:
            self.publish_scores(kind, chance=Random(kind), is_complete=True)
        live("loyal", performed("Bought", 2, within={"days": 3}), cadence="real_time")
        live("lapsed", {"not": performed("Looked", within={"days": 3})}, refresh_minutes=60)
        live("readers", {"all": [{"in_segment": "loyal"}, {"not": {"in_segment": "lapsed"}}]}, cadence="daily")
        live("carts", TEMPLATES[3].condition, cadence="real_time")
        live(
            "spenders", {"performed": "Revenue Booked", "measure": "sum", "op": "gte", "value": 20}, refresh_minutes=600
        )
        live("buyers", TEMPLATES[4].condition, cadence="daily", daily_hour=0)

    def publish_scores(self, kind: str, *, chance: Random, is_complete: bool) -> None:
        """A run over the people there are; one that isn't complete says nothing at all under some key."""
        self.runs += 1
        run = start_run(kind=kind, version=str(self.runs), by=BY)
        keys = {key: info for key, info in CATALOG.scores.items() if info.kind == kind}
        left_out = None if is_complete else chance.choice(sorted(keys))
        said = []
        for number, profile_id in enumerate(Profile.objects.order_by("pk").values_list("pk", flat=True)):
            for key, info in keys.items():
                if key == left_out or (number and chance.random() < 0.3):
                    continue
                score = Decimal(chance.randint(0, 5)) if info.has_numbers else None
                said.append(Scored(profile_id, info.name, score, chance.choice(LABELS) if info.has_labels else None))
        add_scores(run=run, scores=said)
        publish_run(run=run, by=BY)

    def move_clock(self, by: timedelta) -> None:
        self.now += by
        Workspace.objects.update(frozen_at=self.now)

    def tell(self, source: str, *said: tuple[Call, timedelta]) -> None:
        """One request with these calls, each with how long ago it happened; it waits in the inbox."""
        calls = []
        for call, before in said:
            self.sent += 1
            calls.append(call | {"messageId": f"m{self.sent}", "timestamp": (self.now - before).isoformat()})
        accept(
            endpoint="batch",
            body=json.dumps({"batch": calls}).encode(),
            authorization=f"Bearer {self.sources[source].key}",
            received_at=self.now,
        )


def somebody(chance: Random) -> Profile | None:
    return _one_of(Profile.objects.all(), chance)


def some_segment(chance: Random, **which: Any) -> Segment | None:
    return _one_of(Segment.objects.filter(**which), chance)


def some_merge(chance: Random) -> Merge | None:
    """One that is still to be undone."""
    return _one_of(Merge.objects.filter(undone_at__isnull=True), chance)


def _one_of(rows: QuerySet[Any], chance: Random) -> Any:
    found = list(rows.order_by("pk"))
    return chance.choice(found) if found else None
