"""Whoever withdraws is gone for every reader that begins after the withdrawal was committed, whatever else goes on meanwhile."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from cdp.collecting.services import Choice, collect
from cdp.pipeline import process_batch
from cdp.profiles.models import Profile
from consent.models import Decision, Method, Purpose
from consent.querysets import permitted
from segments.catalogue import catalog
from segments.engines import postgres
from segments.feed import number_changes
from segments.models import Membership
from segments.rules import load
from segments.sweep import sweep_due
from tests.factories import BY, identify, live, person, process_all, rule, track, tracker
from tests.integration.callers import Caller, key
from tests.integration.crew import Work, crew, seeded

pytestmark = pytest.mark.drill

EMAIL = "marketing_email"
EVERYBODY = {"everyone": True}
AT_ONCE = 10

Reader = Callable[[Caller, Profile], bool]
"""Whether the person comes out of this door, asked anew."""


def _in(response: Any, profile: Profile) -> bool:
    assert response.status_code in (200, 404), response.content
    return response.status_code == 200 and str(profile.uuid) in response.content.decode()


READERS: dict[str, Reader] = {
    "members": lambda caller, one: _in(caller.get("segments/everybody/members/", purpose=EMAIL, limit=1000), one),
    "one member": lambda caller, one: _in(caller.get(f"segments/everybody/members/{one.uuid}/", purpose=EMAIL), one),
    "why": lambda caller, one: _in(caller.get(f"segments/everybody/why/uuid:{one.uuid}/", purpose=EMAIL), one),
    "a preview's sample": lambda caller, one: _in(
        caller.post("segments/preview/", {"rule": rule(EVERYBODY), "purpose": EMAIL}), one
    ),
    "a look-up": lambda caller, one: _in(caller.get(f"profiles/uuid:{one.uuid}/", purpose=EMAIL), one),
    "what they permit": lambda caller, one: next(
        held["permits"]
        for held in caller.get(f"consents/current/uuid:{one.uuid}/").json()["purposes"]
        if held["purpose"] == EMAIL
    ),
    "the queryset": lambda caller, one: permitted(
        Profile.objects.filter(pk=one.pk), Purpose.objects.get(key=EMAIL)
    ).exists(),
    "a rule on consent": lambda caller, one: (
        one.pk
        in postgres.among(
            load(rule({"consented": EMAIL}), catalog()), catalog(), as_of=datetime.now(UTC), scope=[one.pk]
        )
    ),
    "members of a rule on consent": lambda caller, one: Membership.objects.filter(
        segment__key="readers", profile_id=one.pk
    ).exists(),
}


def test_no_reader_that_begins_after_a_withdrawal_sees_who_withdrew(
    own_database: Any, drill_scale: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # At full size it asks faster than any one key may.
    monkeypatch.setattr("cdp.rest.throttles.PerKeyThrottle.allow_request", lambda *_: True)
    users = [f"u{number}" for number in range(4)]
    shop = tracker()
    shop.send(*(identify(user, traits={"city": "Bern"}) for user in users))
    process_all()
    everybody = live("everybody", EVERYBODY)
    live("readers", {"consented": EMAIL})
    caller = key(sees=[everybody])
    purpose = Purpose.objects.get(key=EMAIL)
    rounds = drill_scale(full=2_500, quick=50)
    seen: Counter[str] = Counter()
    stale: list[str] = []

    def decide(user: str, decision: Decision) -> None:
        choice = Choice(
            user=f"user_id:{user}",
            purpose=purpose,
            decision=decision,
            collected_at=datetime.now(UTC),
            method=Method.API,
        )
        collect(choices=[choice], by=BY)

    def one_after_the_other(user: str, chance: Random) -> Work:
        def work() -> None:
            profile = person(user)
            mine = Caller(caller.user, caller.headers)
            for _ in range(AT_ONCE):
                decide(user, Decision.GRANTED)
                name = chance.choice(sorted(READERS))
                if chance.random() < 0.2:
                    assert READERS[name](mine, profile), f"{name}: who permits it must come, or nothing is proved"
                    seen["present"] += 1
                decide(user, Decision.WITHDRAWN)
                if READERS[name](mine, profile):
                    stale.append(name)
                seen[name] += 1

        return work

    def old_words(chance: Random) -> Work:
        """Yeses of yesterday that come only now, with events; and time that passes."""

        def work() -> None:
            for _ in range(AT_ONCE // 5):
                late = track("Looked", chance.choice(users), ago=timedelta(days=1))
                shop.send(late | {"context": {"consent": {"categoryPreferences": {EMAIL: True}}}})
                process_batch()
                sweep_due(everything=True)
                number_changes()

        return work

    with crew(len(users) + 1) as members:
        for number in range(rounds // AT_ONCE):
            chance = seeded("withdrawals", number)
            works = [one_after_the_other(user, Random(chance.random())) for user in users]
            members.race([*works, old_words(chance)])
    assert stale == []
    assert (
        sum(seen[name] for name in READERS) == rounds * len(users) and seen["present"] and len(seen) > len(READERS) // 2
    )
