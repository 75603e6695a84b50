"""Whatever is recorded, late, repeated, merged, parted, imported, ended or erased in whatever order: no permission is ever wider
than the people's own words.

A walk drawn by Hypothesis beside a naive model that keeps every word of everybody and looks at all of them, each time.
"""

import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from cdp.collecting import files
from cdp.collecting.services import Choice, collect
from cdp.erasure import erase_profile
from cdp.errors import Conflict, NotFound
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.identity.models import Merge
from cdp.ingestion.consent_words import Asks
from cdp.profiles.models import Identifier, Profile
from consent.confirming import confirm
from consent.models import Confirmation, ConsentRecord, Decision, Method, Purpose, Reach, SignalHeard
from consent.querysets import permitted
from consent.replay import replayed
from consent.services import record_decision
from segments import live as live_cache
from segments.catalogue import catalog
from segments.engines import postgres
from segments.rules import load
from tests.factories import BY, process_all, track, tracker

pytestmark = [pytest.mark.django_db, pytest.mark.drill]

DAY = timedelta(days=1)
# Well in the past, so that time can pass.
START = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 300 * DAY
USERS = ["ann", "bob", "cyd"]
# A no to the first is one to the second; a yes to the second must be confirmed; browsers' signals speak of the third.
PARENT, CHILD, ADS = "marketing_email", "sms", "targeted_ads"
PURPOSES = [PARENT, CHILD, ADS]
_numbers = itertools.count(1)

users = st.sampled_from(USERS)
purposes = st.sampled_from(PURPOSES)
answers = st.sampled_from([True, True, True, False])
ago = st.integers(0, 8)


@dataclass
class Word:
    """What somebody said, of everybody it counts for."""

    at: datetime
    is_yes: bool
    ends: datetime | None
    of: set[str]
    number: int
    speaker: str | None = None


@dataclass
class Joined:
    """A merge that may be undone: who came along, and which words had been said by then."""

    merge: Merge
    stays: set[str]
    came: set[str]
    after: int = field(default_factory=lambda: next(_numbers))


class Naive:
    """All words, and who is one person with whom. It knows nothing of states, records or projections."""

    def __init__(self) -> None:
        self.words: dict[str, list[Word]] = {purpose: [] for purpose in PURPOSES}
        self.person: dict[str, set[str]] = {user: {user} for user in USERS}

    def say(
        self, purpose: str, user: str, at: datetime, is_yes: bool, ends: datetime | None, *, by_event: bool
    ) -> None:
        speaker, person = user if by_event else None, self.person[user]
        last = {one: self.newest(purpose, one) for one in person}
        # A word older than what the person said last is no word of those in it who had said nothing.
        is_late = any(word is not None and word.at >= at for word in last.values())
        of = {one for one in person if not (is_late and last[one] is None)}
        self.words[purpose].append(Word(at, is_yes, ends if is_yes else None, of, next(_numbers), speaker))
        if purpose == PARENT and not is_yes:
            self.say(CHILD, user, at, False, None, by_event=by_event)

    def repeat(self, purpose: str, user: str, at: datetime) -> None:
        """A yes that came along with something else, and was one already: it is known to hold by then, and lasts no longer."""
        for one in self.person[user]:
            newest = self.newest(purpose, one)
            if newest is not None and newest.is_yes and newest.at < at:
                self.words[purpose].append(Word(at, True, newest.ends, {one}, next(_numbers), user))

    def newest(self, purpose: str, user: str) -> Word | None:
        """Of two at one moment the stricter."""
        own = [word for word in self.words[purpose] if user in word.of]
        return max(own, key=lambda word: (word.at, not word.is_yes), default=None)

    def permits(self, purpose: str, user: str, now: datetime) -> bool:
        """Whoever is in this person either said nothing, or their newest word is a yes that hasn't ended; and somebody said it."""
        last = [word for one in self.person[user] if (word := self.newest(purpose, one)) is not None]
        return bool(last) and all(word.is_yes and (word.ends is None or word.ends > now) for word in last)

    def join(self, one: str, other: str) -> tuple[set[str], set[str]]:
        stays, came = set(self.person[one]), set(self.person[other])
        for purpose in PURPOSES:
            last = [word for user in stays | came if (word := self.newest(purpose, user)) is not None]
            if {word.is_yes for word in last} == {True, False}:  # until somebody says something newer
                self.words[purpose].append(Word(max(w.at for w in last), False, None, stays | came, next(_numbers)))
        for user in stays | came:
            self.person[user] = stays | came
        return stays, came

    def part(self, joined: Joined) -> None:
        whole = next(self.person[user] for user in joined.came)
        sides = whole - joined.came, whole & joined.came
        for word in itertools.chain(*self.words.values()):
            if word.number < joined.after or not all(word.of & side for side in sides):
                continue
            if word.speaker is not None:
                word.of -= next(side for side in sides if word.speaker not in side)
            elif word.is_yes:
                word.of -= whole  # nobody can say whose it was
        for side in sides:
            for user in side:
                self.person[user] = set(side)

    def forget(self, user: str) -> set[str]:
        gone = set(self.person[user])
        for word in itertools.chain(*self.words.values()):
            word.of -= gone
        for one in gone:
            self.person[one] = {one}
        return gone


class Walk(RuleBasedStateMachine):
    permitted = 0
    denied = 0
    parted = 0

    @initialize()
    def begin(self) -> None:
        global _numbers
        _numbers = itertools.count(1)  # the same walk makes the same moments
        live_cache.forget()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.now = START + 20 * DAY
        self.naive = Naive()
        self.joined: list[Joined] = []
        self.shop = tracker()
        parent = Purpose.objects.get(key=PARENT)
        Purpose.objects.filter(key=CHILD).update(parent=parent, needs_double_opt_in=True)
        self.shop.send(*(track("Looked", user, timestamp=START.isoformat(), anonymousId=f"d-{user}") for user in USERS))
        process_all()

    def teardown(self) -> None:
        if hasattr(self, "block"):
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)
            live_cache.forget()

    def _at(self, days: int) -> datetime:
        """A new word has a moment of its own, but now and then the same as another one."""
        return self.now - days * DAY + timedelta(seconds=next(_numbers) % 7)

    def _profile(self, user: str) -> Profile | None:
        return Profile.objects.filter(identifiers__namespace="user_id", identifiers__value=user).first()

    def _end(self, purpose: str, at: datetime) -> datetime | None:
        days = Purpose.objects.get(key=purpose).lifetime_days
        return None if days is None else at + days * DAY

    def _counts_at_once(self, purpose: str, is_yes: bool) -> bool:
        return purpose != CHILD or not is_yes

    # ---- What is said ------------------------------------------------------------------------------------------------

    @rule(user=users, purpose=purposes, is_yes=answers, days=ago, through=st.sampled_from(["hand", "api"]))
    def by_hand(self, user: str, purpose: str, is_yes: bool, days: int, through: str) -> None:
        profile, at = self._profile(user), self._at(days)
        if profile is None:
            return
        row, decision = Purpose.objects.get(key=purpose), Decision.GRANTED if is_yes else Decision.WITHDRAWN
        if through == "hand":
            record_decision(profile=profile, purpose=row, decision=decision, method=Method.FORM, at=at, by=BY)
        else:
            self._collect(user, row, decision, at)
        if self._counts_at_once(purpose, is_yes):
            self.naive.say(purpose, user, at, is_yes, self._end(purpose, at), by_event=False)

    def _collect(self, user: str, purpose: Purpose, decision: Decision, at: datetime) -> None:
        choice = Choice(user=f"user_id:{user}", purpose=purpose, decision=decision, collected_at=at, method=Method.API)
        (recorded,) = collect(choices=[choice], by=BY)
        again = collect(choices=[choice, choice], by=BY)
        assert [one.is_repeat for one in again] == [True, True] and again[0].record == recorded.record

    @rule(data=st.data())
    def said_again(self, data: st.DataObject) -> None:
        """What a system reported once it reports once more, whatever has become of the people."""
        before = list(ConsentRecord.objects.filter(method=Method.API, reach=Reach.PERSON).order_by("pk"))
        if not before:
            return
        one = data.draw(st.sampled_from(before))
        user = next((u for u in USERS if (p := self._profile(u)) and p.pk == one.profile_id), None)
        if user is None:
            return
        count = ConsentRecord.objects.count()
        decision = Decision.GRANTED if one.decision == Decision.PENDING else Decision(one.decision)
        choice = Choice(
            user=f"user_id:{user}",
            purpose=one.purpose,
            decision=decision,
            collected_at=one.collected_at,
            method=Method.API,
        )
        collect(choices=[choice], by=BY)
        assert ConsentRecord.objects.count() == count

    @rule(user=users, purpose=purposes, is_yes=answers, days=ago, decides=st.booleans())
    def by_event(self, user: str, purpose: str, is_yes: bool, days: int, decides: bool) -> None:
        """A decision, or something else with consent stamped on it."""
        at = self._at(days)
        call = track("Segment Consent Preference Updated" if decides else "Looked", user, timestamp=at.isoformat())
        self.shop.send(call | {"context": {"consent": {"categoryPreferences": {purpose: is_yes}}}})
        process_all()
        if not is_yes or ConsentRecord.objects.filter(
            message_id=call["messageId"], purpose__key=purpose, decision=Decision.GRANTED
        ):
            self.naive.say(purpose, user, at, is_yes, self._end(purpose, at), by_event=True)
        elif not decides:
            self.naive.repeat(purpose, user, at)

    @rule(user=users, days=ago)
    def by_browser(self, user: str, days: int) -> None:
        """Global Privacy Control: each device is heard once."""
        at, key = self._at(days), ("anonymous_id", f"d-{user}")
        is_new = not SignalHeard.objects.filter(
            device_id__in=Identifier.objects.filter(namespace=key[0], value=key[1]).values("pk")
        )
        call = track("Looked", user, timestamp=at.isoformat(), anonymousId=key[1])
        self.shop.send(call, asks=int(Asks.OPT_OUT))
        process_all()
        if is_new:
            self.naive.say(ADS, user, at, False, None, by_event=True)

    @rule(user=users, purpose=purposes, is_yes=answers, days=ago)
    def by_file(self, user: str, purpose: str, is_yes: bool, days: int) -> None:
        """Imported, and imported again."""
        at, decision = self._at(days), "granted" if is_yes else "withdrawn"
        if self._profile(user) is None:
            return
        heading = "namespace,value,purpose,decision,collected_at,evidence_form"
        content = f"{heading}\nuser_id,{user},{purpose},{decision},{at.isoformat()},paper".encode()
        for _ in range(2):
            file = files.upload(name="x.csv", content=io.BytesIO(content), creates_people=False, by=BY)
            files.ask_to_apply(file=file, by=BY, user=None)
            done = files.apply(file=file, by=BY, progress=lambda done, total, phase: None)
        assert (done.recorded, done.repeated) == (0, 1)
        if self._counts_at_once(purpose, is_yes):
            self.naive.say(purpose, user, at, is_yes, self._end(purpose, at), by_event=False)

    @rule(data=st.data())
    def confirmed(self, data: st.DataObject) -> None:
        links = list(Confirmation.objects.filter(used_at__isnull=True).select_related("record").order_by("record_id"))
        if not links:
            return
        link = data.draw(st.sampled_from(links))
        user = next((u for u in USERS if (p := self._profile(u)) and p.pk == link.record.profile_id), None)
        at = self._at(0)
        try:
            confirm(confirmation_id=link.pk, at=at, by=BY)
        except (Conflict, NotFound):
            return
        assert user is not None
        self.naive.say(CHILD, user, at, True, self._end(CHILD, at), by_event=False)

    # ---- Who is who --------------------------------------------------------------------------------------------------

    @rule(pair=st.permutations(USERS))
    def merge(self, pair: list[str]) -> None:
        one, other = self._profile(pair[0]), self._profile(pair[1])
        if one is None or other is None or one.pk == other.pk:
            return
        merge = merge_profiles(survivor=one, absorbed=other, reason="the same", by=BY)
        process_all()
        self.joined.append(Joined(merge, *self.naive.join(pair[0], pair[1])))

    @rule(data=st.data())
    def unmerge(self, data: st.DataObject) -> None:
        if self.joined:
            self._undo(data.draw(st.sampled_from(self.joined)))

    def _undo(self, joined: Joined) -> None:
        try:
            undo_merge(merge=joined.merge, by=BY)
        except Conflict:
            return  # another one has to be undone first
        process_all()
        self.joined.remove(joined)
        self.naive.part(joined)
        Walk.parted += 1

    @rule()
    def unmerge_the_last(self) -> None:
        if self.joined:
            self._undo(self.joined[-1])

    @rule(user=users, really=st.sampled_from([False, False, True]))
    def erase(self, user: str, really: bool) -> None:
        profile = self._profile(user)
        if profile is None or not really:
            return
        erase_profile(profile=profile, by=BY, reason="walk")
        process_all()
        gone = self.naive.forget(user)
        self.joined = [one for one in self.joined if not (one.stays | one.came) & gone]

    # ---- Time --------------------------------------------------------------------------------------------------------

    @rule(days=st.integers(1, 6))
    def time_passes(self, days: int) -> None:
        self.now = min(self.now + days * DAY, START + 290 * DAY)

    @rule(purpose=purposes, days=st.sampled_from([None, 2, 5, 12]))
    def lifetime(self, purpose: str, days: int | None) -> None:
        Purpose.objects.filter(key=purpose).update(lifetime_days=days)

    # ---- What must be true -------------------------------------------------------------------------------------------

    @invariant()
    def nobody_is_read_beyond_their_words(self) -> None:
        if not hasattr(self, "naive"):
            return
        at = self.now + timedelta(minutes=1)  # after all that was said today
        known = catalog()
        everybody = set(Profile.objects.values_list("pk", flat=True))
        people = {user: profile for user in USERS if (profile := self._profile(user)) is not None}
        for purpose in Purpose.objects.filter(key__in=PURPOSES):
            read = set(permitted(Profile.objects.all(), purpose, at=at).values_list("pk", flat=True))
            asked = load({"version": 1, "consented": purpose.key}, known)
            assert read == set(postgres.among(asked, known, as_of=at, scope=everybody)), (
                "the rule takes in the same people"
            )
            for user, profile in people.items():
                assert self._prove(profile, purpose, at) == (profile.pk in read), (
                    f"{user}: the records prove what readers see"
                )
                if profile.pk in read:
                    assert self.naive.permits(purpose.key, user, at), (
                        f"{user} is read for {purpose.key} beyond their word"
                    )
                    Walk.permitted += 1
                else:
                    Walk.denied += 1

    def _prove(self, profile: Profile, purpose: Purpose, at: datetime) -> bool:
        """What the records make of it. Not asked as of the moment: people become one in this test today, and speak in the past."""
        records = ConsentRecord.objects.filter(profile_id=profile.pk, purpose=purpose, reach=Reach.PERSON)
        held = replayed(records.order_by("pk"))
        return held is not None and held.is_yes and (held.until is None or held.until > at)


def test_no_order_of_events_ever_widens_a_permission(drill_scale: Callable[..., int]) -> None:
    Walk.permitted = Walk.denied = Walk.parted = 0
    run_state_machine_as_test(Walk, settings=how(drill_scale(full=400, quick=10), drill_scale(full=60, quick=40)))
    # A short walk may part nobody.
    parted = drill_scale(full=50, quick=0)
    assert Walk.permitted > 50 and Walk.denied > 50 and Walk.parted >= parted, "too little happened to prove anything"


def how(examples: int, steps: int) -> Any:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
