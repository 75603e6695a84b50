"""Whatever happens, and whenever rules are applied: afterwards all is as if only what is kept had ever come.

Two databases are compared: one in which everything happened and rules were applied in between, and one that only ever got the
events that are kept. Which are kept is worked out here, from the rules and the moments alone.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Any
from uuid import uuid4

from django.db import transaction
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from cdp.accountability.applying import apply_retention
from cdp.accountability.models import Kind, RetentionRun
from cdp.accountability.rules import CONFIRMATION, set_rule
from cdp.ingestion import keys
from cdp.ingestion.accept import accept
from cdp.ingestion.models import Quarantined, SourceKind
from cdp.profiles import catalogue
from cdp.profiles.models import EventName, Workspace
from segments import live as live_cache
from segments.models import Segment
from segments.sweep import sweep_due
from tests.factories import BY, Call, Tracker, live, members, performed, process_all, tracker
from tests.integration.books import assert_books_balance, rows

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
START = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
USERS = ["ann", "bob", "cyd"]
NAMES = ["Bought", "Looked", "Order Completed", "Order Updated", "Order Refunded", "Page Viewed"]
EVER = 36_525
SEGMENTS: dict[str, Call] = {
    "twice": performed("Bought", 2),
    "never": {"not": performed("Looked")},
    "spenders": {"performed": "Revenue Booked", "measure": "sum", "op": "gte", "value": 20},
    "visitors": performed("Session Started", 2),
    "first": {"performed": "Looked", "measure": "first_at", "op": "within_last", "value": {"days": 5}},
    "lately": performed("Order Completed", within={"days": 7}),
    "shoppers": {"all": [{"in_segment": "twice"}, {"not": {"in_segment": "never"}}]},
}


@dataclass
class History:
    """What was told so far: message id, event's name, when it happened, the call, by whom, and when it came."""

    told: list[tuple[str, str, datetime, Call, str, datetime]] = field(default_factory=list)
    over: set[str] = field(default_factory=set)

    def apply(self, days: dict[str, int | None], now: datetime) -> None:
        """By the rules alone: what is older than so many whole days (UTC) is over, for good."""
        for message_id, name, at, *_ in self.told:
            kept = days[name]
            if kept is not None and at < datetime.combine(now.date(), time(), UTC) - kept * DAY:
                self.over.add(message_id)

    @property
    def kept(self) -> list[tuple[str, str, datetime, Call, str, datetime]]:
        return [one for one in self.told if one[0] not in self.over]


class Shop:
    """The platform with its sources, rules and segments, and a clock that stands still until it is moved."""

    def __init__(self, days: dict[str, int | None], others: int | None) -> None:
        for module in (catalogue, keys, live_cache):
            module.forget()
        self.now = START
        Workspace.objects.update_or_create(pk=1, defaults={"frozen_at": self.now, "time_zone": "Europe/Zurich"})
        self.sources: dict[str, Tracker] = {kind: tracker(SourceKind(kind)) for kind in ("server", "browser")}
        for name in [*NAMES, "Identified"]:
            EventName.objects.get_or_create(name=name, defaults={"label": name})
        for name, kept in days.items():
            if kept is not None:
                self.rule(kept, EventName.objects.get(name=name))
            elif others is not None:
                self.rule(EVER, EventName.objects.get(name=name))
        self.rule(EVER, EventName.objects.get(name="Identified"))
        if others is not None:
            self.rule(others, None)
        for user in USERS:
            self.send("server", {"type": "identify", "userId": user, "messageId": f"m0-{user}"}, START - DAY, START)
        process_all()
        for key, condition in SEGMENTS.items():
            live(key, condition, cadence="real_time")

    @staticmethod
    def rule(days: int, name: EventName | None) -> None:
        set_rule(kind=Kind.EVENTS, event_name=name, days=days, by=BY, confirmation=CONFIRMATION)

    def move(self, to: datetime) -> None:
        self.now = to
        Workspace.objects.update(frozen_at=to)

    def send(self, source: str, call: Call, at: datetime, received_at: datetime) -> None:
        body = {"batch": [{**call, "timestamp": at.isoformat()}]}
        accept(
            endpoint="batch",
            body=json.dumps(body).encode(),
            authorization=f"Bearer {self.sources[source].key}",
            received_at=received_at,
        )

    def apply(self) -> None:
        run = RetentionRun.objects.create(job_uuid=uuid4(), as_of=self.now)
        apply_retention(run=run, progress=lambda done, total, phase: None)

    def state(self) -> dict[str, Any]:
        """All that follows from events, by the names of people and things."""
        process_all()
        sweep_due(everything=True)
        process_all()
        assert_books_balance()
        assert not Quarantined.objects.exists()
        who = "(SELECT value FROM profiles_identifier i WHERE i.namespace = 'user_id' AND i.profile_id = t.profile_id)"
        name = "(SELECT name FROM profiles_eventname n WHERE n.id = abs(t.name_id))"
        return {
            "totals": sorted(
                rows(f"SELECT {who}, {name}, count, value_sum, first_at, last_at FROM profiles_eventtotal t")
            ),
            "events": sorted(
                rows(
                    f"SELECT {who}, {name}, t.name_id > 0, type, occurred_at, message_id, value, properties::text"
                    " FROM profiles_event t"
                ),
                key=str,
            ),
            "sessions": sorted(rows(f"SELECT {who}, started_at, ended_at, events, message_id FROM profiles_session t")),
            "first seen": sorted(
                rows(
                    "SELECT value, p.first_seen_at FROM profiles_identifier i JOIN profiles_profile p ON p.id = i.profile_id"
                )
            ),
            "members": {key: members(Segment.objects.get(key=key)) for key in SEGMENTS},
        }


def drawn_call(chance: Random) -> tuple[str, Call, str]:
    """The event's name, the call, and who sends it."""
    user = chance.choice(USERS)
    match chance.randrange(4):
        case 0:
            name = chance.choice(["Bought", "Looked"])
            call = {"type": "track", "event": name, "properties": {"revenue": chance.choice([3, 12])}}
            return name, {**call, "userId": user}, chance.choice(["server", "browser"])
        case 1:
            return "Page Viewed", {"type": "page", "userId": user}, "browser"
        case _:
            name = chance.choice(["Order Completed", "Order Completed", "Order Updated", "Order Refunded"])
            lines = [{"product_id": "p1", "price": chance.randint(1, 9)}]
            said = {"order_id": chance.choice(["o1", "o2", None]), "revenue": chance.choice([4, 21, None])}
            return (
                name,
                {"type": "track", "event": name, "userId": user, "properties": {**said, "products": lines}},
                "server",
            )


def drawn_moment(chance: Random, now: datetime) -> datetime:
    """Lately, days ago or long ago; often near midnight (UTC), where times end, and near others, as in one session."""
    at = now - chance.choice([timedelta(0), 10 * MINUTE, 3 * HOUR, DAY, 3 * DAY, 8 * DAY, 40 * DAY, 90 * DAY])
    if chance.random() < 0.4:
        midnight = datetime.combine(at.date(), time(), UTC)
        at = min(now, midnight + chance.choice([-20 * MINUTE, timedelta(microseconds=-1), timedelta(0), 5 * MINUTE]))
    return at


@st.composite
def periods(draw: st.DrawFn) -> tuple[dict[str, int | None], int | None]:
    """Days by event name, and those of all other names: what has none of its own has these."""
    others = draw(st.sampled_from([None, None, 2, 30]))
    return {name: draw(st.sampled_from([None, 1, 3, 7, 30, 60])) for name in NAMES}, others


def happens(chance: Random, steps: int) -> list[str]:
    return chance.choices(["told", "applied", "time passes"], [8, 2, 3], k=steps)


def check(seed: int, given_periods: tuple[dict[str, int | None], int | None], steps: int) -> None:
    days, others = given_periods
    chance, history = Random(seed), History()
    with transaction.atomic():
        shop = Shop(days, others)
        for number, what in enumerate([*happens(chance, steps), "applied"]):
            if what == "told":
                name, call, source = drawn_call(chance)
                at, message_id = drawn_moment(chance, shop.now), f"m{number + 1}"
                history.told.append((message_id, name, at, {**call, "messageId": message_id}, source, shop.now))
                shop.send(source, history.told[-1][3], at, shop.now)
                if chance.random() < 0.7:
                    process_all()
            elif what == "applied":
                process_all()
                shop.apply()
                history.apply(days, shop.now)
            else:
                shop.move(shop.now + chance.choice([HOUR, DAY, 2 * DAY, 10 * DAY]))
                if chance.random() < 0.5:
                    sweep_due(everything=True)
        note(f"{days} {others}: {len(history.kept)} of {len(history.told)} kept")
        after, end = shop.state(), shop.now
        stored = {one for (one,) in rows("SELECT message_id FROM profiles_event WHERE type <> 7 AND type <> 4")}
        transaction.set_rollback(True)
    assert stored == {message_id for message_id, *_ in history.kept}
    with transaction.atomic():
        other = Shop(days, others)
        other.move(end)
        for _, _, at, call, source, received_at in history.kept:
            other.send(source, call, at, received_at)
        expected = other.state()
        transaction.set_rollback(True)
    for what in expected:
        assert after[what] == expected[what], what


def test_all_is_as_if_only_what_is_kept_had_ever_come(drill_scale: Callable[..., int], django_db_blocker: Any) -> None:
    @settings(
        max_examples=drill_scale(full=200, quick=6),
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(seed=st.integers(0, 2**32), given_periods=periods())
    def law(seed: int, given_periods: tuple[dict[str, int | None], int | None]) -> None:
        check(seed, given_periods, steps=30)

    with django_db_blocker.unblock():
        law()
