"""Whatever happens to people, rules and clocks, in whatever order: members, their changes and the books stay right.

Histories drawn by Hypothesis, through the platform's own services. Whatever one of them leaves undone (requests in the
inbox, people to be judged anew, changes to be numbered, rules to be refreshed) waits until the history goes on with it,
as it would for processes that are behind.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import transaction
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from cdp.accountability.applying import apply_retention
from cdp.accountability.models import Kind, RetentionRun
from cdp.accountability.rules import CONFIRMATION, set_rule
from cdp.erasure import erase_profile
from cdp.errors import Conflict
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.ingestion import keys
from cdp.ingestion.models import Quarantined
from cdp.jobs.models import Job, JobState
from cdp.pipeline import drain_dirty, process_batch
from cdp.profiles import catalogue
from cdp.profiles.models import EventName, Profile, Workspace
from cdp.profiles.rate_services import Rate, set_rates
from cdp.profiles.tasks import convert_again
from segments import live as live_cache
from segments.catalogue import catalog
from segments.engines import postgres
from segments.feed import number_changes
from segments.lists import add_people, remove_people
from segments.live import rules_now
from segments.models import DriftCheck, MembershipChange, Segment, SegmentStatus, StaticList
from segments.moments import moment_of_judgement
from segments.people import load_people
from segments.refresh import refresh, request_due_refreshes
from segments.rules import RuleErrors, evaluate
from segments.services import InUse, archive, publish, restore, save_version
from segments.sweep import sweep_due
from segments.tasks import refresh as refresh_by_job
from segments.thresholds import recompute, with_thresholds
from tests.factories import BY, Call
from tests.integration.books import (
    assert_changes_replay_to_members,
    assert_feed_has_no_gaps,
    assert_nobody_is_orphaned,
    assert_totals_equal_events,
    member_ids,
    rows,
)
from tests.integration.histories import (
    KINDS,
    STEPS,
    ZONES,
    Shop,
    nudged,
    rules,
    said,
    some_merge,
    some_segment,
    somebody,
)
from tests.integration.traces import LASTING, tables_that_know

pytestmark = [pytest.mark.django_db, pytest.mark.drill]

SEEDS = st.integers(0, 2**32)
# What may happen, and how often of so many times.
ACTS = {
    "something_is_told": 12,
    "the_past_is_imported": 3,
    "a_clerk_merges": 2,
    "a_merge_is_undone": 2,
    "somebody_is_erased": 1,
    "what_is_over_goes": 1,
    "scores_are_published": 2,
    "a_list_is_changed": 2,
    "a_rate_is_corrected": 1,
    "percentiles_are_taken_anew": 1,
    "a_rule_is_published": 4,
    "a_segment_is_archived": 1,
    "the_workspace_moves": 1,
    "a_consumer_takes_some": 2,
    "a_consumer_drains_some": 2,
    "a_consumer_numbers": 1,
    "the_sweeper_looks": 2,
    "a_worker_takes_a_job": 2,
    "a_segment_is_refreshed": 1,
    "time_passes": 3,
    "time_passes_and_all_catch_up": 6,
}
OFTEN = st.sampled_from([name for name, times in ACTS.items() for _ in range(times)])
# What a rule that is published may be refused for: it would read itself, or it reads what is not in use.
REFUSED = {"segment_cycle", "unusable_segment", "unpublished_score"}
# What a job may come to nothing for: its segment was put away meanwhile, or waits for scores.
CAME_TO_NOTHING = {"segment_not_live", "segment_broken"}

TASKS = {task.name: task for task in (convert_again, refresh_by_job)}


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
        self.erased: list[int] = []

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)
            _forget()

    @initialize(seed=SEEDS)
    def begin(self, seed: int) -> None:
        """People come before rules do, so that refreshes find somebody."""
        self._tell("server", Random(seed), 12)
        self._consume()
        self.shop.open()

    @rule(what=OFTEN, seed=SEEDS, data=st.data())
    def step(self, what: str, seed: int, data: st.DataObject) -> None:
        """One of the acts below. Which, is drawn by one rule: of many rules Hypothesis leaves out half in each history."""
        if what == "a_rule_is_published":
            self.a_rule_is_published(Random(seed), data.draw(rules()))
        else:
            getattr(self, what)(Random(seed))

    # ---- What people do ------------------------------------------------------------------------------------------

    def something_is_told(self, chance: Random) -> None:
        """To be processed at once, or when a consumer comes to it."""
        self._tell(chance.choice(["server", "server", "browser"]), chance, chance.randint(1, 4))
        if chance.random() < 0.6:
            self._consume()

    def the_past_is_imported(self, chance: Random) -> None:
        self._tell("import", chance, chance.randint(1, 6), is_past=True)

    def _tell(self, source: str, chance: Random, calls: int, *, is_past: bool = False) -> None:
        told = [said(chance, is_past=is_past) for _ in range(calls)]
        note("\n".join(f"    {before} ago: {call}" for call, before in told))
        self.shop.tell(source, *told)

    def a_clerk_merges(self, chance: Random) -> None:
        survivor, absorbed = somebody(chance), somebody(chance)
        if survivor and absorbed and survivor != absorbed:
            merge_profiles(survivor=survivor, absorbed=absorbed, reason="a clerk saw it", by=BY)
            self._count("merges by hand")

    def a_merge_is_undone(self, chance: Random) -> None:
        if merge := some_merge(chance):
            try:
                undo_merge(merge=merge, by=BY)
                self._count("merges undone")
            except Conflict as refused:
                if refused.code != "survivor_absorbed":
                    raise

    def somebody_is_erased(self, chance: Random) -> None:
        if person := somebody(chance):
            erased = erase_profile(profile=person, by=BY, reason="request 12")
            assert erased is not None and erased.uuid == person.uuid
            self.erased.append(person.pk)
            self._count("erased")

    def what_is_over_goes(self, chance: Random) -> None:
        """By a rule that is new, or by those there are."""
        if chance.random() < 0.5:
            name = EventName.objects.get(name=chance.choice(["Bought", "Looked", "Order Completed", "Page Viewed"]))
            days = chance.choice([1, 7, 60])
            set_rule(kind=Kind.EVENTS, event_name=name, days=days, by=BY, confirmation=CONFIRMATION)
        run = RetentionRun.objects.create(job_uuid=uuid4(), as_of=self.shop.now)
        apply_retention(run=run, progress=lambda done, total, phase: None)
        self._count("retention applied")

    # ---- What models, lists, rates and percentiles say -----------------------------------------------------------

    def scores_are_published(self, chance: Random) -> None:
        self.shop.publish_scores(chance.choice(KINDS), chance=chance, is_complete=chance.random() < 0.7)

    def a_list_is_changed(self, chance: Random) -> None:
        people = [person.pk for _ in range(2) if (person := somebody(chance))]
        change = chance.choice([add_people, remove_people])
        change(static_list=StaticList.objects.get(key=chance.choice(["vip", "staff"])), profile_ids=people, by=BY)

    def a_rate_is_corrected(self, chance: Random) -> None:
        """The job that converts again is left to a worker."""
        day: date = (self.shop.now - timedelta(days=chance.choice([0, 1, 5, 40, 300]))).date()
        set_rates(rates=[Rate("EUR", day, Decimal(chance.choice(["0.5", "1.25", "2"])))], by=BY)

    def percentiles_are_taken_anew(self, _: Random) -> None:
        recompute(progress=lambda done, total, phase: None)

    # ---- What becomes of segments --------------------------------------------------------------------------------

    def a_rule_is_published(self, chance: Random, document: Call) -> None:
        segment = some_segment(chance)
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

    def a_segment_is_archived(self, chance: Random) -> None:
        segment = some_segment(chance, status=SegmentStatus.LIVE)
        if segment is not None:
            try:
                archive(segment=segment, by=BY)
                self._count("segments archived")
            except InUse:
                pass

    def the_workspace_moves(self, chance: Random) -> None:
        """To another time zone: its days and weeks are other ones from now on."""
        Workspace.objects.update(time_zone=chance.choice(ZONES))

    # ---- What the processes do -----------------------------------------------------------------------------------

    def a_consumer_takes_some(self, chance: Random) -> None:
        process_batch(messages=chance.randint(1, 3))

    def a_consumer_drains_some(self, chance: Random) -> None:
        drain_dirty(limit=chance.randint(1, 3))

    def a_consumer_numbers(self, _: Random) -> None:
        number_changes()

    def the_sweeper_looks(self, chance: Random) -> None:
        sweep_due(everything=chance.random() < 0.3)

    def a_worker_takes_a_job(self, _: Random) -> None:
        self._work(jobs=1)

    def a_segment_is_refreshed(self, chance: Random) -> None:
        segment = some_segment(chance, status=SegmentStatus.LIVE, pk__in=rules_now().segment_ids)
        if segment is not None:
            refresh(segment=segment, progress=lambda done, total, phase: None)

    def time_passes(self, chance: Random) -> None:
        self._look_at_changes()
        if (step := nudged(chance, STEPS) * chance.randint(1, 2)) > timedelta(0):
            note(f"    {step}")
            self.shop.move_clock(step)

    def time_passes_and_all_catch_up(self, chance: Random) -> None:
        self.time_passes(chance)
        self.settle()

    def settle(self, _: Random | None = None) -> None:
        """Every process catches up; then everything must be as if the rules had been asked just now."""
        self._consume()
        request_due_refreshes()
        self._work()
        sweep_due(everything=True)
        while drain_dirty():
            pass
        number_changes()
        self._count("settled")
        self._look_at_changes()
        self._members_are_who_both_engines_say()
        assert_changes_replay_to_members()
        assert_nobody_is_orphaned()
        self._values_follow_rates()
        assert not self.erased or tables_that_know(self.erased) <= LASTING

    def _consume(self) -> None:
        while process_batch().requests:
            pass

    def _work(self, jobs: int | None = None) -> None:
        """As workers do: the jobs that wait, in order, each by its own task."""
        for job in Job.objects.filter(state=JobState.QUEUED).order_by("pk")[:jobs]:
            TASKS[job.kind].apply(args=[job.pk]).get()
            job.refresh_from_db()
            assert job.state == JobState.SUCCEEDED or job.error_code in CAME_TO_NOTHING, (job.kind, job.error_code)

    def _count(self, what: str) -> None:
        self.happened[what] = self.happened.get(what, 0) + 1

    # ---- What must be true ---------------------------------------------------------------------------------------

    def _members_are_who_both_engines_say(self) -> None:
        live = [one for level in rules_now().levels for one in level]
        everybody = list(Profile.objects.values_list("pk", flat=True))
        as_of = moment_of_judgement()
        people = load_people(everybody, live, asked_from=as_of)
        assert people.keys() == set(everybody)
        for one in live:
            known = with_thresholds(catalog(), one.rule)
            compiled = postgres.among(one.rule, known, as_of=as_of, scope=everybody)
            told = {profile_id for profile_id, person in people.items() if evaluate(one.rule, person, as_of)}
            assert member_ids(Segment.objects.get(pk=one.segment_id)) == compiled == told, one.key
            self._count("members of some" if compiled else "members of none")

    def _values_follow_rates(self) -> None:
        """Whatever was sent is worth what the rates of now make of it, whenever they came."""
        assert rows("""
            SELECT e.message_id, e.currency, e.amount, e.value, r.rate FROM profiles_event e LEFT JOIN LATERAL (
                   SELECT r.rate FROM profiles_exchangerate r WHERE r.currency = e.currency
                      AND r.day <= (e.occurred_at AT TIME ZONE 'UTC')::date
                      AND r.day >= (e.occurred_at AT TIME ZONE 'UTC')::date - 7 ORDER BY r.day DESC LIMIT 1) r ON true
             WHERE e.type <> 7 AND e.amount IS NOT NULL AND e.value IS DISTINCT FROM
                   CASE WHEN e.currency IS NULL OR e.currency = 'USD' THEN e.amount ELSE e.amount * r.rate END
        """) == []  # fmt: skip

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
        broken = Segment.objects.exclude(broken_reason="").exclude(waits_for_scores=True)
        assert list(broken.values_list("key", "broken_reason")) == []
        # What a browser says of the year before last is not believed.
        assert set(Quarantined.objects.values_list("code", flat=True)) <= {"timestamp_out_of_range"}

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
    """In full 200 histories of 50 steps each, which takes some minutes."""
    # Nobody else writes here, so nothing need be looked at twice: an edge that is missed once is missed.
    settings.BATCH_SECONDS = 0
    History.happened = {}
    run_state_machine_as_test(History, settings=how(drill_scale(full=200, quick=10), drill_scale(full=50, quick=25)))
    wanted = drill_scale(full=len(WANTED), quick=3)
    assert set(WANTED[:wanted]) - History.happened.keys() == set(), "too little happened to prove anything"


WANTED = [
    "settled", "entered by time", "members of some",
    "entered by event", "exited by event", "exited by time", "exited by rule", "exited by merge", "exited by erasure",
    "entered by edit", "rules published", "segments archived", "merges by hand", "merges undone", "erased",
]  # fmt: skip


def how(examples: int, steps: int) -> Any:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        # To explain a failure takes longer than to find it, when each step is a transaction.
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
