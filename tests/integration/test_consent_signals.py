"""Global Privacy Control, Do Not Track and consent strings: from the request that carries them to what readers see."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from cdp.audit.models import AuditEntry
from cdp.erasure import erase_profile
from cdp.ingestion import quarantine
from cdp.ingestion.consent_words import Asks, asked_by
from cdp.ingestion.models import InboxMessage, Quarantined, SourceKind
from cdp.profiles.models import Event, Profile
from consent.models import ConsentRecord, Decision, Method, Purpose, Reach, SignalHeard
from consent.querysets import permitted
from consent.signals.ids import Ids
from tests.factories import BY, Call, Tracker, identify, live, members, person, process_all, track, tracker
from tests.integration.callers import decide
from tests.unit.consent.signals.writing import gpp_string, tc_string, us_section

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
GPC = int(Asks.OPT_OUT)
OPTED_OUT = {"partner_offers", "targeted_ads"}
ADS, ANALYTICS = "targeted_ads", "analytics"
CALIFORNIA = 8


@pytest.fixture
def browser(db: None) -> Tracker:
    return tracker(SourceKind.BROWSER)


@pytest.fixture
def server(db: None) -> Iterator[Tracker]:
    return tracker()


def say(source: Tracker, *calls: Call, asks: int = 0) -> None:
    source.send(*calls, asks=asks)
    process_all()


def seen(device: str = "d-1", user: str | None = None, **consent: Any) -> Call:
    call = track("Looked", user, ago=timedelta(0), anonymousId=device)
    return call | ({"context": {"consent": consent}} if consent else {})


def words(reach: str, **more: Any) -> set[tuple[str, str]]:
    return set(ConsentRecord.objects.filter(reach=reach, **more).values_list("purpose__key", "decision"))


def allowed(purpose: str) -> set[str]:
    people = permitted(Profile.objects.all(), Purpose.objects.get(key=purpose))
    return set(people.filter(identifiers__namespace="user_id").values_list("identifiers__value", flat=True))


def tcf(*purposes: int, day: datetime = TODAY - timedelta(days=1)) -> str:
    return tc_string(
        Created=day, LastUpdated=day, PurposesConsent=frozenset(purposes), disclosed=Ids(), ConsentLanguage="DE"
    )


# ---- The header --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sec_gpc", "dnt", "asks"), [
    (None, None, 0), ("1", None, 1), ("0", None, 0), ("true", None, 0), (" 1", None, 0), ("1,1", None, 0),
    (None, "1", 2), (None, "0", 0), ("1", "1", 3), ("", "null", 0),
])  # fmt: skip
def test_only_the_exact_value_asks_for_anything(sec_gpc: str | None, dnt: str | None, asks: int) -> None:
    assert asked_by(sec_gpc, dnt) == asks


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch", "/v1/pixel/track"])
def test_the_header_of_a_request_is_kept_with_it(browser: Tracker, path: str) -> None:
    message = {**seen(), "writeKey": browser.key}
    headers = {"Sec-GPC": "1", "DNT": "1"}
    if "pixel" in path:
        import base64

        Client().get(path, {"data": base64.b64encode(json.dumps(message).encode()).decode()}, headers=headers)
    else:
        body = message if path.endswith("track") else {"batch": [message], "writeKey": browser.key}
        assert (
            Client().post(path, json.dumps(body), content_type="application/json", headers=headers).status_code == 200
        )
    assert InboxMessage.objects.get().asks == 3
    process_all()
    assert words(Reach.DEVICE) == {(key, "denied") for key in OPTED_OUT}
    assert Event.objects.sent().get().flags == ["do_not_track"]


def test_a_message_in_quarantine_keeps_what_its_browser_asked(browser: Tracker) -> None:
    say(browser, seen() | {"event": ""}, asks=GPC)
    waiting = Quarantined.objects.get()
    assert waiting.asks == GPC
    quarantine.replay(message=waiting, by=BY)
    assert InboxMessage.objects.get().asks == GPC


def test_the_browser_is_opted_out_once_and_not_with_each_event(browser: Tracker) -> None:
    for _ in range(3):
        say(browser, seen(), seen(), asks=GPC)
    assert words(Reach.DEVICE) == words(Reach.PERSON) == {(key, "denied") for key in OPTED_OUT}
    assert ConsentRecord.objects.count() == 2 * len(OPTED_OUT)
    record = ConsentRecord.objects.filter(reach=Reach.DEVICE).first()
    assert record and (record.method, record.evidence["signal"]) == (Method.GPC, "Sec-GPC")
    say(browser, seen("d-2"), asks=GPC)
    assert ConsentRecord.objects.filter(reach=Reach.DEVICE).count() == 2 * len(OPTED_OUT)


def test_a_known_person_is_opted_out_and_leaves_segments_in_the_same_batch(browser: Tracker, server: Tracker) -> None:
    say(server, identify("ann", anonymousId="d-1"))
    decide("ann", ADS, Decision.GRANTED)
    segment = live("ads", {"consented": ADS})
    assert members(segment) == {"ann"}
    say(browser, seen(), asks=GPC)
    assert allowed(ADS) == set() and members(segment) == set()
    assert (
        ConsentRecord.objects.get(reach=Reach.PERSON, method=Method.GPC, purpose__key=ADS).decision
        == Decision.WITHDRAWN
    )
    assert AuditEntry.objects.filter(action="consent.withdrawn", purpose=ADS).count() == 1


def test_what_is_not_about_sale_or_ads_is_left_as_it_was(browser: Tracker, server: Tracker) -> None:
    say(server, identify("ann", anonymousId="d-1"))
    decide("ann", "marketing_email", Decision.GRANTED)
    say(browser, seen(), asks=GPC)
    assert allowed("marketing_email") == {"ann"} and allowed("internal_analysis") == {"ann"}


def test_a_yes_given_in_spite_of_the_browser_stands_until_another_browser_asks(
    browser: Tracker, server: Tracker
) -> None:
    say(server, identify("ann", anonymousId="d-1"))
    say(browser, seen(), asks=GPC)
    decide("ann", ADS, Decision.GRANTED)
    say(browser, seen(), seen(user="ann"), asks=GPC)
    assert allowed(ADS) == {"ann"}
    say(server, identify("ann", anonymousId="d-2"))
    say(browser, seen("d-2"), asks=GPC)
    assert allowed(ADS) == set()


def test_an_anonymous_browsers_no_follows_it_to_the_person(browser: Tracker, server: Tracker) -> None:
    say(server, identify("ann"))
    decide("ann", ADS, Decision.GRANTED)
    say(browser, seen(), asks=GPC)
    assert allowed(ADS) == {"ann"}
    say(browser, seen(user="ann"), asks=GPC)
    assert allowed(ADS) == set()


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_it_is_the_same_in_one_batch_as_in_several(browser: Tracker, server: Tracker, in_one_batch: bool) -> None:
    """Ann's yes is newer than the browser's no, but that they are one comes after both: the stricter holds."""
    say(server, identify("ann"))
    decide("ann", ADS, Decision.GRANTED)
    calls = [seen() | {"timestamp": (NOW - timedelta(hours=1)).isoformat()}, seen(user="ann")]
    if in_one_batch:
        say(browser, *calls, asks=GPC)
    else:
        for call in calls:
            say(browser, call, asks=GPC)
    assert allowed(ADS) == set()


def test_a_new_purpose_hears_a_browser_that_spoke_before_it_was_there(browser: Tracker) -> None:
    say(browser, seen(), asks=GPC)
    Purpose.objects.create(key="brokers", label="Brokers", text="-", lawful_basis="consent", needs_granted=["sale"])
    say(browser, seen(), asks=GPC)
    assert ("brokers", "denied") in words(Reach.PERSON)
    assert ConsentRecord.objects.count() == 2 * (len(OPTED_OUT) + 1)


def test_do_not_track_has_no_effect(browser: Tracker) -> None:
    say(browser, seen(), asks=int(Asks.NO_TRACKING))
    assert not ConsentRecord.objects.exists() and Event.objects.sent().get().flags == ["do_not_track"]


def test_what_a_device_said_is_forgotten_with_the_person(browser: Tracker, server: Tracker) -> None:
    say(server, identify("ann", anonymousId="d-1"))
    say(browser, seen(), asks=GPC)
    assert SignalHeard.objects.count() == 1
    erase_profile(profile=person("ann"), by=BY, reason="test")
    assert SignalHeard.objects.count() == 0


def test_the_site_says_that_it_honours_the_signal(settings: Any) -> None:
    settings.GPC_SINCE = "2026-01-31"
    response = Client().get("/.well-known/gpc.json")
    assert response.json() == {"gpc": True, "lastUpdate": "2026-01-31"}
    assert response["Content-Type"] == "application/json" and response["Access-Control-Allow-Origin"] == "*"
    assert Client().post("/.well-known/gpc.json").status_code == 405


# ---- Consent strings ----------------------------------------------------------------------------------------------------


def test_a_string_from_a_server_speaks_for_the_person_and_only_changes_are_recorded(server: Tracker) -> None:
    for _ in range(3):
        say(server, seen(user="ann", tcf=tcf(8, 9)))
    assert words(Reach.PERSON) == {(ANALYTICS, "granted"), (ADS, "denied"), ("personalisation", "denied")}
    assert allowed(ANALYTICS) == {"ann"}
    assert ConsentRecord.objects.count() == 3
    yes = ConsentRecord.objects.get(decision=Decision.GRANTED)
    assert yes.collected_at == TODAY - timedelta(days=1), "a yes is as old as the string says"
    assert yes.evidence["because"] == ["tcfeuv2 purpose 8", "tcfeuv2 purpose 9"]
    say(server, seen(user="ann", tcf=tcf(8, 9, day=TODAY)))
    assert ConsentRecord.objects.count() == 3, "another string that says the same"
    say(server, seen(user="ann", tcf=tcf(3, 4, day=TODAY)))
    assert allowed(ANALYTICS) == set()
    assert ConsentRecord.objects.get(decision=Decision.WITHDRAWN, purpose__key=ANALYTICS)


def test_an_old_string_on_a_new_device_overrides_no_newer_no(server: Tracker) -> None:
    say(server, identify("ann"))
    decide("ann", ANALYTICS, Decision.WITHDRAWN)
    say(server, seen("d-9", user="ann", tcf=tcf(8, 9, day=TODAY - timedelta(days=200))))
    assert allowed(ANALYTICS) == set()


def test_a_browsers_string_speaks_for_the_device(browser: Tracker) -> None:
    say(browser, seen(user="ann", tcf=tcf(8, 9)))
    assert words(Reach.PERSON) == set() and (ANALYTICS, "granted") in words(Reach.DEVICE)
    assert allowed(ANALYTICS) == set()


def test_an_opt_out_in_a_browsers_string_holds_for_the_person(browser: Tracker, server: Tracker) -> None:
    say(server, identify("ann", anonymousId="d-1"))
    decide("ann", "partner_offers", Decision.GRANTED)
    decide("ann", ADS, Decision.GRANTED)
    opted_out = gpp_string({CALIFORNIA: us_section(CALIFORNIA, SaleOptOut=1)})
    say(browser, seen(gpp=opted_out, gpp_sid=[CALIFORNIA]))
    assert allowed("partner_offers") == set() and allowed(ADS) == {"ann"}
    say(browser, seen("d-2", user="ann", gpp=gpp_string({CALIFORNIA: us_section(CALIFORNIA, gpc=True)}), gpp_sid="8"))
    assert allowed(ADS) == set()
    assert not words(Reach.PERSON, decision=Decision.GRANTED, method=Method.SIGNAL), "not to opt out is no consent"


@pytest.mark.parametrize("consent", [
    {"tcf": "C" * 5000}, {"tcf": tcf(8, 9)[:-3]}, {"tcf": 7}, {"tcf": ["x"]}, {"gpp": "DBAA~"}, {"gpp": {}},
    {"gpp": "DBABLA~BVQqAAAAAAA.QA", "gpp_sid": {"a": 1}}, {"tcf": tc_string(TcfPolicyVersion=2)}, {"tcf": "é" * 9},
])  # fmt: skip
def test_what_is_not_to_the_letter_says_nothing_and_is_flagged(server: Tracker, consent: dict[str, Any]) -> None:
    say(server, seen(user="ann", **consent))
    assert not ConsentRecord.objects.exists() and not SignalHeard.objects.exists()
    assert Event.objects.sent().get().flags == ["consent_string_malformed"]


def test_choices_beside_a_string_count_as_ever(server: Tracker) -> None:
    say(server, seen(user="ann", tcf=tcf(8, 9), categoryPreferences={"sms": True}))
    assert allowed("sms") == {"ann"} and allowed(ANALYTICS) == {"ann"}
    assert Event.objects.sent().get().flags is None
