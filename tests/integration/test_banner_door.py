"""What the banner asks of the server, and what a choice that names what was shown becomes."""

import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.cache import cache
from django.test import Client, override_settings

from cdp.ingestion import banner, keys, showing
from cdp.ingestion.models import Source, SourceKind
from cdp.profiles.models import Event
from consent.models import ConsentRecord, Method, Purpose, Reach, ServedNotice
from consent.notices import seen, serve
from consent.signals.consent_mode import NEEDS
from tests.factories import Tracker, process_all, track, tracker
from tests.integration.notices import publish_notice

SHOP = "https://shop.example"
CONSENT_EVENT = "Segment Consent Preference Updated"
SMALL = 15_000


@pytest.fixture
def browser(db: None) -> Iterator[Tracker]:
    cache.clear()
    made = tracker(SourceKind.BROWSER)
    Source.objects.filter(pk=made.source_id).update(allowed_origins=[SHOP])
    keys.forget()
    yield made
    cache.clear()


def ask(key: str, *, origin: str = SHOP, **query: str) -> Any:
    return Client().get(f"/v1/banner/{key}", {"notice": "banner"} | query, headers={"Origin": origin})


def tell(key: str, body: Any, *, origin: str = SHOP) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Client(enforce_csrf_checks=True).post(
        f"/v1/banner/{key}", raw, content_type="text/plain", headers={"Origin": origin}
    )


# ---- The script ----------------------------------------------------------------------------------------------------


def test_the_script_is_small_and_may_be_loaded_by_any_page(db: None) -> None:
    response = Client().get("/banner.js")
    assert response["Content-Type"].startswith("text/javascript")
    assert response["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert len(gzip.compress(response.content)) < SMALL
    said = response.content.decode()
    assert "innerHTML" not in said and "eval(" not in said and "document.cookie" not in said


# ---- What to show --------------------------------------------------------------------------------------------------


def test_a_page_is_told_the_newest_words_in_its_language(browser: Tracker) -> None:
    publish_notice("banner", title="An older one")
    newest, german = publish_notice("banner"), publish_notice("banner", locale="de")
    response = ask(browser.key, locales="fr,de-CH")
    assert response["Access-Control-Allow-Origin"] == SHOP
    said = response.json()
    assert (said["number"], said["locale"], said["sha256"]) == (german.number, "de", german.sha256)
    assert said["versions"] == {"en": newest.sha256, "de": german.sha256}
    assert said["words"]["close"] == "Schließen, ohne etwas zu ändern"
    assert ask(browser.key, locales="fr").json()["content"]["title"] == "Your data (en)"
    assert [one["key"] for one in said["purposes"]] == ["marketing_email", "analytics", "targeted_ads"]


def test_each_purpose_comes_with_what_a_choice_of_it_means(browser: Tracker) -> None:
    Purpose.objects.filter(key="analytics").update(lifetime_days=180)
    publish_notice("banner")
    by_key = {one["key"]: one for one in ask(browser.key).json()["purposes"]}
    assert by_key["analytics"]["days"] == 180 and by_key["analytics"]["brings"] == ["device_storage"]
    assert by_key["marketing_email"]["brings"] == [], "mail keeps nothing on the device"
    assert {key for key, one in by_key.items() if one["ended_by_gpc"]} == {"targeted_ads"}
    # A banner that asks about storage by itself gets that answer, and no other stands for it.
    Purpose.objects.create(
        key="storage",
        label="Storage",
        text="x",
        lawful_basis="consent",
        reach="device",
        needs_granted=["device_storage"],
    )
    publish_notice("banner", purposes=["analytics", "storage"])
    assert all(one["brings"] == [] for one in ask(browser.key).json()["purposes"])
    assert ask(browser.key).json()["consent_mode"].keys() == {str(one) for one in NEEDS} | {"security_storage"}


@pytest.mark.parametrize("what", ["unknown key", "server key", "other origin", "unknown notice"])
def test_what_is_not_open_is_refused(browser: Tracker, what: str) -> None:
    publish_notice("banner")
    key, origin, notice, expected = browser.key, SHOP, "banner", 404
    match what:
        case "unknown key":
            key = "wk_made_up"
        case "server key":
            key, expected = tracker().key, 403
        case "other origin":
            origin, expected = "https://elsewhere.example", 403
        case "unknown notice":
            notice = "\x00made-up"
    response = ask(key, origin=origin, notice=notice)
    assert response.status_code == expected and response.json()["code"]
    sha256 = ask(browser.key).json()["sha256"]
    refused = tell(key, {"notice": notice, "sha256": sha256}, origin=origin)
    assert refused.status_code in (400, expected) and not ServedNotice.objects.exists()


def test_preflights_are_answered_as_for_events(browser: Tracker) -> None:
    response = Client().options(f"/v1/banner/{browser.key}", headers={"Origin": SHOP})
    assert (response.status_code, response["Access-Control-Allow-Origin"]) == (204, SHOP)
    assert Client().delete(f"/v1/banner/{browser.key}").status_code == 405


# ---- That it was shown ---------------------------------------------------------------------------------------------


def shown(browser: Tracker, **more: Any) -> str:
    sha256 = ask(browser.key).json()["sha256"]
    response = tell(browser.key, {"notice": "banner", "sha256": sha256} | more)
    assert response.status_code == 200, response.content
    return str(response.json()["served"])


def test_a_showing_is_kept_without_what_may_be_personal(browser: Tracker) -> None:
    version = publish_notice("banner")
    served = shown(browser, place="https://shop.example/cart?email=ann@example.com#x")
    kept = ServedNotice.objects.get(pk=served)
    assert (kept.version, kept.source_id, kept.place) == (version, browser.source_id, "https://shop.example/cart")
    assert kept.profile_id is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff", {"notice": "banner"}, {"notice": "banner", "sha256": 7}, {"notice": "\x00", "sha256": "\x00"},
             {"notice": "banner", "sha256": "0" * 64}]
)  # fmt: skip
def test_what_was_never_published_was_never_shown(browser: Tracker, body: Any) -> None:
    publish_notice("banner")
    assert tell(browser.key, body).status_code in (400, 404)
    assert not ServedNotice.objects.exists()


@pytest.mark.parametrize("place", ["http://[", "\x00", "\\ud800", "x" * 5000, "//", "javascript:alert(1)"])
def test_hostile_places_are_kept_harmlessly(browser: Tracker, place: str) -> None:
    publish_notice("banner")
    sha256 = ask(browser.key).json()["sha256"]
    raw = b'{"notice":"banner","sha256":"%s","place":%s}' % (
        sha256.encode(),
        json.dumps(place).replace("\\\\u", "\\u").encode(),
    )
    assert tell(browser.key, raw).status_code in (200, 400)
    assert all(len(one.place) <= 500 for one in ServedNotice.objects.all())


def test_one_network_can_not_fill_the_table(browser: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "PER_NETWORK", 3)
    publish_notice("banner")
    for _ in range(3):
        shown(browser)
    refused = tell(browser.key, {"notice": "banner", "sha256": ask(browser.key).json()["sha256"]})
    assert refused.status_code == 429 and refused["Retry-After"]
    assert ServedNotice.objects.count() == 3


# ---- The choice ----------------------------------------------------------------------------------------------------


def chose(source: Tracker, served: Any, user: str | None = None, **choices: bool) -> Event:
    consent = {"categoryPreferences": choices} | ({} if served is None else {"served": served})
    who = {} if user else {"anonymousId": "device-1"}
    source.send(track(CONSENT_EVENT, user, context={"consent": consent}, ago=timedelta(0), **who))
    process_all()
    return Event.objects.sent().latest("received_at")


def test_a_choice_leads_to_what_was_shown(browser: Tracker) -> None:
    version = publish_notice("banner")
    served = shown(browser)
    event = chose(browser, served, analytics=True, sms=False)
    assert event.flags is None
    told, untold = (ConsentRecord.objects.get(purpose__key=key) for key in ("analytics", "sms"))
    assert (told.notice_version, str(told.served_id), told.method, told.reach) == (
        version, served, Method.BANNER, Reach.DEVICE,
    )  # fmt: skip
    assert (untold.notice_version, untold.served_id) == (None, None), "the banner says nothing of it"


@pytest.mark.parametrize(
    ("served", "flag"), [
        ("00000000-0000-4000-8000-000000000000", "served_unknown"),
        ("x", "served_malformed"),
        (7, "served_malformed"),
        ([], "served_malformed"),
        (None, None),
    ]
)  # fmt: skip
def test_a_choice_that_names_nothing_of_ours_counts_without_it(browser: Tracker, served: Any, flag: str | None) -> None:
    event = chose(browser, served, analytics=True)
    assert event.flags == ([flag] if flag else None)
    record = ConsentRecord.objects.get()
    assert (record.notice_version, record.served, record.method) == (None, None, Method.EVENT)


def test_what_another_source_showed_is_no_evidence(browser: Tracker) -> None:
    publish_notice("banner")
    served = shown(browser)
    assert chose(tracker(SourceKind.BROWSER), served, analytics=True).flags == ["served_unknown"]
    assert ConsentRecord.objects.get().served is None


def test_a_server_passes_on_what_its_own_form_showed(browser: Tracker) -> None:
    shop = tracker()
    version = publish_notice("form")
    served = serve(version=version, source_id=shop.source_id, jurisdiction="EU")
    chose(shop, str(served.pk), "ann", marketing_email=True)
    record = ConsentRecord.objects.get()
    assert (record.served, record.notice_version, record.jurisdiction) == (served, version, "EU")
    assert (record.reach, record.method) == (Reach.PERSON, Method.EVENT)


def test_many_choices_ask_for_what_was_shown_once(browser: Tracker, django_assert_max_num_queries: Any) -> None:
    publish_notice("banner")
    ids = {shown(browser) for _ in range(20)}
    with django_assert_max_num_queries(2):
        found = seen({*map(UUID, ids), uuid4()})
    assert len(found) == 20


def test_the_words_fall_back_to_english(browser: Tracker) -> None:
    publish_notice("banner", locale="ar")
    words = ask(browser.key, locales="ar").json()["words"]
    assert words["bidi"] is True and words["locale"] == "en"
    with override_settings(LANGUAGES=[("en", "English")]):
        assert banner.wording("banner", ["xx-invalid-locale", "ar"])["words"]["bidi"] is True
