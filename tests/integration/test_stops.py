"""What is halted for a person: they appear for no purpose it reaches, by any way of reading, and what they decided stays as it was."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict, NotFound
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.profiles.models import Profile
from consent import stops
from consent.models import ConsentRecord, ConsentStop, ConsentStopped, Decision, Mode, Purpose, StopKind
from consent.moments import held_at
from consent.purposes import permitting
from consent.querysets import permitted, stopped_by
from segments.catalogue import catalog_for
from segments.engines import postgres
from segments.live import rules_now
from segments.people import load_people
from segments.querysets import members_of
from segments.rules import Person, depends_on, evaluate, load, parse
from segments.standing import how_people_stand
from tests.factories import BY, identify, live, members, performed, person, process_all, rule, track, tracker
from tests.integration.callers import decide

EMAIL, ANALYSIS, RIGHTS = "marketing_email", "internal_analysis", "privacy_rights"


@pytest.fixture
def people(db: None) -> tuple[Profile, Profile]:
    """Ann and Bob, who both permit email."""
    shop = tracker()
    for user in ("ann", "bob"):
        shop.send(identify(user, traits={"city": "Bern"}), track("Bought", user))
    process_all()
    for user in ("ann", "bob"):
        decide(user, EMAIL, Decision.GRANTED)
    Purpose.objects.create(key="orders", label="Orders", text=".", lawful_basis="contract", mode=Mode.NOTICE_ONLY)
    Purpose.objects.filter(key=EMAIL).update(covers_profiling=True)
    Purpose.objects.filter(key=ANALYSIS).update(covers_profiling=False)
    return person("ann"), person("bob")


def readable(purpose: str) -> set[int]:
    return set(permitted(Profile.objects.all(), Purpose.objects.get(key=purpose)).values_list("pk", flat=True))


def by_every_engine(purpose: str) -> list[set[int]]:
    """Who permits it, by the queryset, by the compiled rule over one, over some and over all, and by the reference engine."""
    parsed = parse(rule({"consented": purpose}))
    catalog = catalog_for([depends_on(parsed)])
    loaded, now = load(rule({"consented": purpose}), catalog), timezone.now()
    everybody = set(Profile.objects.values_list("pk", flat=True))
    stands = how_people_stand(sorted(everybody), [depends_on(loaded)])
    reference = {pk for pk in everybody if evaluate(loaded, Person(id=pk, **stands[pk].asked), now)}
    return [
        readable(purpose),
        {pk for pk in everybody if pk in postgres.among(loaded, catalog, as_of=now, scope=[pk])},
        postgres.among(loaded, catalog, as_of=now, scope=everybody),
        set(postgres.sample(loaded, catalog, as_of=now, size=100, may_show=Profile.objects.values("pk"))),
        reference,
    ]


REACHES = {
    StopKind.RESTRICTION: {EMAIL, ANALYSIS, "orders"},
    StopKind.PROFILING: {EMAIL},
    StopKind.LEGITIMATE_INTERESTS: {ANALYSIS},
}


@pytest.mark.parametrize("kind", StopKind)
def test_a_stop_reaches_its_purposes_in_all_engines_and_no_others(
    people: tuple[Profile, Profile], kind: StopKind
) -> None:
    ann, bob = people
    both = {ann.pk, bob.pk}
    for purpose in (EMAIL, ANALYSIS, "orders", RIGHTS):
        assert all(found == both for found in by_every_engine(purpose)), purpose
    stops.stop(profile=ann, kind=kind, by=BY, why="PR-1")
    for purpose in (EMAIL, ANALYSIS, "orders", RIGHTS):
        expected = {bob.pk} if purpose in REACHES[kind] else both
        assert by_every_engine(purpose) == [expected] * 5, purpose
    stops.lift(profile=ann, kind=kind, by=BY)
    for purpose in (EMAIL, ANALYSIS, "orders", RIGHTS):
        assert all(found == both for found in by_every_engine(purpose)), purpose


def test_segments_follow_at_once_and_decisions_are_not_touched(people: tuple[Profile, Profile]) -> None:
    ann, _ = people
    segment, other = live("mailable", {"consented": EMAIL}), live("buyers", performed("Bought"))
    stops.stop(profile=ann, kind=StopKind.RESTRICTION, by=BY)
    assert members(segment) == {"bob"}
    assert members(other) == {"ann", "bob"}, "the rule doesn't ask; reading does"
    purpose = Purpose.objects.get(key=ANALYSIS)
    assert [m.profile_id for m in members_of(other, purpose)] == [people[1].pk]
    decide("ann", EMAIL, Decision.GRANTED)
    assert members(segment) == {"bob"}, "a yes of theirs doesn't lift it"
    stops.lift(profile=ann, kind=StopKind.RESTRICTION, by=BY)
    assert members(segment) == {"ann", "bob"}
    assert ConsentRecord.objects.exclude(decision=Decision.GRANTED).count() == 0


def test_stopping_twice_is_once_and_lifting_twice_is_refused(people: tuple[Profile, Profile]) -> None:
    ann, _ = people
    one = stops.stop(profile=ann, kind=StopKind.PROFILING, by=BY)
    assert stops.stop(profile=ann, kind=StopKind.PROFILING, by=BY).pk == one.pk
    stops.lift(profile=ann, kind=StopKind.PROFILING, by=BY)
    with pytest.raises(Conflict):
        stops.lift(profile=ann, kind=StopKind.PROFILING, by=BY)
    said = list(AuditEntry.objects.filter(action__startswith="consent.stop").values_list("action", flat=True))
    assert sorted(said) == ["consent.stop_lifted", "consent.stopped"]
    with pytest.raises(NotFound):
        stops.stop(profile=Profile(pk=10**9), kind=StopKind.PROFILING, by=BY)


def test_a_purpose_that_comes_later_is_reached_too(people: tuple[Profile, Profile]) -> None:
    ann, bob = people
    stops.stop(profile=ann, kind=StopKind.LEGITIMATE_INTERESTS, by=BY)
    Purpose.objects.create(key="new", label="New", text=".", lawful_basis="legitimate_interests", mode=Mode.OPT_OUT)
    assert by_every_engine("new") == [{bob.pk}] * 5
    Purpose.objects.filter(key="new").update(lawful_basis="contract")
    assert by_every_engine("new") == [{ann.pk, bob.pk}] * 5


def test_a_merge_carries_every_stop_and_parting_leaves_it_with_both(people: tuple[Profile, Profile]) -> None:
    ann, bob = people
    stops.stop(profile=ann, kind=StopKind.RESTRICTION, by=BY)
    stops.stop(profile=ann, kind=StopKind.PROFILING, by=BY)
    stops.stop(profile=bob, kind=StopKind.PROFILING, by=BY)
    merge = merge_profiles(survivor=bob, absorbed=ann, reason="a clerk saw it", by=BY)
    held = ConsentStop.objects.filter(lifted_at=None)
    assert sorted(held.values_list("profile_id", "kind")) == [(bob.pk, "profiling"), (bob.pk, "restriction")]
    assert readable(ANALYSIS) == set()
    restored = undo_merge(merge=merge, by=BY)
    assert set(held.values_list("profile_id", flat=True)) == {bob.pk, restored.pk}
    assert held.count() == 4 and readable(ANALYSIS) == set()
    process_all()
    stops.lift(profile=bob, kind=StopKind.RESTRICTION, by=BY)
    assert readable(ANALYSIS) == {bob.pk} and readable(EMAIL) == set(), "that one may still not be profiled"


def test_chains_of_merges_leave_one_stop_of_each_kind(db: None) -> None:
    shop = tracker()
    shop.send(*(track("Bought", user) for user in "abcd"))
    process_all()
    profiles = [person(user) for user in "abcd"]
    for profile in profiles[1:]:
        stops.stop(profile=profile, kind=StopKind.RESTRICTION, by=BY)
    for absorbed in profiles[1:]:
        merge_profiles(survivor=profiles[0], absorbed=absorbed, reason="same", by=BY)
    held = ConsentStop.objects.filter(lifted_at=None)
    assert list(held.values_list("profile_id", "kind")) == [(profiles[0].pk, "restriction")]
    ended = ConsentStop.objects.exclude(lifted_at=None)
    assert set(ended.values_list("profile_id", flat=True)) == {one.pk for one in profiles[1:]}, (
        "each keeps its own past"
    )


def test_what_held_at_a_moment_knows_of_stops(people: tuple[Profile, Profile]) -> None:
    ann, _ = people
    before = datetime.now(UTC)
    stops.stop(profile=ann, kind=StopKind.RESTRICTION, by=BY)
    during = datetime.now(UTC)
    stops.lift(profile=ann, kind=StopKind.RESTRICTION, by=BY)

    def told(at: datetime, **known: Any) -> dict[str, tuple[bool, bool]]:
        return {one.purpose.key: (one.permits, one.is_stopped) for one in held_at(profile_id=ann.pk, at=at, **known)}

    assert told(before)[ANALYSIS] == (True, False)
    assert told(during)[ANALYSIS] == (False, True) and told(during)[RIGHTS] == (True, False)
    assert told(during, known_at=before)[ANALYSIS] == (True, False)
    assert told(datetime.now(UTC))[ANALYSIS] == (True, False)


def test_until_they_became_one_a_stop_was_each_ones_own(people: tuple[Profile, Profile]) -> None:
    ann, bob = people
    stops.stop(profile=ann, kind=StopKind.RESTRICTION, by=BY)
    before = datetime.now(UTC)
    assert readable(ANALYSIS) == {bob.pk}
    merge = merge_profiles(survivor=bob, absorbed=ann, reason="a clerk saw it", by=BY)
    merged = datetime.now(UTC)
    undo_merge(merge=merge, by=BY)

    def stopped(profile: Profile, at: datetime) -> bool:
        return next(one.is_stopped for one in held_at(profile_id=profile.pk, at=at) if one.purpose.key == ANALYSIS)

    assert (stopped(ann, before), stopped(bob, before)) == (True, False), "readers were given Bob"
    assert stopped(bob, merged) and stopped(ann, datetime.now(UTC)) and stopped(bob, datetime.now(UTC))


def test_that_a_stop_was_lifted_is_not_known_before(people: tuple[Profile, Profile]) -> None:
    ann, _ = people
    stops.stop(profile=ann, kind=StopKind.RESTRICTION, by=BY)
    during = datetime.now(UTC)
    stops.lift(profile=ann, kind=StopKind.RESTRICTION, by=BY)
    now = datetime.now(UTC)
    [held] = [one for one in held_at(profile_id=ann.pk, at=now, known_at=during) if one.purpose.key == ANALYSIS]
    assert held.is_stopped and not held.permits


def test_the_log_tells_of_each_stop_that_a_merge_or_its_undoing_brings(people: tuple[Profile, Profile]) -> None:
    ann, bob = people
    stops.stop(profile=ann, kind=StopKind.RESTRICTION, by=BY, why="PR-1")
    merge = merge_profiles(survivor=bob, absorbed=ann, reason="a clerk saw it", by=BY)
    undo_merge(merge=merge, by=BY)
    told = AuditEntry.objects.filter(action__startswith="consent.stop", detail__why="PR-1").order_by("recorded_at")
    assert sorted(told.values_list("action", "object_id")) == sorted([
        ("consent.stopped", str(ann.uuid)), ("consent.stop_followed", str(ann.uuid)),
        ("consent.stopped", str(bob.uuid)), ("consent.stopped", str(ann.uuid)),
    ])  # fmt: skip
    assert {entry.detail["stop"] for entry in told} == set(map(str, ConsentStop.objects.values_list("uuid", flat=True)))


def test_who_is_stopped_is_counted_nowhere(people: tuple[Profile, Profile]) -> None:
    ann, _ = people
    three = list(Purpose.objects.filter(key__in=(EMAIL, ANALYSIS, "orders", RIGHTS)))
    assert set(permitting(three).values()) == {2}
    stops.stop(profile=ann, kind=StopKind.RESTRICTION, by=BY)
    stops.stop(profile=ann, kind=StopKind.PROFILING, by=BY)
    decide("ann", ANALYSIS, Decision.WITHDRAWN)
    assert {one.key: permitting([one])[one.pk] for one in three} == {EMAIL: 1, ANALYSIS: 1, "orders": 1, RIGHTS: 2}
    assert {one.key: len(readable(one.key)) for one in three} == {EMAIL: 1, ANALYSIS: 1, "orders": 1, RIGHTS: 2}


@pytest.mark.parametrize("change", [
    "DELETE FROM consent_stop", "TRUNCATE consent_stop", "UPDATE consent_stop SET lifted_at = NULL",
    "UPDATE consent_stop SET lifted_at = since", "UPDATE consent_stop SET since = since - interval '1 day'",
    "UPDATE consent_stop SET profile_id = profile_id + 1", "UPDATE consent_stop SET kind = 'profiling'",
    "UPDATE consent_stop SET uuid = gen_random_uuid()", "UPDATE consent_stop SET why = 'else'",
])  # fmt: skip
def test_a_stop_can_only_be_lifted_and_once(people: tuple[Profile, Profile], change: str) -> None:
    ann, _ = people
    stops.stop(profile=ann, kind=StopKind.RESTRICTION, by=BY)
    stops.lift(profile=ann, kind=StopKind.RESTRICTION, by=BY)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


@pytest.mark.parametrize("kind", StopKind)
def test_what_a_stop_reaches_is_said_alike_in_python_and_in_the_database(
    people: tuple[Profile, Profile], kind: StopKind
) -> None:
    ann, _ = people
    stops.stop(profile=ann, kind=kind, by=BY)
    by_view = set(ConsentStopped.objects.filter(profile_id=ann.pk).values_list("purpose__key", flat=True))
    assert by_view == {one.key for one in Purpose.objects.all() if kind in stopped_by(one)}


def test_the_view_can_only_be_read(people: tuple[Profile, Profile]) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM consent_stopped")


def test_the_reference_engine_loads_people_without_what_is_stopped(people: tuple[Profile, Profile]) -> None:
    ann, bob = people
    live("mailable", {"consented": EMAIL})
    stops.stop(profile=ann, kind=StopKind.RESTRICTION, by=BY)
    loaded = load_people([ann.pk, bob.pk], rules_now().levels[0], asked_from=timezone.now() - timedelta(days=1))
    assert set(loaded[ann.pk].permits) == set() and set(loaded[bob.pk].permits) == {EMAIL}
