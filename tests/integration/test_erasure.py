"""Erasing a person: nothing that names them is left, segments announce that they went, and everybody else stays as they were."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.erasure import Erased, erase_profile
from cdp.errors import NotFound
from cdp.identity.merging import merge_profiles, survivor_of, undo_merge
from cdp.identity.models import Merge
from cdp.ingestion.accept import accept
from cdp.ingestion.models import InboxMessage, Quarantined, SourceKind
from cdp.ingestion.quarantine import replay
from cdp.pipeline import process_batch
from cdp.profiles.models import Event, Profile
from cdp.profiles.score_services import Scored, add_scores, publish_run, start_run
from consent.models import ConsentRecord, ConsentState, ConsentStop, StopKind
from consent.moments import held_at
from consent.stops import stop
from segments.lists import add_people, create_list
from segments.models import ChangeKind, ChangeWhy, ListEntry, MembershipChange
from tests.factories import BY, Call, Tracker, identify, live, members, performed, person, process_all, track, tracker
from tests.integration.books import assert_books_balance
from tests.integration.traces import LASTING, tables_that_know, tables_that_say

DAY = timedelta(days=1)
# Part of everything that ann says and is called by, and of nothing else.
ANN = "ann-4711"
EMAIL = f"{ANN}@b.ch"


@pytest.fixture
def shop(db: None) -> Tracker:
    """Ann has all that a person can have; bob bought once and stays."""
    shop, browser = tracker(), tracker(SourceKind.BROWSER)
    shop.send(
        identify(ANN, traits={"email": EMAIL, "city": f"{ANN}s city", "gone": f"{ANN} once"}, ago=3 * DAY),
        identify(ANN, traits={"gone": None}, ago=2 * DAY),
        order("o1", 10, ago=400 * DAY),
        order("o1", 20, ago=2 * DAY),
        track("Looked", ANN, context=consenting(marketing_email=True)),
        track("Bought", "bob"),
        identify("bob", traits={"city": "Bern"}),
    )
    browser.send(track("Looked", anonymousId=f"{ANN}s phone", context={"page": {"path": f"/{ANN}"}}))
    shop.send(identify(ANN, anonymousId=f"{ANN}s phone"))
    process_all()
    return shop


def order(order_id: str, revenue: int, **more: Any) -> Call:
    properties = {"order_id": f"{ANN} {order_id}", "revenue": revenue, "products": [{"name": ANN, "price": revenue}]}
    return track("Order Completed", ANN, properties=properties, **more)


def consenting(**choices: bool) -> Call:
    return {"consent": {"categoryPreferences": choices}}


def erase(profile: Profile | None = None, reason: str = "request 12") -> Erased | None:
    return erase_profile(profile=profile or person(ANN), by=BY, reason=reason)


# ---- What goes -----------------------------------------------------------------------------------------------


def test_nothing_that_names_the_person_is_left_anywhere(shop: Tracker) -> None:
    segment, ann = live("everybody", performed("Looked")), person(ANN)
    add_people(static_list=create_list(name="VIP", by=BY), profile_ids=[ann.pk], reason=ANN, by=BY)
    run = start_run(kind="rfm", version="1", by=BY)
    add_scores(
        run=run,
        scores=[Scored(ann.pk, "label", label=ANN), Scored(ann.pk, "r", number=Decimal(3))],
    )
    add_people(static_list=create_list(name="VIP", by=BY), profile_ids=[ann.pk], by=BY, reason=f"{ANN} asked for it")
    shop.send(track("Looked", ANN))
    process_batch()  # judged, and neither drained nor numbered
    shop.send(track("Bought", "bob"), identify(ANN, traits={"city": f"{ANN} moves"}))
    assert tables_that_say(ANN) >= {"profiles_identifier", "profiles_event", "ingestion_inboxmessage", "profiles_score"}
    assert "segments_listentry" in tables_that_say(ANN)
    assert members(segment) == {ANN}
    erase()
    process_all()
    assert tables_that_say(ANN) == set()
    assert tables_that_know({ann.pk}) <= LASTING
    assert Event.objects.filter(properties__city="Bern").exists(), "of others all is there"
    assert members(segment) == set()
    assert_books_balance()


def test_superseded_and_derived_events_and_those_of_any_month_go_too(shop: Tracker) -> None:
    ann = person(ANN)
    events = Event.objects.filter(profile_id=ann.pk)
    assert events.filter(name_id__lt=0).exists() and events.filter(type=7).exists()
    assert events.dates("occurred_at", "month").count() > 1
    expected = events.count()
    erased = erase()
    assert erased is not None and (erased.uuid, erased.events) == (ann.uuid, expected)
    assert not events.exists()


def test_memberships_end_and_say_why(shop: Tracker) -> None:
    inside, other = live("lookers", performed("Looked")), live("buyers", performed("Bought"))
    live("readers", {"in_segment": "lookers"})
    ann = person(ANN)
    before = MembershipChange.objects.count()
    erase()
    assert members(inside) == {"?"}, "until the evaluator comes"
    process_all()
    ended = MembershipChange.objects.order_by("position")[before:]
    assert {(c.segment.key, c.profile_id, c.profile_uuid) for c in ended} == {
        (key, ann.pk, ann.uuid) for key in ("lookers", "readers")
    }
    assert {(c.kind, c.why) for c in ended} == {(ChangeKind.EXITED, ChangeWhy.ERASURE)}
    assert members(other) == {"bob"}
    assert_books_balance()


def test_whoever_else_waits_for_the_evaluator_keeps_their_own_reason(shop: Tracker) -> None:
    live("lookers", performed("Looked"))
    shop.send(track("Looked", "cyd"), track("Looked", "dan"))
    process_all()
    cyd, dan = person("cyd"), person("dan")
    merge_profiles(survivor=cyd, absorbed=dan, reason="a clerk saw it", by=BY)
    erase()
    process_all()
    why = dict(MembershipChange.objects.filter(kind=ChangeKind.EXITED).values_list("profile_uuid", "why"))
    assert why[dan.uuid] == ChangeWhy.MERGE and ChangeWhy.ERASURE in why.values()


def test_erasing_twice_does_nothing_the_second_time(shop: Tracker) -> None:
    ann = person(ANN)
    assert erase(ann) is not None
    assert erase(ann) is None
    process_all()
    assert erase(ann) is None
    assert AuditEntry.objects.filter(action="profile.erased").count() == 1
    assert erase(Profile(uuid=uuid4())) is None


def test_the_audit_log_says_who_was_erased_by_whom_and_nothing_of_them(shop: Tracker) -> None:
    ann = person(ANN)
    shop.send(track("Looked", ANN))
    erased = erase(ann)
    assert erased is not None
    entry = AuditEntry.objects.get(action="profile.erased")
    assert (entry.object_type, entry.object_id, entry.actor_label) == ("profiles.profile", str(ann.uuid), BY.label)
    assert entry.detail == {
        "reason": "request 12", "events": erased.events, "waiting": 1, "quarantined": 0, "suppressed": 3, "keys": 0
    }  # fmt: skip


def test_what_the_person_permitted_stays_on_record_and_holds_no_longer(shop: Tracker) -> None:
    ann = person(ANN)
    assert ConsentState.objects.filter(profile=ann).count() == 1
    kept = list(ConsentRecord.objects.filter(profile_id=ann.pk).values_list("pk", flat=True))
    erase()
    assert list(ConsentRecord.objects.filter(profile_id=ann.pk).values_list("pk", flat=True)) == kept != []
    assert not ConsentState.objects.exists()


def test_that_they_were_stopped_stays_on_record_by_their_number_alone(shop: Tracker) -> None:
    ann = person(ANN)
    stop(profile=ann, kind=StopKind.RESTRICTION, by=BY, why="PR-12")
    during = timezone.now()
    erase()
    assert list(ConsentStop.objects.values_list("profile_id", "kind", "why")) == [(ann.pk, "restriction", "")]
    assert all(
        held.is_stopped for held in held_at(profile_id=ann.pk, at=during) if held.purpose.key != "privacy_rights"
    )


def test_whoever_may_return_and_is_heard_of_again_is_somebody_new(shop: Tracker) -> None:
    ann = person(ANN)
    segment = live("lookers", performed("Looked"))
    erase_profile(profile=ann, by=BY, reason="request 12", may_return=True)
    shop.send(track("Looked", ANN))
    process_all()
    again = person(ANN)
    assert again.pk != ann.pk and again.uuid != ann.uuid and again.traits == {}
    assert members(segment) == {ANN}
    assert Event.objects.filter(profile_id=again.pk).count() == 1
    assert_books_balance()


# ---- Merges --------------------------------------------------------------------------------------------------


def test_all_whom_the_person_had_absorbed_go_with_them(shop: Tracker) -> None:
    shop.send(*(track("Looked", user) for user in ("cyd", "dan")))
    process_all()
    ann, cyd, dan = person(ANN), person("cyd"), person("dan")
    inner = merge_profiles(survivor=cyd, absorbed=dan, reason="", by=BY)
    merge_profiles(survivor=ann, absorbed=cyd, reason="", by=BY)
    process_all()
    assert erase(dan) is not None, "who is asked for is who they are now"
    process_all()
    assert not Profile.objects.filter(pk__in=[ann.pk, cyd.pk, dan.pk]).exists()
    assert tables_that_know({ann.pk, cyd.pk, dan.pk}) <= LASTING and not Merge.objects.exists()
    for gone in (ann, cyd, dan):
        with pytest.raises(NotFound):
            survivor_of(gone.uuid)
    with pytest.raises(NotFound):
        undo_merge(merge=inner, by=BY)
    assert_books_balance()


def test_whoever_was_parted_from_the_person_stays(shop: Tracker) -> None:
    shop.send(track("Looked", "cyd"))
    process_all()
    ann, cyd = person(ANN), person("cyd")
    undo_merge(merge=merge_profiles(survivor=ann, absorbed=cyd, reason="", by=BY), by=BY)
    erase()
    process_all()
    assert person("cyd").uuid == cyd.uuid
    assert tables_that_know({ann.pk}) <= LASTING
    assert_books_balance()


def test_a_merge_that_the_evaluator_has_not_seen_yet_is_announced_too(shop: Tracker) -> None:
    segment = live("everybody", {"everyone": True})
    ann, bob = person(ANN), person("bob")
    merge_profiles(survivor=ann, absorbed=bob, reason="", by=BY)
    erase()
    process_all()
    left = dict(MembershipChange.objects.filter(segment=segment, kind="exited").values_list("profile_uuid", "why"))
    assert left == {ann.uuid: ChangeWhy.ERASURE, bob.uuid: ChangeWhy.MERGE}
    assert_books_balance()


def test_an_entry_of_a_list_that_a_merge_took_elsewhere_goes_too(shop: Tracker) -> None:
    vip, ann, bob = create_list(name="VIP", by=BY), person(ANN), person("bob")
    add_people(static_list=vip, profile_ids=[ann.pk, bob.pk], by=BY)
    merge = merge_profiles(survivor=bob, absorbed=ann, reason="", by=BY)
    process_all()
    erase(undo_merge(merge=merge, by=BY))  # before the evaluator has given each their own entry back
    process_all()
    assert tables_that_know([ann.pk]) <= LASTING
    assert list(ListEntry.objects.values_list("origin_id", "profile_id")) == [(bob.pk, bob.pk)]


# ---- What waits, and what could not be used ------------------------------------------------------------------


def test_of_a_request_with_messages_of_several_only_the_persons_go(shop: Tracker) -> None:
    said = [track("Looked", "bob"), track("Looked", ANN), track("Looked", "new")]
    shop.send(*said)
    shop.send(track("Looked", anonymousId=f" {ANN}s phone"), identify(anonymousId="x", traits={"email": EMAIL.upper()}))
    erased = erase()
    assert erased is not None and erased.waiting == 3
    (left,) = InboxMessage.objects.all()
    assert left.message_count == 2
    process_all()
    assert set(Event.objects.filter(message_id__in=[m["messageId"] for m in said]).values_list("message_id", flat=True)) == {
        said[0]["messageId"], said[2]["messageId"],
    }  # fmt: skip
    assert tables_that_say(ANN) == set()


def test_what_a_batch_says_of_all_its_messages_still_holds_for_those_that_are_left(shop: Tracker) -> None:
    body = {"batch": [track("Looked", "bob"), track("Looked", ANN)], "context": {"campaign": "spring"}}
    accept(
        endpoint="batch",
        body=msgspec.json.encode(body),
        authorization=f"Bearer {shop.key}",
        received_at=datetime.now(UTC),
    )
    erase()
    process_all()
    assert Event.objects.get(message_id=body["batch"][0]["messageId"]).context == {"campaign": "spring"}


def test_a_device_that_a_waiting_message_brings_is_the_persons_already(shop: Tracker) -> None:
    shop.send(identify(ANN, anonymousId="tablet"), track("Looked", anonymousId="tablet"))
    shop.send(track("Looked", anonymousId="tablet"))
    erased = erase()
    assert erased is not None and erased.waiting == 3
    process_all()
    assert not Profile.objects.filter(identifiers__value="tablet").exists()


def test_a_message_that_names_two_people_is_whose_the_pipeline_would_find_it_to_be(shop: Tracker) -> None:
    browser = tracker(SourceKind.BROWSER)
    browser.send(
        track("Looked", "bob", anonymousId=f"{ANN}s phone"), track("Looked", "eve", anonymousId=f"{ANN}s phone")
    )
    erased = erase()
    assert erased is not None and erased.waiting == 0
    process_all()
    assert Event.objects.sent().filter(profile_id=person("eve").pk).count() == 1, "somebody else logged in on her phone"


def test_what_could_not_be_used_goes_where_it_names_the_person(shop: Tracker) -> None:
    shop.send(
        {"type": "trick", "userId": ANN},
        track("Looked", ANN, timestamp="yesterday, says ann-4711"),
        {"type": "track", "userId": ANN, "event": {"wrong": ANN}},
        {"type": "trick", "userId": "bob"},
        {"type": "track", "event": "Nobody's"},
    )
    process_all()
    assert Quarantined.objects.count() == 5
    erased = erase()
    assert erased is not None and erased.quarantined == 3
    process_all()
    assert tables_that_say(ANN) == set()
    assert sorted(Quarantined.objects.values_list("code", flat=True)) == ["no_identifier", "unknown_type"]


def test_what_was_just_replayed_is_found_where_it_went(shop: Tracker) -> None:
    shop.send({"type": "trick", "userId": ANN}, {"type": "trick", "userId": "bob"})
    process_all()
    for message in Quarantined.objects.all():
        replay(message=message, by=BY)
    erased = erase()
    assert erased is not None and (erased.waiting, erased.quarantined) == (1, 0)
    assert tables_that_say(ANN) == set()


def test_scores_that_are_not_published_yet_go_and_change_nothing_later(shop: Tracker) -> None:
    ann, bob = person(ANN), person("bob")
    run = start_run(kind="rfm", version="1", by=BY)
    add_scores(run=run, scores=[Scored(one.pk, "r", number=Decimal(1)) for one in (ann, bob)])
    erase()
    assert publish_run(run=run, by=BY).people_changed == 1
    process_all()
    assert_books_balance()


# ---- The command ---------------------------------------------------------------------------------------------


def test_the_command_erases_and_says_how_much(shop: Tracker) -> None:
    User.objects.create_user("clerk")
    ann, out = person(ANN), StringIO()
    call_command("erase_profile", str(ann.uuid), "--by", "clerk", "--reason", "request 7", stdout=out)
    assert out.getvalue().startswith(f"{ann.uuid}: erased, with ")
    entry = AuditEntry.objects.get(action="profile.erased")
    assert (entry.actor_kind, entry.actor_label, entry.detail["reason"]) == ("user", "clerk", "request 7")
    call_command("erase_profile", str(ann.uuid), "--by", "clerk", stdout=out)
    assert out.getvalue().endswith("nobody is known by this id\n")


def test_the_command_asks_who_answers_for_it(shop: Tracker) -> None:
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("erase_profile", str(person(ANN).uuid), "--by", "nobody")
    assert person(ANN)


def test_the_walk_through_the_tables_sees_what_is_there(shop: Tracker) -> None:
    """So that finding nothing above proves something."""
    assert "profiles_event" in tables_that_say(ANN) and "profiles_event" in tables_that_know({person(ANN).pk})
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM information_schema.columns WHERE column_name = 'profile_id'")
        assert cursor.fetchone()[0] > 10
