"""Whatever happens in whatever order, members that were only swept are those that a full refresh would give.

A walk drawn by Hypothesis: events on time, late, dated ahead and exactly on an edge, traits, merges and their undoing,
new rules, and time that passes in steps which end on, before and after the edges. Nothing but sweeps takes account of time.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import LazySettings
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from cdp.identity.merging import merge_profiles, undo_merge
from cdp.identity.models import Merge
from cdp.profiles.models import Profile, Workspace
from segments import live as live_cache
from segments.catalogue import catalog
from segments.engines import postgres
from segments.feed import number_changes
from segments.models import ChangeKind, ChangeWhy, MembershipChange, Segment, SegmentStatus
from segments.rules import depends_on, load
from segments.sweep import sweep_due
from segments.turning import outlook
from tests.factories import BY, Call, identify, live, performed, process_all, set_live, track, tracker
from tests.integration.books import assert_changes_replay_to_members, member_ids, truth

pytestmark = [pytest.mark.django_db, pytest.mark.drill]

DAY, HOUR, MICROSECOND = timedelta(days=1), timedelta(hours=1), timedelta(microseconds=1)
ZONE = ZoneInfo("Europe/Zurich")
# Well in the past, so that events may be dated ahead of the workspace's clock and yet not of ours. A midnight, so that steps
# of days end on, before and after others.
START = (datetime.now(ZONE) - 300 * DAY).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
USERS = ["ann", "bob", "cyd"]
SHOES = [{"property": "category", "op": "equals", "value": "Shoes"}]
PERIODS: Call = {"performed": "Bought", "measure": "periods", "each": {"days": 1}, "within": {"days": 3}}
CONDITIONS: list[Call] = [
    performed("Bought", within={"days": 1}),
    performed("Bought", 2, within={"days": 3}),
    {"not": performed("Bought", within={"days": 3})},
    {"performed": "Bought", "measure": "sum", "op": "gt", "value": 10, "within": {"hours": 1}},
    {"performed": "Bought", "measure": "sum", "op": "lt", "value": 10, "within": {"days": 1}},
    {"performed": "Bought", "op": "between", "value": [1, 2], "within": {"days": 3}},
    performed("Bought", where=SHOES, within={"days": 1}),
    performed("Looked", 2),
    {"not": performed("Looked")},
    performed("Looked", within={"from": START.date().isoformat(), "to": (START + 6 * DAY).date().isoformat()}),
    {"trait": "renews", "op": "within_last", "value": {"days": 1}},
    {"not": {"trait": "renews", "op": "within_last", "value": {"hours": 1}}},
    {"all": [performed("Bought", within={"days": 3}), {"not": performed("Looked", within={"days": 1})}]},
    {
        "any": [
            performed("Looked", 3, within={"days": 1}),
            {"trait": "renews", "op": "within_last", "value": {"days": 3}},
        ]
    },
    performed("Bought", within="today"),
    performed("Bought", 2, within="yesterday"),
    {"not": performed("Looked", within="this_month")},
    performed("Bought", within={"days": 1, "ago": {"days": 1}}),
    performed("Looked", within={"since": "Bought"}),
    {"not": performed("Bought", 2, within={"since": "Looked"})},
    {"performed": "Bought", "measure": "first_at", "op": "within_last", "value": {"days": 3}},
    {"performed": "Looked", "measure": "last_at", "op": "within_last", "value": {"days": 1}},
    {**PERIODS, "op": "gte", "value": 2},
    {"performed": "Bought", "op": "gt", "within": {"days": 3}, "than": {"performed": "Looked", "within": {"days": 1}}},
    {"sequence": [{"performed": "Looked"}, {"performed": "Bought", "within": {"days": 1}}], "within": {"days": 3}},
    {"sequence": [{"performed": "Looked", "where": SHOES}, {"not_performed": "Bought", "within": {"days": 1}}]},
    {"not": {"sequence": [{"performed": "Bought"}, {"not_performed": "Looked", "within": {"hours": 1}}]}},
    {"trait": "renews", "op": "anniversary", "value": {"days": 1}},
    {"trait": "renews", "op": "within_next", "value": {"days": 3}},
]
READERS: list[Call] = [
    {"all": [{"in_segment": "first"}, {"not": {"in_segment": "second"}}]},
    {"any": [{"in_segment": "second"}, performed("Bought", within={"hours": 1})]},
    {"not": {"in_segment": "first"}},
]
STEPS = [timedelta(0), HOUR, DAY, 3 * DAY]
NUDGES = [-MICROSECOND, timedelta(0), MICROSECOND]
spans = st.builds(lambda step, nudge: step + nudge, st.sampled_from(STEPS), st.sampled_from(NUDGES))


class Walk(RuleBasedStateMachine):
    swept = 0
    turned = 0
    foreseen = 0

    def __init__(self) -> None:
        super().__init__()
        live_cache.forget()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.now = START
        self.seen_changes = 0
        self.merges: list[Merge] = []
        self._set_clock()
        self.shop = tracker()
        start = datetime.now(UTC) - START
        self.shop.send(
            track("Bought", "ann", ago=start + 40 * DAY),
            track("Looked", "ann", ago=start + 40 * DAY),
            identify("ann", ago=start + 40 * DAY, traits={"renews": "2001-01-01"}),
            # Something to lose for everybody: edges lie ahead from the first step on.
            *(
                track(name, user, timestamp=self._at(hours * HOUR), properties={"category": "Shoes", "revenue": 6})
                for hours, user in enumerate(USERS)
                for name in ("Bought", "Looked")
            ),
        )
        process_all()
        # Both are there before the rule that reads them; what they say is changed below.
        self.first = live("first", CONDITIONS[0], cadence="real_time")
        self.second = live("second", CONDITIONS[7], refresh_minutes=60)
        self.reader = live("reader", READERS[0], cadence="daily")

    def _set_clock(self) -> None:
        Workspace.objects.update_or_create(pk=1, defaults={"frozen_at": self.now, "time_zone": ZONE.key})

    def _ago(self, before: timedelta) -> timedelta:
        """For the factories, which count from our clock."""
        return datetime.now(UTC) - (self.now - before)

    def _at(self, before: timedelta) -> str:
        return (self.now - before).isoformat()

    def teardown(self) -> None:
        try:
            self.sweep_all()
            assert_changes_replay_to_members()
        finally:
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)
            live_cache.forget()

    # ---- What happens ----------------------------------------------------------------------------------------

    @rule(
        user=st.sampled_from(USERS),
        name=st.sampled_from(["Bought", "Bought", "Looked"]),
        before=spans,
        ahead=st.booleans(),
        times=st.integers(1, 2),
        category=st.sampled_from(["Shoes", "Bags"]),
        revenue=st.sampled_from([4, 6, 20]),
    )
    def event(
        self, user: str, name: str, before: timedelta, ahead: bool, times: int, category: str, revenue: int
    ) -> None:
        """On time, late, or ahead; the same moment twice, now and then."""
        at = self._at(-before if ahead else before)
        more = {"timestamp": at, "properties": {"category": category, "revenue": revenue}}
        self.shop.send(*(track(name, user, **more) for _ in range(times)))
        process_all()

    @rule(user=st.sampled_from(USERS), before=spans, ahead=st.booleans())
    def trait(self, user: str, before: timedelta, ahead: bool) -> None:
        self.shop.send(
            identify(user, traits={"renews": self._at(-before if ahead else before)}, ago=self._ago(timedelta(0)))
        )
        process_all()

    @precondition(lambda self: len(self.merges) < 1)
    @rule(users=st.permutations(USERS))
    def merge(self, users: list[str]) -> None:
        one, other = (Profile.objects.filter(identifiers__value=user).first() for user in users[:2])
        if one and other and one != other:
            self.merges.append(merge_profiles(survivor=one, absorbed=other, reason="a clerk saw it", by=BY))
            process_all()

    @precondition(lambda self: self.merges)
    @rule()
    def unmerge(self) -> None:
        undo_merge(merge=self.merges.pop(), by=BY)
        process_all()

    @rule(which=st.sampled_from(["first", "second"]), condition=st.sampled_from(CONDITIONS))
    def new_rule(self, which: str, condition: Call) -> None:
        set_live(getattr(self, which), condition)

    @rule(condition=st.sampled_from(READERS))
    def new_reader(self, condition: Call) -> None:
        set_live(self.reader, condition)

    @rule(step=spans, times=st.integers(1, 3))
    def time_passes(self, step: timedelta, times: int) -> None:
        if step > timedelta(0):
            self.now += step * times
            self._set_clock()

    @rule()
    def sweep_what_is_due(self) -> None:
        self._sweep(everything=False)

    @rule()
    def sweep_all(self) -> None:
        self._sweep(everything=True)
        for segment in Segment.objects.filter(status=SegmentStatus.LIVE):
            assert member_ids(segment) == truth(segment, self.now.astimezone(ZONE)), segment.key

    @rule(user=st.sampled_from(USERS), which=st.sampled_from(["first", "second"]))
    def look_ahead(self, user: str, which: str) -> None:
        """The outlook says when the verdict changes, and not a moment sooner."""
        segment = getattr(self, which)
        profile = Profile.objects.filter(identifiers__value=user).first()
        if profile is None:
            return
        seen = outlook(profile=profile, segment=segment)
        segment.refresh_from_db()
        known = catalog()
        wording = load(segment.live_version.rule, known)

        def holds(at: datetime) -> bool:
            return bool(postgres.among(wording, known, as_of=at.astimezone(ZONE), scope=[profile.pk]))

        assert seen.as_of == self.now and seen.belongs is holds(self.now)
        if seen.changes_at is None:
            later = [self.now + days * DAY for days in (1, 2, 3, 5, 400, 4000)]
            seen_until = seen.looked_until
            assert all(holds(at) is seen.belongs for at in later if seen_until is None or at < seen_until)
            return
        Walk.foreseen += 1
        assert seen.changes_at > self.now
        assert holds(seen.changes_at) is not seen.belongs
        assert holds(seen.changes_at - MICROSECOND) is seen.belongs
        assert holds(self.now + (seen.changes_at - self.now) / 2) is seen.belongs

    @rule(step=st.sampled_from([HOUR, DAY, 3 * DAY]), nudge=st.sampled_from(NUDGES))
    def time_passes_and_is_noticed(self, step: timedelta, nudge: timedelta) -> None:
        self.time_passes(step + nudge, 1)
        self.sweep_all()

    def _sweep(self, *, everything: bool) -> None:
        before = list(MembershipChange.objects.values_list("position", flat=True))
        sweep_due(everything=everything)
        number_changes()
        for change in MembershipChange.objects.filter(why=ChangeWhy.TIME).exclude(position__in=before):
            self._became_true_then(change)
        Walk.swept += 1

    # ---- What must be true ------------------------------------------------------------------------------------

    def _became_true_then(self, change: MembershipChange) -> None:
        """At that very moment its verdict was the new one, and just before the old one."""
        assert change.effective_at <= self.now
        known = catalog()
        segment = Segment.objects.get(pk=change.segment_id)
        wording = load(segment.live_version.rule, known)  # type: ignore[union-attr]
        if depends_on(wording).segments:
            return  # what those were at that moment isn't kept
        Walk.turned += 1

        def holds(at: datetime) -> bool:
            return bool(postgres.among(wording, known, as_of=at.astimezone(ZONE), scope=[change.profile_id]))

        entered = change.kind == ChangeKind.ENTERED
        assert holds(change.effective_at) is entered
        assert holds(change.effective_at - MICROSECOND) is not entered

    @invariant()
    def nothing_breaks(self) -> None:
        assert not Segment.objects.exclude(broken_reason="").exists()


@pytest.mark.parametrize("slice_hours", [24 * 365, 30])
def test_sweeps_end_where_a_full_refresh_would(
    drill_scale: Callable[..., int], settings: LazySettings, slice_hours: int
) -> None:
    # Nobody else writes here, so nothing need be looked at twice: an edge that is missed once is missed.
    settings.BATCH_SECONDS = 0
    settings.SWEEP_SLICE_SECONDS = slice_hours * 3600
    Walk.swept = Walk.turned = Walk.foreseen = 0
    run_state_machine_as_test(Walk, settings=how(drill_scale(full=400, quick=20), drill_scale(full=40, quick=25)))
    assert Walk.swept > 10 and Walk.turned > 5 and Walk.foreseen, "too little happened to prove anything"


def how(examples: int, steps: int) -> Any:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
