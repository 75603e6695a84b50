"""Purposes beneath purposes, a yes that is confirmed, what is decided per device, and answers that differed before a merge."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.models import AuditEntry
from cdp.errors import Conflict, DomainErrors, NotFound
from cdp.identity.merging import merge_profiles
from cdp.profiles.models import Profile
from consent.confirming import confirm
from consent.merging import inherit_stops, settle_conflict
from consent.models import (
    Confirmation,
    ConsentConflict,
    ConsentRecord,
    ConsentState,
    Decision,
    Method,
    Notice,
    NoticeVersion,
    Purpose,
    ServedNotice,
)
from consent.notices import Content, Told, content_of, newest, publish, serve
from consent.querysets import permitted
from consent.services import Shown, record_decision, record_decisions

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)
BY = Actor.system("test")
EMAIL = "marketing_email"


def somebody(**more: Any) -> Profile:
    at = NOW - timedelta(days=400)
    return Profile.objects.create(traits={}, first_seen_at=at, last_seen_at=at, **more)


def purpose(key: str = EMAIL, **more: Any) -> Purpose:
    if more:
        Purpose.objects.filter(key=key).update(**more)
    return Purpose.objects.get(key=key)


def beneath(parent: Purpose | None, key: str, **more: Any) -> Purpose:
    return Purpose.objects.create(
        key=key, label=key, text=key, **{"lawful_basis": "consent", "mode": "opt_in", "parent": parent, **more}
    )


def decide(who: Profile, what: Purpose, decision: Decision, *, ago: timedelta = timedelta(0), **more: Any) -> None:
    record_decision(
        profile=who,
        purpose=what,
        decision=decision,
        method=more.pop("method", Method.FORM),
        at=timezone.now() - ago,
        by=BY,
    )


def may(who: Profile, what: Purpose) -> bool:
    return permitted(Profile.objects.filter(pk=who.pk), what).exists()


def test_a_no_says_no_to_all_that_lies_beneath_and_a_yes_to_nothing_else() -> None:
    ann, email = somebody(), purpose()
    news, weekly = beneath(email, "news"), beneath(beneath(email, "offers"), "weekly")
    decide(ann, email, Decision.GRANTED)
    assert may(ann, email) and not may(ann, news), "a yes is asked for each by itself"
    decide(ann, news, Decision.GRANTED)
    decide(ann, weekly, Decision.GRANTED)
    assert may(ann, news) and may(ann, weekly)
    decide(ann, email, Decision.DENIED)
    assert not any(may(ann, one) for one in (email, news, weekly))
    record = ConsentRecord.objects.get(purpose=weekly, decision=Decision.WITHDRAWN)
    assert record.evidence == {"beneath": EMAIL}
    decide(ann, news, Decision.GRANTED)
    assert may(ann, news) and not may(ann, email)


def test_a_late_no_leaves_a_newer_yes_beneath_it() -> None:
    ann, email = somebody(), purpose()
    news, offers = beneath(email, "news"), beneath(email, "offers")
    decide(ann, news, Decision.GRANTED, ago=timedelta(hours=1))
    decide(ann, offers, Decision.GRANTED, ago=timedelta(hours=3))
    decide(ann, email, Decision.DENIED, ago=timedelta(hours=2))
    assert may(ann, news) and not may(ann, offers)


def test_a_purpose_that_moves_beneath_another_takes_over_its_stops() -> None:
    ann, bob, cid, email = somebody(), somebody(), somebody(), purpose()
    poll = beneath(None, "poll", lawful_basis="legitimate_interests", mode="opt_out")
    decide(ann, email, Decision.DENIED, ago=timedelta(days=2))
    decide(bob, email, Decision.DENIED, ago=timedelta(days=2))
    decide(bob, poll, Decision.GRANTED, ago=timedelta(days=1))
    decide(cid, email, Decision.GRANTED)
    poll.parent = email
    poll.save()
    with transaction.atomic():
        assert inherit_stops(purpose=poll, by=BY) == 1, "his yes is newer than his no to the other"
    assert [may(one, poll) for one in (ann, bob, cid)] == [False, True, True]
    with transaction.atomic():
        assert inherit_stops(purpose=poll, by=BY) == 0, "hers is known"


def test_a_yes_that_needs_a_confirmation_counts_from_its_confirmation_on() -> None:
    ann, email = somebody(), purpose(needs_double_opt_in=True)
    decide(ann, email, Decision.GRANTED)
    assert not may(ann, email) and not ConsentState.objects.exists()
    link = Confirmation.objects.get()
    assert link.record.decision == Decision.PENDING
    confirm(confirmation_id=link.pk, at=timezone.now(), by=BY)
    assert may(ann, email)
    granted = ConsentRecord.objects.get(decision=Decision.GRANTED)
    assert granted.method == Method.DOUBLE_OPT_IN and granted.evidence == {"confirms": str(link.record.uuid)}
    with pytest.raises(Conflict, match="confirmed already"):
        confirm(confirmation_id=link.pk, at=timezone.now(), by=BY)


def test_an_old_link_takes_nobody_back_in() -> None:
    ann, bob, email = somebody(), somebody(), purpose(needs_double_opt_in=True)
    decide(ann, email, Decision.GRANTED)
    decide(bob, email, Decision.GRANTED)
    of_ann, of_bob = (Confirmation.objects.get(record__profile_id=one.pk) for one in (ann, bob))
    decide(ann, email, Decision.DENIED)
    with pytest.raises(Conflict, match="said no since"):
        confirm(confirmation_id=of_ann.pk, at=timezone.now(), by=BY)
    with pytest.raises(Conflict, match="has ended"):
        confirm(confirmation_id=of_bob.pk, at=of_bob.expires_at, by=BY)
    bob.delete()
    with pytest.raises(NotFound):
        confirm(confirmation_id=of_bob.pk, at=timezone.now(), by=BY)
    assert not may(ann, email)


def test_what_waits_for_a_confirmation_neither_ends_a_yes_nor_lifts_a_no() -> None:
    ann, bob, email = somebody(), somebody(), purpose()
    decide(ann, email, Decision.GRANTED)
    decide(bob, email, Decision.DENIED)
    purpose(needs_double_opt_in=True)
    decide(ann, email, Decision.GRANTED)
    decide(bob, email, Decision.GRANTED)
    assert may(ann, email) and not may(bob, email)


def test_what_is_decided_on_a_device_never_passes_to_the_person() -> None:
    ann, analytics = somebody(), purpose("analytics", reach="device")
    decide(ann, analytics, Decision.GRANTED)
    assert ConsentRecord.objects.get().reach == "device"
    assert not may(ann, analytics) and not ConsentState.objects.exists()


def test_answers_that_differ_when_two_become_one_are_kept_for_somebody_to_look_into() -> None:
    email, sms = purpose(), purpose("sms")
    ann, same = somebody(), somebody()
    decide(ann, email, Decision.GRANTED)
    decide(ann, sms, Decision.GRANTED)
    decide(same, email, Decision.DENIED)
    merge_profiles(survivor=ann, absorbed=same, by=BY, reason="the same person")
    (conflict,) = ConsentConflict.objects.all()
    assert (conflict.purpose, conflict.theirs, conflict.absorbed) == (email, "granted", "denied")
    assert not may(ann, email) and may(ann, sms)
    settle_conflict(conflict=conflict, note="asked by phone", by=BY)
    assert not may(ann, email), "only their own word can permit it again"
    with pytest.raises(Conflict):
        settle_conflict(conflict=conflict, note="", by=BY)


# ---- Notices ---------------------------------------------------------------------------------------------------


def content(text: str = "We use what you do here.") -> Content:
    told = Told(key=EMAIL, label="Email", text="News by email")
    return Content(title="Your choice", text=text, purposes=(told,), accept="Accept all", reject="Reject all",
                   choose="Choose", save="Save")  # fmt: skip


def test_a_version_says_word_by_word_what_was_shown_and_never_changes() -> None:
    notice = Notice.objects.create(key="test", label="Banner")
    first = publish(notice=notice, locale="en", content=content(), by=BY)
    assert content_of(first) == content() and first.number == 1
    with pytest.raises(Conflict, match="version 1"):
        publish(notice=notice, locale="en", content=content(), by=BY)
    second = publish(notice=notice, locale="en", content=content("Other words."), by=BY)
    assert second.number == 2 and second.sha256 != first.sha256
    with pytest.raises(DatabaseError, match=r"append-only|permission denied"), transaction.atomic():
        NoticeVersion.objects.filter(pk=first.pk).update(content=b"{}")
    with pytest.raises(DatabaseError, match=r"append-only|permission denied"), transaction.atomic():
        first.delete()
    entries = AuditEntry.objects.filter(action="notice.published").order_by("recorded_at")
    assert [one.detail["sha256"] for one in entries] == [first.sha256, second.sha256]


def test_everybody_is_shown_the_newest_in_the_nearest_language() -> None:
    notice = Notice.objects.create(key="test", label="Banner")
    assert newest(notice_key="test", locales=["en"]) is None
    publish(notice=notice, locale="en", content=content(), by=BY)
    english = publish(notice=notice, locale="en", content=content("newer"), by=BY)
    german = publish(notice=notice, locale="de", content=content("neu"), by=BY)
    assert newest(notice_key="test", locales=["de-CH", "en"]) == german
    assert newest(notice_key="test", locales=["fr", "en-GB"]) == english
    assert newest(notice_key="test", locales=["xx"]) == english


@pytest.mark.parametrize("missing", ["title", "text", "accept", "reject", "save"])
def test_a_notice_without_its_words_is_refused(missing: str) -> None:
    import msgspec

    notice = Notice.objects.create(key="test", label="Banner")
    with pytest.raises(DomainErrors) as refused:
        publish(notice=notice, locale="en", content=msgspec.structs.replace(content(), **{missing: " "}), by=BY)
    assert [one.pointer for one in refused.value.errors] == [f"/{missing}"]


def test_what_was_chosen_leads_to_what_was_shown_and_the_place_tells_nothing_personal() -> None:
    notice, ann = Notice.objects.create(key="test", label="Banner"), somebody()
    version = publish(notice=notice, locale="en", content=content(), by=BY)
    served = serve(version=version, place="https://ann:secret@shop.example:8443/cart?email=ann@x.example#me")
    assert served.place == "https://shop.example:8443/cart"
    record_decisions(
        profile=ann,
        decisions={purpose(): Decision.GRANTED, purpose("sms"): Decision.DENIED},
        method=Method.BANNER,
        at=timezone.now(),
        by=BY,
        shown=Shown(version_id=version.pk, served_id=served.pk),
        jurisdiction="EU",
    )
    for record in ConsentRecord.objects.all():
        assert (record.notice_version, record.served, record.jurisdiction) == (version, served, "EU")
    with pytest.raises(DatabaseError, match=r"append-only|permission denied"):
        ServedNotice.objects.filter(pk=served.pk).update(place="https://elsewhere.example/")
