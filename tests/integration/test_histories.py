"""Whatever happens to people, rules and clocks, in whatever order: members, their changes and the books stay right.

Histories drawn by Hypothesis, through the platform's own services. Whatever one of them leaves undone (requests in the
inbox, people to be judged anew, changes to be numbered, rules to be refreshed) waits until the history goes on with it,
as it would for processes that are behind.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import LazySettings
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from cdp.errors import Conflict
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.ingestion import keys
from cdp.ingestion.models import Quarantined
from cdp.pipeline import drain_dirty, process_batch
from cdp.profiles import catalogue
from cdp.profiles.models import Profile
from segments import live as live_cache
from segments.feed import number_changes
from segments.live import rules_now
from segments.models import DriftCheck, MembershipChange, Segment, SegmentStatus
from segments.refresh import refresh, request_due_refreshes
from segments.rules import RuleErrors, evaluate
from segments.services import InUse, archive, publish, restore, save_version
from segments.sweep import sweep_due
from segments.turning import load_people
from tests.factories import BY, Call
from tests.integration.books import (
    assert_changes_replay_to_members,
    assert_feed_has_no_gaps,
    assert_members_are_who_the_rules_say,
    assert_totals_equal_events,
    member_ids,
)
from tests.integration.histories import (
    BEFORE,
    CALLS,
    LATE,
    LONG_AGO,
    STEPS,
    ZONE,
    Shop,
    nudged,
    rules,
    some_merge,
    some_segment,
    somebody,
)

pytestmark = [pytest.mark.django_db, pytest.mark.drill]

NUMBERS = st.integers(0, 11)
# What a rule that is published may be refused for: it would read itself, or it reads what is not in use.
REFUSED = {"segment_cycle", "segment_unusable"}


class History(RuleBasedStateMachine):
    happened: dict[str, int] = {}

    def __init__(self) -> None:
        super().__init__()
        _forget()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.shop = Shop()
        # By segment and person, when their newest change took effect; and how many changes have been looked at.
        self.effective: dict[tuple[int, int], datetime] = {}
        self.looked_at = 0

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)
            _forget()

    @initialize(calls=st.lists(st.tuples(CALLS, BEFORE), min_size=6, max_size=12))
    def begin(self, calls: list[tuple[Call, timedelta]]) -> None:
        """People come before rules do, so that refreshes find somebody."""
        self.shop.tell("server", *calls)
        self._consume()
        self.shop.open()

    # ---- What people do ------------------------------------------------------------------------------------------

    @rule(
        source=st.sampled_from(["server", "server", "browser"]),
        calls=st.lists(st.tuples(CALLS, BEFORE), min_size=1, max_size=3),
        waits=st.booleans(),
    )
    def something_is_told(self, source: str, calls: list[tuple[Call, timedelta]], waits: bool) -> None:
        self.shop.tell(source, *calls)
        if not waits:
            self._consume()

    @rule(calls=st.lists(st.tuples(CALLS, LATE | LONG_AGO), min_size=1, max_size=5))
    def the_past_is_imported(self, calls: list[tuple[Call, timedelta]]) -> None:
        self.shop.tell("import", *calls)
        self._consume()

    @rule(one=NUMBERS, other=NUMBERS)
    def a_clerk_merges(self, one: int, other: int) -> None:
        survivor, absorbed = somebody(one), somebody(other)
        if survivor and absorbed and survivor != absorbed:
            merge_profiles(survivor=survivor, absorbed=absorbed, reason="a clerk saw it", by=BY)
            self._count("merges by hand")

    @rule(number=NUMBERS)
    def a_merge_is_undone(self, number: int) -> None:
        if merge := some_merge(number):
            try:
                undo_merge(merge=merge, by=BY)
                self._count("merges undone")
            except Conflict as refused:
                if refused.code != "survivor_absorbed":
                    raise

    # ---- What becomes of segments --------------------------------------------------------------------------------

    @rule(number=NUMBERS, document=rules(), refreshed=st.booleans())
    def a_rule_is_published(self, number: int, document: Call, refreshed: bool) -> None:
        segment = some_segment(number)
        assert segment is not None
        if segment.status == SegmentStatus.ARCHIVED:
            segment = restore(segment=segment, by=BY)
        try:
            publish(segment=segment, version=save_version(segment=segment, rule=document, by=BY), by=BY)
        except RuleErrors as refused:
            if not {error.code for error in refused.errors} <= REFUSED:
                raise
            return
        self._count("rules published")
        if refreshed:
            self._refresh_what_asks_for_it()

    @rule(number=NUMBERS)
    def a_segment_is_archived(self, number: int) -> None:
        segment = some_segment(number, status=SegmentStatus.LIVE)
        if segment is not None:
            try:
                archive(segment=segment, by=BY)
                self._count("segments archived")
            except InUse:
                pass

    # ---- What the processes do -----------------------------------------------------------------------------------

    @rule(messages=st.integers(1, 3))
    def a_consumer_takes_some(self, messages: int) -> None:
        process_batch(messages=messages)

    @rule(limit=st.integers(1, 2))
    def a_consumer_drains_some(self, limit: int) -> None:
        drain_dirty(limit=limit)

    @rule()
    def a_consumer_numbers(self) -> None:
        number_changes()

    @rule()
    def the_sweeper_looks(self) -> None:
        sweep_due()

    @rule()
    def the_sweeper_looks_at_everything(self) -> None:
        sweep_due(everything=True)

    @rule(number=NUMBERS)
    def a_segment_is_refreshed(self, number: int) -> None:
        segment = some_segment(number, status=SegmentStatus.LIVE)
        if segment is not None:
            refresh(segment=segment, progress=lambda done, total, phase: None)

    @rule(step=nudged(STEPS), times=st.integers(1, 3))
    def time_passes(self, step: timedelta, times: int) -> None:
        self._look_at_changes()
        if step > timedelta(0):
            self.shop.move_clock(step * times)

    @rule(step=nudged(STEPS[1:]))
    def time_passes_and_all_catch_up(self, step: timedelta) -> None:
        self.time_passes(step, 1)
        self.settle()

    @rule()
    def settle(self) -> None:
        """Every process catches up; then everything must be as if the rules had been asked just now."""
        self._consume()
        self._refresh_what_asks_for_it()
        sweep_due(everything=True)
        while drain_dirty():
            pass
        number_changes()
        self._count("settled")
        self._look_at_changes()
        assert_members_are_who_the_rules_say()
        self._members_are_who_the_reference_engine_says()
        assert_changes_replay_to_members()

    def _consume(self) -> None:
        while process_batch().requests:
            pass

    def _refresh_what_asks_for_it(self) -> None:
        """As workers do: whatever is live and was never brought in line with its rule has asked for that."""
        request_due_refreshes()
        for segment in Segment.objects.filter(status=SegmentStatus.LIVE, sweep_state=None).order_by("pk"):
            refresh(segment=segment, progress=lambda done, total, phase: None)

    def _count(self, what: str) -> None:
        self.happened[what] = self.happened.get(what, 0) + 1

    # ---- What must be true ---------------------------------------------------------------------------------------

    def _members_are_who_the_reference_engine_says(self) -> None:
        live = [one for level in rules_now().levels for one in level]
        people = load_people(Profile.objects.values_list("pk", flat=True), live)
        assert len(people) == Profile.objects.count()
        as_of = self.shop.now.astimezone(ZoneInfo(ZONE))
        for one in live:
            expected = {profile_id for profile_id, person in people.items() if evaluate(one.rule, person, as_of)}
            assert member_ids(Segment.objects.get(pk=one.segment_id)) == expected, one.key

    def _look_at_changes(self) -> None:
        """Those numbered since the last look: each took effect neither after it was recorded nor before the one before."""
        number_changes()
        new = MembershipChange.objects.filter(position__gt=self.looked_at).order_by("position")
        for change in new:
            whose = change.segment_id, change.profile_id
            assert change.effective_at <= self.shop.now, f"{change.kind} takes effect in the future"
            before = self.effective.get(whose)
            assert before is None or before <= change.effective_at, f"{change.kind} before what came before it"
            self.effective[whose] = change.effective_at
            self.looked_at = change.position
            self._count(f"{change.kind} by {change.why}")

    @invariant()
    def nothing_breaks(self) -> None:
        assert list(Segment.objects.exclude(broken_reason="").values_list("key", "broken_reason")) == []
        assert list(Quarantined.objects.values_list("code", flat=True)) == []

    @invariant()
    def the_books_balance(self) -> None:
        assert_totals_equal_events()
        assert_feed_has_no_gaps()

    @invariant()
    def nothing_drifts(self) -> None:
        assert list(DriftCheck.objects.exclude(missing=0, extra=0).values("segment__key", "missing", "extra")) == []


def _forget() -> None:
    for module in (catalogue, keys, live_cache):
        module.forget()


def test_any_history_leaves_members_where_their_rules_put_them(
    drill_scale: Callable[..., int], settings: LazySettings
) -> None:
    # Nobody else writes here, so nothing need be looked at twice: an edge that is missed once is missed.
    settings.BATCH_SECONDS = 0
    History.happened = {}
    run_state_machine_as_test(History, settings=how(drill_scale(full=300, quick=12), drill_scale(full=60, quick=30)))
    assert missing_of(History.happened) == set(), "too little happened to prove anything"


def missing_of(happened: dict[str, int]) -> set[str]:
    """What never happened of all that histories are for."""
    wanted = {f"{kind} by {why}" for kind in ("entered", "exited") for why in ("event", "time")}
    wanted |= {"exited by merge", "settled", "merges by hand", "merges undone", "rules published", "segments archived"}
    return wanted - happened.keys()


def how(examples: int, steps: int) -> Any:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
