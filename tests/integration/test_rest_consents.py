"""Consent over REST: all of what is sent or none, nothing twice, and what one person permits now, then, and as it was known then."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdp.audit.models import AuditEntry
from cdp.erasure import erase_profile
from cdp.identity.merging import merge_profiles
from cdp.profiles.models import Profile
from cdp.rest.models import Scope
from cdp.vault.services import destroy
from consent.models import ConsentRecord, Decision, Notice, Purpose
from consent.notices import Content, Told, publish, serve
from consent.querysets import permitted
from consent.signals.meaning import Capability
from tests.factories import BY, identify, live, members, person, process_all, track, tracker
from tests.integration.callers import Caller, found, key, problem

pytestmark = pytest.mark.django_db

EMAIL, DAY = "marketing_email", timedelta(days=1)
NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def people(db: None) -> None:
    source = tracker()
    source.send(identify("ann", traits={"email": "ann@example.com"}), track("Bought", "bob"))
    process_all()


def said(user: str = "user_id:ann", decision: str = "granted", ago: timedelta = DAY, **more: Any) -> dict[str, Any]:
    namespace, _, value = user.partition(":")
    at = (NOW - ago).isoformat()
    return {
        "user": {"namespace": namespace, "value": value},
        "purpose": EMAIL,
        "decision": decision,
        "collected_at": at,
        **more,
    }


def report(*decisions: dict[str, Any], caller: Caller | None = None, **more: Any) -> list[dict[str, Any]]:
    body = found((caller or key()).post("consents/", {"decisions": list(decisions), **more}), 201)
    return body["results"]  # type: ignore[no-any-return]


def permits(user: str, purpose: str = EMAIL) -> bool:
    return permitted(Profile.objects.filter(pk=person(user).pk), Purpose.objects.get(key=purpose)).exists()


def current(user: str = "user_id:ann", purpose: str = EMAIL, **asked: str) -> dict[str, Any]:
    body = found(key().get(f"consents/current/{user}/", **asked))
    return next(one for one in body["purposes"] if one["purpose"] == purpose)


# ---- Reporting ---------------------------------------------------------------------------------------------------------


def test_one_decision_holds_from_the_next_read_on_and_segments_follow_at_once() -> None:
    segment = live("readers", {"consented": EMAIL})
    body = found(key().post("consents/", said("email:Ann@Example.com")), 201)
    (only,) = body["results"]
    assert (only["uuid"], only["decision"], only["is_repeat"]) == (str(person("ann").uuid), "granted", False)
    assert permits("ann") and members(segment) == {"ann"}
    report(said(decision="withdrawn", ago=timedelta(hours=1)))
    assert not permits("ann") and members(segment) == set()


def test_sending_the_same_again_writes_nothing() -> None:
    first = report(said(), said("user_id:bob", "denied"), said())
    again = report(said(), said("user_id:bob", "denied"))
    assert ConsentRecord.objects.count() == 2
    assert [one["is_repeat"] for one in first + again] == [False, False, False, True, True]
    assert again[0]["record"] == first[0]["record"]
    report(said(method="form"))
    assert ConsentRecord.objects.count() == 3, "by another method it is another word"


def test_a_repeat_after_a_merge_is_still_one_and_lengthens_nothing() -> None:
    Purpose.objects.filter(key=EMAIL).update(lifetime_days=10)
    report(said(ago=2 * DAY), said("user_id:bob", ago=8 * DAY))
    merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="same", by=BY)
    until = current()["until"]
    assert until == current("user_id:bob")["until"]
    assert report(said(ago=2 * DAY))[0]["is_repeat"]
    assert current()["until"] == until


def test_a_late_word_never_overrides_a_newer_one() -> None:
    report(said(decision="withdrawn", ago=DAY))
    report(said(ago=5 * DAY))
    assert not permits("ann")
    assert current()["standing"] == "withdrawn"


def test_all_errors_come_at_once_each_with_its_place_and_nothing_is_recorded() -> None:
    bad = [
        said(),
        said(purpose="made_up", ago=-DAY, jurisdiction="XX"),
        {"user": {"namespace": "user_id"}, "purpose": EMAIL, "decision": "maybe", "collected_at": "yesterday"},
        said(notice={"key": "none", "version": 7}, served="7f8b2c9e-0000-4000-8000-000000000000"),
        said(method="double_opt_in"),
        said(guardian={}, evidence={"x": "y" * 20_000}),
        said(evidence={"longer than 64 bits": 10**25}),
    ]
    shape = problem(key().post("consents/", {"decisions": bad}), 400)
    places = {(one["pointer"], one["code"]) for one in shape["errors"]}
    assert {("/decisions/2/user/value", "required"), ("/decisions/2/decision", "invalid_choice"),
            ("/decisions/2/collected_at", "invalid")} <= places  # fmt: skip
    del bad[2]
    meaning = problem(key().post("consents/", {"decisions": bad}), 400)
    assert {(one["pointer"], one["code"]) for one in meaning["errors"]} == {
        ("/decisions/1/purpose", "purpose_unknown"),
        ("/decisions/1/collected_at", "decided_in_the_future"),
        ("/decisions/1/jurisdiction", "jurisdiction_unknown"),
        ("/decisions/2/notice", "notice_unknown"),
        ("/decisions/2/served", "served_unknown"),
        ("/decisions/3/evidence", "evidence_missing"),
        ("/decisions/4/evidence", "evidence_too_large"),
        ("/decisions/4/guardian", "guardian_empty"),
        ("/decisions/5/evidence", "evidence_malformed"),
    }
    assert not ConsentRecord.objects.exists()
    assert problem(key().post("consents/", {"decisions": [said()] * 1001}), 400)["pointer"] == "/decisions"
    assert problem(key().post("consents/", []), 400) and problem(key().post("consents/", "yes"), 400)


def test_who_is_not_known_is_said_with_the_place_or_made_on_request() -> None:
    caller = key()
    refused = problem(caller.post("consents/", {"decisions": [said(), said("email:zoe@example.com")]}), 404)
    assert [(one["pointer"], one["code"]) for one in refused["errors"]] == [("/decisions/1/user", "profile_not_found")]
    assert not ConsentRecord.objects.exists()
    everybody = live("everybody", {"everyone": True})
    report(said(), said("email:zoe@example.com"), create=True)
    process_all()
    assert Profile.objects.filter(identifiers__value="zoe@example.com").count() == 1
    assert len(members(everybody)) == 3 - 1 + 1 and "?" in members(everybody)
    nobody = said("uuid:0190a7c4-0000-7000-8000-000000000000") | {"create": True}
    assert problem(caller.post("consents/", nobody), 404)["errors"][0]["pointer"] == "/user"


def test_what_they_had_been_told_is_kept_with_the_decision() -> None:
    content = Content(
        title="News", text="Once a week.", purposes=(Told(key=EMAIL, label="News", text="By email"),),
        accept="Yes", reject="No", choose="Choose", save="Save",
    )  # fmt: skip
    notice = Notice.objects.create(key="newsletter", label="Newsletter")
    version = publish(notice=notice, locale="de-CH", content=content, by=BY)
    served = serve(version=version, place="https://shop.example.com/?email=ann@example.com")
    report(
        said(notice={"key": "newsletter", "version": 1, "locale": "de-ch"}), said("user_id:bob", served=str(served.pk))
    )
    for user in ("user_id:ann", "user_id:bob"):
        told = current(user)["notice"]
        assert told == {"key": "newsletter", "version": 1, "locale": "de-CH", "sha256": version.sha256}
    assert ConsentRecord.objects.get(profile_id=person("bob").pk).served_id == served.pk

    shown = found(key().get("notices/newsletter/", locale="de"))
    assert (shown["sha256"], shown["content"]["title"]) == (version.sha256, "News")
    assert [one["version"] for one in found(key().get("notices/newsletter/versions/"))["results"]] == [1]
    assert found(key().get("notices/newsletter/versions/1/", locale="de-CH"))["canonical"].encode() == bytes(
        version.content
    )
    assert "newsletter" in {one["key"] for one in found(key().get("notices/"))["results"]}
    for missing in ("notices/none/", "notices/newsletter/versions/2/", "notices/newsletter/versions/1/"):
        assert problem(key().get(missing), 404)["code"] == "notice_not_found"


def test_a_yes_that_must_be_confirmed_is_pending_and_says_so() -> None:
    Purpose.objects.filter(key=EMAIL).update(needs_double_opt_in=True)
    (recorded,) = report(said())
    assert (recorded["decision"], recorded["awaits"]) == ("pending", "confirmation")
    assert report(said())[0]["is_repeat"] and not permits("ann")
    assert current()["pending"]["awaits"] == "confirmation" and current()["standing"] == "none"
    report(said(ago=timedelta(hours=1), method="double_opt_in", evidence={"clicked": "2026-11-21T09:00:00Z"}))
    assert permits("ann") and current()["pending"] is None


def test_every_decision_is_in_the_audit_log_without_what_is_personal() -> None:
    report(said(evidence={"ip": "203.0.113.7", "form": "canary-form"}))
    entry = AuditEntry.objects.get(action="consent.granted")
    assert (entry.object_id, entry.purpose, entry.actor_kind) == (str(person("ann").uuid), EMAIL, "api_key")
    assert "canary" not in str(entry.envelope) and "203.0" not in str(entry.envelope)


# ---- Reading -----------------------------------------------------------------------------------------------------------


def test_what_holds_can_be_asked_of_then_and_of_what_was_known_then() -> None:
    report(said(ago=10 * DAY))
    before = datetime.now(UTC)
    report(said(decision="withdrawn", ago=5 * DAY))
    then = (NOW - 7 * DAY).isoformat()
    assert not current()["permits"] and current()["standing"] == "withdrawn"
    assert current(at=then)["permits"]
    late = (NOW - 2 * DAY).isoformat()
    assert not current(at=late)["permits"]
    assert current(at=late, known_at=before.isoformat())["permits"], "the withdrawal hadn't reached us"
    ahead = problem(key().get("consents/current/user_id:ann/", at=(NOW + DAY).isoformat()), 400)
    assert (ahead["code"], ahead["pointer"]) == ("moment_ahead", "/at")


def test_a_yes_that_has_ended_is_expired() -> None:
    Purpose.objects.filter(key=EMAIL).update(lifetime_days=3)
    report(said(ago=5 * DAY))
    one = current()
    assert (one["standing"], one["permits"]) == ("expired", False)
    assert datetime.fromisoformat(one["until"]) == NOW - 2 * DAY


def test_who_objects_to_everything_can_still_be_asked_about_and_each_look_is_on_record() -> None:
    report(said(decision="denied"), said(decision="denied", purpose="internal_analysis"))
    assert problem(key().get("profiles/user_id:ann/"), 404)
    assert current()["standing"] == "denied"
    entry = AuditEntry.objects.filter(action="profile.consent_read").latest("recorded_at")
    assert (entry.object_id, entry.purpose) == (str(person("ann").uuid), "privacy_rights")
    assert problem(key().get("consents/current/user_id:zoe/"), 404)["code"] == "profile_not_found"


def test_history_comes_in_pages_of_everybody_inside_and_personal_evidence_only_to_who_may_see_it() -> None:
    report(said(ago=9 * DAY, evidence={"ip": "203.0.113.7"}), said("user_id:bob", "denied", ago=8 * DAY))
    merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="same", by=BY)
    report(said(ago=2 * DAY))
    first = found(key().get("consents/history/user_id:ann/", limit=2))
    rest = found(key().get("consents/history/user_id:ann/", limit=2))
    assert first["results"] == rest["results"]
    caller = key()
    page = found(caller.get("consents/history/user_id:ann/", limit=2))
    everything = page["results"] + found(caller.get(page["next"]))["results"]
    assert [(one["method"], one["decision"]) for one in everything] == [
        ("api", "granted"), ("merge", "denied"), ("api", "denied"), ("api", "granted"),
    ]  # fmt: skip
    assert (everything[3]["personal"], everything[3]["personal_is"]) == ({"evidence": {"ip": "203.0.113.7"}}, "shown")
    hidden = found(key(Scope.CONSENTS_READ).get("consents/history/user_id:ann/"))["results"][3]
    assert (hidden["personal"], hidden["personal_is"]) == (None, "hidden")
    assert "203.0" not in str(found(key(Scope.CONSENTS_READ).get("consents/history/user_id:ann/")))
    masked = AuditEntry.objects.filter(action="profile.consent_history_read").latest("recorded_at").detail["masked"]
    assert masked is True


def test_what_was_sealed_is_gone_with_the_key() -> None:
    report(said(evidence={"ip": "203.0.113.7"}))
    assert b"203.0" not in bytes(ConsentRecord.objects.get().sealed_evidence or b"")
    destroy(subject_ids=[person("ann").pk], by=BY)
    (only,) = found(key().get("consents/history/user_id:ann/"))["results"]
    assert (only["personal"], only["personal_is"]) == (None, "destroyed")


def test_without_a_key_to_seal_by_nothing_is_recorded(settings: Any) -> None:
    settings.VAULT_KEY_FILE = ""
    refused = problem(key().post("consents/", said(evidence={"ip": "203.0.113.7"})), 503)
    assert refused["code"] == "evidence_not_sealable" and not ConsentRecord.objects.exists()
    report(said())


def test_who_was_erased_is_unknown() -> None:
    report(said())
    erase_profile(profile=person("ann"), by=BY, reason="test")
    assert problem(key().get("consents/current/user_id:ann/"), 404)
    assert problem(key().post("consents/", said(ago=timedelta(0))), 404)


def test_googles_words_are_worked_out_from_what_is_permitted() -> None:
    def mode() -> Any:
        return found(key().get("consents/consent-mode/user_id:ann/"))["consent_mode"]

    assert {name for name, value in mode().items() if value == "granted"} == {"security_storage"}
    storing = [Capability.ANALYTICS, Capability.DEVICE_STORAGE]
    Purpose.objects.filter(key="analytics").update(needs_granted=storing)
    report(said(purpose="analytics"), said(purpose="targeted_ads"))
    granted = {name for name, value in mode().items() if value == "granted"}
    assert granted == {"security_storage", "analytics_storage", "functionality_storage", "ad_personalization"}
    report(said(purpose="partner_offers", decision="denied"))
    assert mode()["ad_personalization"] == "denied", "who has denied sale has nothing sent for ads"


# ---- Children ------------------------------------------------------------------------------------------------------------


def born(user: str, years: float, **traits: str) -> None:
    birthday = (NOW - timedelta(days=365.25 * years)).date().isoformat()
    tracker().send(identify(user, traits={"birth_date": birthday, **traits}))
    process_all()


def test_a_childs_yes_awaits_a_guardian() -> None:
    born("ann", 12, country="DE")
    (pending,) = report(said())
    assert (pending["decision"], pending["awaits"]) == ("pending", "guardian")
    assert not permits("ann") and ConsentRecord.objects.get().jurisdiction == "DE"
    (granted,) = report(said(ago=timedelta(hours=1), guardian={"who": "mother", "how": "card check"}))
    assert granted["decision"] == "granted" and permits("ann")
    assert "mother" not in str(ConsentRecord.objects.latest("pk").evidence)


def test_what_nobody_can_agree_to_for_a_child_is_a_no_with_its_reason() -> None:
    born("ann", 16.5, country="DE")
    (refused,) = report(said(purpose="targeted_ads", guardian={"who": "mother"}))
    assert (refused["decision"], refused["refused"]) == ("denied", "too_young")
    assert report(said(purpose="targeted_ads", guardian={"who": "mother"}))[0]["is_repeat"]
    (email,) = report(said())
    assert email["decision"] == "granted", "at sixteen they agree to email alone"


def test_turning_of_age_widens_nothing() -> None:
    """What somebody said as a child stays what it was; only a new yes counts."""
    born("ann", 16.2, country="DE")
    (as_child,) = report(said(ago=timedelta(days=365)))
    assert as_child["decision"] == "pending" and not permits("ann")
    (of_age,) = report(said())
    assert of_age["decision"] == "granted" and permits("ann")


@pytest.mark.parametrize(("traits", "given", "kept"), [
    ({"country": "us", "state": "CA"}, "", "US-CA"), ({"country": "Narnia"}, "", "EU"), ({}, "", "EU"),
    ({"address": {"country": "CH"}}, "", "CH"), ({"country": "DE"}, "FR", "FR"),
])  # fmt: skip
def test_whose_law_applied_is_kept_with_each_decision(traits: Any, given: str, kept: str, settings: Any) -> None:
    settings.DEFAULT_JURISDICTION = "EU"
    tracker().send(identify("ann", traits=traits))
    process_all()
    report(said(**({"jurisdiction": given} if given else {})))
    assert ConsentRecord.objects.get().jurisdiction == kept


def test_who_has_no_birth_date_is_taken_for_what_the_operator_says(settings: Any) -> None:
    assert report(said())[0]["decision"] == "granted"
    settings.UNKNOWN_AGE = "child"
    assert report(said("user_id:bob"))[0]["awaits"] == "guardian"
    assert report(said("user_id:bob", purpose="targeted_ads"))[0]["decision"] == Decision.DENIED
