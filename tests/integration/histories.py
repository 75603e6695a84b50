"""A small shop in which any history can happen: its people, what they do and are told, its rules, and a clock of its own.

What happens, in which order, and what must be true afterwards is in `tests.integration.test_histories`. The catalogue
is that of `tests.spec.world`, so that the random rules of `tests.generative` can be set live, and what ready-made
segments (`segments.templates`) speak of.
"""

import json
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from cdp.identity.models import Merge
from cdp.ingestion.accept import accept
from cdp.ingestion.models import SourceKind
from cdp.profiles import catalogue
from cdp.profiles.models import EventName, Profile, Trait, TraitType, Workspace
from segments.models import Segment
from segments.templates import TEMPLATES
from tests.factories import Call, Tracker, live, performed, tracker
from tests.generative.strategies import DATES, ITEMS, NUMBERS, OPERANDS, TEXTS, Drawn, conditions, documents, leaf_forms
from tests.spec.world import AS_OF, CATALOG

MICROSECOND, MINUTE, HOUR, DAY = timedelta(microseconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# Whose midnights and Mondays are other ones than UTC's.
ZONE = "Europe/Zurich"
START = AS_OF - 2 * DAY

USERS, DEVICES = ["ann", "bob", "cyd", "dan"], ["x", "y"]
EMAILS = ["e1@b.ch", "e2@b.ch"]
ORDERS = ["Order Completed", "Order Completed", "Order Updated", "Order Refunded"]
EVENTS = ["Order Completed", "Product Viewed", "Product Viewed", "Product Added", "Bought", "Looked"]
MORE_EVENTS = {"Order Updated", "Order Refunded", "Product Purchased", "Session Started", "Page Viewed"}
TRAITS = {**{key: info.type.value for key, info in CATALOG.traits.items()}, "renews": "date", "birthday": "date"}

# ---- When: near the edges of the windows below, and of those of the random rules ------------------------------------

NUDGES = [-MICROSECOND, timedelta(0), timedelta(0), MICROSECOND]
STEPS = [timedelta(0), MINUTE, HOUR, 12 * HOUR, DAY, 3 * DAY, 7 * DAY, 30 * DAY]


def nudged(steps: list[timedelta]) -> st.SearchStrategy[timedelta]:
    return st.builds(lambda step, nudge: step + nudge, st.sampled_from(steps), st.sampled_from(NUDGES))


ON_TIME = st.sampled_from([timedelta(0), MICROSECOND, 10 * MINUTE])
LATE = nudged(STEPS)
LONG_AGO = nudged([60 * DAY, 200 * DAY, 365 * DAY, 600 * DAY])
AHEAD = nudged([HOUR, 12 * HOUR, DAY - MINUTE]).map(lambda span: -span)
BEFORE = st.one_of(ON_TIME, ON_TIME, LATE, LATE, LONG_AGO, AHEAD)
"""How long before the clock something happened; less than nothing is ahead of it."""

# ---- What is said ------------------------------------------------------------------------------------------------

PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "category": st.sampled_from(["Shoes", "Bags", *TEXTS[:8]]),
        "price": st.sampled_from(NUMBERS),
        "gift": st.sampled_from([True, False, "true", None]),
        "a.\"b'%s$/~[0]": st.sampled_from(TEXTS),
        "product_id": st.sampled_from(["p1", "p2"]),
        "coupon": st.just("WELCOME"),
        "revenue": st.sampled_from([4, 6, 20, 260, 510, -5]),
        "currency": st.sampled_from(["USD", "EUR", "EUR", "XXX"]),
    },
)
VALUES = {
    "renews": st.sampled_from([*DATES, "2026-05-31T10:00:00Z", "2026-06-02", "2026-05-29"]),
    "birthday": st.sampled_from(["1990-06-02", "1988-02-29", "1970-05-31"]),
    "list": st.lists(st.sampled_from(ITEMS), max_size=2),
}
SAID = st.fixed_dictionaries(
    {},
    optional={
        key: st.none() | VALUES.get(key, st.sampled_from(OPERANDS[info.type] if info else DATES))
        for key, info in {**dict.fromkeys(TRAITS), **CATALOG.traits}.items()
        if key != "email"
    },
)
WHO = st.one_of(
    st.builds(lambda user: {"userId": user}, st.sampled_from(USERS)),
    st.builds(lambda user: {"userId": user}, st.sampled_from(USERS)),
    st.builds(lambda device: {"anonymousId": device}, st.sampled_from(DEVICES)),
    st.builds(lambda user, device: {"userId": user, "anonymousId": device}, st.sampled_from(USERS), st.sampled_from(DEVICES)),
)  # fmt: skip
LINES = st.lists(
    st.fixed_dictionaries({"product_id": st.sampled_from(["p1", "p2"]), "price": st.integers(1, 9)}), max_size=2
)


def _track(who: Call, event: str, properties: Call) -> Call:
    return {"type": "track", **who, "event": event, "properties": properties}


def _order(who: Call, event: str, order_id: Any, lines: list[Call], properties: Call) -> Call:
    return _track(who, event, {**properties, "order_id": order_id, "products": lines})


def _identify(who: Call, traits: Call, email: str | None) -> Call:
    return {"type": "identify", **who, "traits": traits if email is None else {**traits, "email": email}}


CALLS = st.one_of(
    st.builds(_track, WHO, st.sampled_from(EVENTS), PROPERTIES),
    st.builds(_track, WHO, st.sampled_from(EVENTS), PROPERTIES),
    st.builds(_order, WHO, st.sampled_from(ORDERS), st.sampled_from(["o1", "o2", 3, None]), LINES, PROPERTIES),
    st.builds(lambda who: {"type": "page", **who}, WHO),
    st.builds(_identify, WHO, SAID, st.none() | st.none() | st.sampled_from(EMAILS)),
    st.builds(
        lambda user, before: {"type": "alias", "userId": user, "previousId": before},
        st.sampled_from(USERS),
        st.sampled_from([*USERS, *DEVICES]),
    ),
)

# ---- Rules -------------------------------------------------------------------------------------------------------

READABLE = ["loyal", "lapsed"]
"""Keys of the segments that random rules may read."""

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
    kind = draw(st.sampled_from(["lively", "lively", "template", "random"]))
    if kind == "random":
        return draw(_RANDOM)
    ready = [template.condition for template in TEMPLATES]
    return {"version": 1, **draw(st.sampled_from(LIVELY if kind == "lively" else ready))}


class Shop:
    """The platform with a catalogue, three sources, six segments, and a clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START
        self.sent = 0
        self._set_clock()
        for key, kind in TRAITS.items():
            Trait.objects.get_or_create(key=key, defaults={"label": key, "type": TraitType(kind)})
        for name in (*EVENTS, *MORE_EVENTS):
            EventName.objects.get_or_create(name=name, defaults={"label": name})
        catalogue.forget()
        self.sources: dict[str, Tracker] = {kind: tracker(SourceKind(kind)) for kind in ("server", "browser", "import")}

    def open(self) -> None:
        """Sets segments live; those who were told of before are in them."""
        live("loyal", LIVELY[1], cadence="real_time")
        live("lapsed", LIVELY[2], refresh_minutes=60)
        live("readers", LIVELY[27], cadence="daily")
        live("carts", LIVELY[19], cadence="real_time")
        live("spenders", LIVELY[7], refresh_minutes=600)
        live("template", TEMPLATES[4].condition, cadence="daily", daily_hour=0)

    def move_clock(self, by: timedelta) -> None:
        self.now += by
        self._set_clock()

    def _set_clock(self) -> None:
        Workspace.objects.update_or_create(pk=1, defaults={"frozen_at": self.now, "time_zone": ZONE})

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

    def at(self, before: timedelta) -> datetime:
        return self.now - before


def somebody(number: int) -> Profile | None:
    """One of the people, by any number."""
    ids = list(Profile.objects.order_by("pk").values_list("pk", flat=True))
    return Profile.objects.get(pk=ids[number % len(ids)]) if ids else None


def some_segment(number: int, **which: Any) -> Segment | None:
    found = list(Segment.objects.filter(**which).order_by("pk"))
    return found[number % len(found)] if found else None


def some_merge(number: int) -> Merge | None:
    """One that is still to be undone, by any number."""
    found = list(Merge.objects.filter(undone_at__isnull=True).order_by("pk"))
    return found[number % len(found)] if found else None
