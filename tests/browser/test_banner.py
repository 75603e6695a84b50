"""The banner on somebody's page in a real browser: nothing leaves, and nothing is kept, before a yes; then what was said holds."""

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from cdp.ingestion import keys
from cdp.ingestion.models import Source, SourceKind
from cdp.pipeline import process_batch
from cdp.profiles import catalogue
from cdp.profiles.models import Event, EventName, Identifier
from consent.consent_mode_export import of_choices
from consent.models import ConsentRecord, ConsentState, Method, Purpose, Reach, ServedNotice
from segments import live
from tests.browser.looks import look
from tests.browser.test_browser_library import SNIPPET
from tests.factories import Tracker, tracker
from tests.harness.sites import site
from tests.integration.notices import publish_notice

PURPOSES = ("analytics", "personalisation", "targeted_ads")
PAGE = """<!doctype html><html lang=LANG><head><meta charset=utf-8><title>A shop</title><link rel=icon href='data:,'>
<script src=site.js></script><script src=HOST/banner.js data-write-key=KEY data-notice=banner ATTRIBUTES async></script>
</head><body><main><h1>A shop</h1><p>Goods.</p><a href="#x">A link</a></main></body></html>"""
SITE = """window.cdp = window.cdp || function () { (cdp.q = cdp.q || []).push(arguments); };
window.log = []; document.addEventListener("cdp", e => log.push([e.detail.state, e.detail.name]));
cdp("page", "Home"); cdp("track", "Product Viewed", {sku: "a-1"});"""
CONSENT = "Segment Consent Preference Updated"


@dataclass
class Shop:
    """A site of somebody else's with the banner on it, under a policy that allows no inline script or style."""

    host: str
    origin: str
    folder: Path
    source: Tracker
    context: BrowserContext
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page = self.new_page()

    def new_page(self) -> Page:
        page = self.context.new_page()
        page.on("request", lambda request: self.asked.append(f"{request.method} {request.url}"))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def open(self, *, attributes: str = "", lang: str = "en", script: str = SITE) -> Page:
        words = {"HOST": self.host, "KEY": self.source.key, "ATTRIBUTES": attributes, "LANG": lang}
        text = PAGE
        for name, value in words.items():
            text = text.replace(name, value)
        (self.folder / "index.html").write_text(text)
        (self.folder / "site.js").write_text(script)
        self.page.goto(self.origin)
        return self.page

    @property
    def region(self) -> Any:
        return self.page.get_by_role("region", name="Your data")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).click()

    def posts(self) -> list[str]:
        """Which calls left the page, without that of a showing."""
        return [one.rpartition("/")[2] for one in self.asked if one.startswith("POST") and "/banner/" not in one]

    def log(self) -> list[list[str]]:
        found: list[list[str]] = self.page.evaluate("log")
        return found

    def wait(self, state: str) -> None:
        """Until the page's log says so; a strict policy lets Playwright wait for no function of its own."""
        patience = time.monotonic() + 8
        while state not in {one for one, _ in self.log()}:
            assert time.monotonic() < patience, self.log()
            self.page.wait_for_timeout(50)

    def wait_for_kept(self, name: str) -> None:
        patience = time.monotonic() + 8
        while name not in self.kept():
            assert time.monotonic() < patience, self.kept()
            self.page.wait_for_timeout(50)

    def kept(self) -> dict[str, Any]:
        """All that lies on the device."""
        assert self.context.cookies() == []
        everything = self.page.evaluate("({...localStorage})")
        assert set(everything) <= {"cdp.consent.banner"}
        return json.loads(everything["cdp.consent.banner"]) if everything else {}

    def stored(self, count: int) -> list[Event]:
        """The events that came, once there are so many."""
        patience = time.monotonic() + 15
        while Event.objects.sent().count() < count and time.monotonic() < patience:
            self.page.wait_for_timeout(100)
            process_batch()
        return list(Event.objects.sent().order_by("received_at", "pk"))

    def look(self, name: str) -> None:
        look(self.page, name, full_page=False)


@pytest.fixture
def shop(browser: Browser, live_site: str, tmp_path: Path) -> Iterator[Shop]:
    yield from opened(browser, live_site, tmp_path)


def opened(browser: Browser, host: str, folder: Path, *, init: str = "") -> Iterator[Shop]:
    for module in (catalogue, keys, live):
        module.forget()
    publish_notice("banner", purposes=PURPOSES)
    context = browser.new_context(reduced_motion="reduce", locale="en-GB")
    context.set_default_timeout(8000)
    if init:
        context.add_init_script(init)
    policy = f"default-src 'none'; script-src 'self' {host}; connect-src {host}; img-src data:"
    with site(folder, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"}) as origin:
        source = tracker(SourceKind.BROWSER)
        Source.objects.filter(pk=source.source_id).update(allowed_origins=[origin])
        keys.forget()
        shop = Shop(host, origin, folder, source, context)
        yield shop
        context.close()
    assert not shop.complaints, shop.complaints


def names(events: list[Event]) -> list[str]:
    by_id = dict(EventName.objects.values_list("pk", "name"))
    return [by_id[event.name_id] for event in events]


def choices() -> dict[str, str]:
    return {one.purpose.key: one.decision for one in ConsentRecord.objects.order_by("pk").select_related("purpose")}


# ---- Asking ----------------------------------------------------------------------------------------------------------


def test_it_asks_without_a_box_ticked_and_nothing_leaves_or_stays_before(shop: Shop) -> None:
    page = shop.open()
    expect(shop.region).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Your data (en)")  # said to whoever doesn't see it come
    shop.look("banner")
    accept, reject = (page.get_by_role("button", name=name) for name in ("Accept all", "Reject all"))
    styles = [one.evaluate("e => { const s = getComputedStyle(e); return [s.color, s.backgroundColor, s.fontSize, s.fontWeight,"
                           " s.borderColor, e.offsetHeight, e.offsetWidth].join() }") for one in (accept, reject)]  # fmt: skip
    assert styles[0] == styles[1]
    shop.press("Choose")
    boxes = page.get_by_role("checkbox").all()
    assert len(boxes) == len(PURPOSES) and not any(box.is_checked() for box in boxes)
    shop.look("banner-choose")
    page.wait_for_timeout(500)
    assert (shop.posts(), shop.kept(), shop.log()) == ([], {}, [["held", "Home"], ["held", "Product Viewed"]])
    assert not Event.objects.exists()


def test_a_yes_sends_what_was_held_and_leads_to_what_was_shown(shop: Shop) -> None:
    page = shop.open()
    shop.press("Accept all")
    expect(shop.region).to_have_count(0)
    page.evaluate("cdp('track', 'Product Added', {sku: 'a-1'})")
    events = shop.stored(4)
    assert sorted(names(events)) == sorted([CONSENT, "Page Viewed", "Product Viewed", "Product Added"])
    assert choices() == dict.fromkeys(PURPOSES, "granted")
    served = ServedNotice.objects.get()
    assert served.place == f"{shop.origin}/" and served.source_id == shop.source.source_id
    for record in ConsentRecord.objects.all():
        assert (record.served, record.notice_version, record.method, record.reach) == (
            served, served.version, Method.BANNER, Reach.DEVICE,
        )  # fmt: skip
    assert not ConsentState.objects.exists(), "a device speaks for no person"
    assert Identifier.objects.get().value == shop.kept()["id"]
    assert {one for event in events for one in event.flags or []} == set()


def test_a_no_drops_what_was_held_and_leaves_no_id_on_the_device(shop: Shop) -> None:
    page = shop.open()
    shop.press("Reject all")
    page.evaluate("cdp('track', 'Product Added')")
    [event] = shop.stored(1)
    assert names([event]) == [CONSENT] and choices() == dict.fromkeys(PURPOSES, "denied")
    assert [state for state, _ in shop.log()].count("dropped") == 3
    kept = shop.kept()
    assert "id" not in kept and kept["said"] == dict.fromkeys(PURPOSES, False)
    assert event.identifier_id is not None
    # It doesn't ask again, and goes on dropping.
    page.reload()
    shop.wait("dropped")
    page.wait_for_timeout(300)
    expect(shop.region).to_have_count(0)
    process_batch()
    assert Event.objects.sent().count() == 1


def test_each_purpose_by_itself(shop: Shop) -> None:
    page = shop.open(
        script=SITE
        + "cdp('track', 'Recommended', {}, {purpose: 'personalisation'}); cdp('track', 'Secret', {}, {purpose: 'sms'});"
    )
    shop.press("Choose")
    page.get_by_role("checkbox", name="Analytics").check()
    shop.press("Save my choices")
    assert sorted(names(shop.stored(3))) == sorted([CONSENT, "Page Viewed", "Product Viewed"])
    assert choices() == {"analytics": "granted", "personalisation": "denied", "targeted_ads": "denied"}
    assert ["dropped", "Recommended"] in shop.log()
    assert ["dropped", "Secret"] in shop.log(), "nobody is asked here for what it would be sent for"


# ---- Afterwards --------------------------------------------------------------------------------------------------------


def test_the_choice_is_opened_again_changed_and_closed_unchanged(shop: Shop) -> None:
    page = shop.open()
    shop.press("Accept all")
    shop.stored(3)
    page.get_by_role("link", name="A link").focus()
    page.evaluate("cdp('consent')")
    assert all(box.is_checked() for box in page.get_by_role("checkbox").all())
    shop.look("banner-again")
    assert page.evaluate("document.activeElement.shadowRoot.activeElement.tagName") == "H2"
    page.keyboard.press("Escape")
    expect(shop.region).to_have_count(0)
    expect(page.get_by_role("link", name="A link")).to_be_focused()
    page.evaluate("cdp('consent')")
    shop.press("Close without changing anything")
    assert ConsentRecord.objects.count() == 3
    page.evaluate("cdp('consent')")
    shop.press("Reject all")
    shop.stored(4)
    assert set(choices().values()) <= {"denied", "withdrawn"} and "id" not in shop.kept()
    page.evaluate("cdp('track', 'Product Added')")
    page.wait_for_timeout(300)
    assert ["dropped", "Product Added"] in shop.log()
    said = list(ConsentRecord.objects.order_by("pk").values_list("profile_id", flat=True))
    assert len(set(said)) == 1, "a no follows its yes on the same device"


def test_it_asks_again_when_the_words_change_or_a_yes_has_ended(shop: Shop) -> None:
    page = shop.open()
    shop.press("Accept all")
    page.reload()
    shop.wait_for_kept("told")  # else the answer puts back what is changed here
    expect(shop.region).to_have_count(0)
    Purpose.objects.filter(key="analytics").update(lifetime_days=30)
    page.evaluate("""() => { const kept = JSON.parse(localStorage["cdp.consent.banner"]);
        kept.at = new Date(Date.now() - 31 * 864e5).toISOString(); localStorage["cdp.consent.banner"] = JSON.stringify(kept); }""")
    page.route(
        "**/v1/banner/*", lambda route: route.continue_(headers={**route.request.headers, "Cache-Control": "no-cache"})
    )
    page.reload()
    expect(shop.region).to_be_visible()
    shop.press("Accept all")
    page.reload()
    shop.wait("sent")
    expect(shop.region).to_have_count(0)
    publish_notice("banner", purposes=PURPOSES, title="Your data, once more")
    page.reload()
    expect(shop.region).to_be_visible()
    before = len(shop.posts())
    page.evaluate("cdp('track', 'Product Added')")
    page.wait_for_timeout(300)
    assert len(shop.posts()) == before, "the new words have not been answered"
    shop.press("Choose")
    assert not any(box.is_checked() for box in page.get_by_role("checkbox").all())


def test_global_privacy_control_is_honoured_and_says_so(browser: Browser, live_site: str, tmp_path: Path) -> None:
    init = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})"
    for shop in opened(browser, live_site, tmp_path, init=init):
        page = shop.open(attributes="data-consent-mode=google")
        expect(page.get_by_text("We honour it")).to_be_visible()
        shop.press("Choose")
        expect(page.get_by_role("checkbox", name="Targeted ads")).to_be_disabled()
        shop.look("banner-gpc")
        shop.press("Accept all")
        shop.stored(3)
        assert choices() == {"analytics": "granted", "personalisation": "granted", "targeted_ads": "denied"}
        assert page.evaluate("Array.from(dataLayer).at(-1)[2].ad_personalization") == "denied"


def test_an_opt_out_by_the_browser_that_comes_later_takes_the_yes_back(shop: Shop) -> None:
    shop.open()
    shop.press("Accept all")
    shop.stored(3)
    shop.context.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})"
    )
    shop.page.reload()
    shop.stored(6)
    assert choices() == {"analytics": "granted", "personalisation": "granted", "targeted_ads": "denied"}
    expect(shop.region).to_have_count(0)


# ---- Whoever depends on it ---------------------------------------------------------------------------------------------


def test_googles_consent_mode_is_told_what_the_platform_would_export(shop: Shop) -> None:
    page = shop.open(attributes="data-consent-mode=google")
    expect(shop.region).to_be_visible()
    first = page.evaluate("Array.from(dataLayer[0])")
    assert first[:2] == ["consent", "default"]
    assert {value for kind, value in first[2].items() if kind not in ("security_storage", "wait_for_update")} == {
        "denied"
    }
    for yes in itertools.product([True, False], repeat=len(PURPOSES)):
        said = dict(zip(PURPOSES, yes, strict=True))
        if page.get_by_role("button", name="Save my choices").is_hidden():
            shop.press("Choose")
        for key, choice in said.items():
            page.locator(f"#cdp-consent input[name={key}]").set_checked(choice)
        shop.press("Save my choices")
        update = page.evaluate("Array.from(dataLayer).at(-1)[2]")
        chosen = {Purpose.objects.get(key=key): choice for key, choice in said.items()}
        assert update == of_choices(chosen), said
        page.evaluate("cdp('consent')")


def test_the_usual_library_is_loaded_once_it_is_permitted(shop: Shop) -> None:
    snippet = SNIPPET.replace("HOST", shop.host).replace("KEY", shop.source.key)
    held = snippet.replace(f'analytics.load("{shop.source.key}");', "")
    hook = f"cdp('on', 'analytics', (yes, id) => {{ if (yes) {{ analytics.setAnonymousId(id); analytics.load('{shop.source.key}'); }} }});"
    page = shop.open(script=SITE.split('cdp("page"')[0] + held + hook)
    expect(shop.region).to_be_visible()
    page.evaluate("analytics.track('Product Viewed')")
    page.wait_for_timeout(300)
    assert not any("analytics.js" in one for one in shop.asked) and shop.kept() == {}
    shop.press("Accept all")
    found = names(shop.stored(3))
    assert {"Page Viewed", "Product Viewed", CONSENT} <= set(found)
    assert Identifier.objects.filter(namespace="anonymous_id").count() == 1, "one device, whichever library speaks"


def test_a_page_learns_of_every_change(shop: Shop) -> None:
    page = shop.open(
        script=SITE
        + "window.said = []; cdp('on', 'analytics', yes => said.push(yes)); cdp('on', 'sms', yes => said.push('sms ' + yes));"
    )
    expect(shop.region).to_be_visible()
    assert page.evaluate("said") == ["sms false"]
    shop.press("Accept all")
    page.evaluate("cdp('consent')")
    shop.press("Accept all")
    page.evaluate("cdp('consent')")
    shop.press("Reject all")
    assert page.evaluate("said") == ["sms false", True, False]


def test_who_logs_in_is_named_from_then_on_and_not_after_a_reset(shop: Shop) -> None:
    page = shop.open(script=SITE.split('cdp("page"')[0])
    shop.press("Accept all")
    page.evaluate("cdp('identify', 'ann', {plan: 'pro'}); cdp('track', 'Product Viewed')")
    shop.stored(3)
    assert Identifier.objects.get(namespace="user_id").value == "ann"
    device = shop.kept()["id"]
    page.evaluate("cdp('reset')")
    assert shop.kept()["id"] != device and "user" not in shop.kept()
    # A page may say so before the words have come.
    device = shop.kept()["id"]
    shop.open(script=SITE.split('cdp("page"')[0] + "cdp('reset'); cdp('track', 'After');")
    shop.wait("sent")
    assert shop.kept()["id"] != device


def test_a_choice_that_did_not_arrive_is_told_by_the_next_page_and_counts_once(shop: Shop) -> None:
    page = shop.open(script=SITE.split('cdp("page"')[0])
    page.route("**/v1/track", lambda route: route.abort())
    shop.press("Reject all")
    page.wait_for_timeout(1500)
    assert shop.kept()["telling"] and "told" not in shop.kept()
    page.unroute("**/v1/track")
    for _ in range(2):
        page.reload()
        shop.stored(1)
    shop.wait_for_kept("told")
    assert "telling" not in shop.kept() and "id" not in shop.kept()
    assert choices() == dict.fromkeys(PURPOSES, "denied") and ConsentRecord.objects.count() == 3
    shop.complaints = [one for one in shop.complaints if "ERR_FAILED" not in one]


def test_a_clock_that_was_wrong_makes_no_yes_that_never_ends(shop: Shop) -> None:
    page = shop.open()
    shop.press("Accept all")
    shop.wait_for_kept("told")
    page.evaluate("""() => { const kept = JSON.parse(localStorage["cdp.consent.banner"]);
        kept.at = "2099-01-01T00:00:00.000Z"; localStorage["cdp.consent.banner"] = JSON.stringify(kept); }""")
    page.reload()
    expect(shop.region).to_be_visible()


def test_what_goes_wrong_on_a_page_keeps_nobody_from_being_asked(shop: Shop) -> None:
    loop = "const loop = {}; loop.self = loop; cdp('track', 'Circular', loop); cdp.q.push(7);"
    page = shop.open(script=SITE + "cdp('on', 'sms', () => { throw new Error('of the page'); });" + loop)
    shop.press("Accept all")
    assert {"Page Viewed", "Product Viewed", CONSENT} == set(names(shop.stored(3)))
    said = [one for one in shop.complaints if "of the page" in one or "circular" in one or "iterable" in one]
    assert len(said) == 3, shop.complaints
    shop.complaints = [one for one in shop.complaints if one not in said]
    assert page.evaluate("log").count(["held", "Circular"]) == 0


# ---- When something is missing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("attributes", ["data-notice=unheard", "data-write-key=wk_made_up"])
def test_where_there_is_nothing_to_ask_nothing_is_sent(shop: Shop, attributes: str) -> None:
    name = attributes.split("=")[0]
    text = PAGE.replace("data-notice=banner", "" if name == "data-notice" else "data-notice=banner")
    text = text.replace("data-write-key=KEY", "" if name == "data-write-key" else "data-write-key=KEY")
    for word, value in {"HOST": shop.host, "KEY": shop.source.key, "ATTRIBUTES": attributes, "LANG": "en"}.items():
        text = text.replace(word, value)
    (shop.folder / "index.html").write_text(text)
    (shop.folder / "site.js").write_text(SITE)
    with shop.page.expect_console_message(lambda said: "nothing is sent" in said.text):
        shop.page.goto(shop.origin)
    shop.complaints = [one for one in shop.complaints if "404" not in one]
    shop.page.wait_for_timeout(300)
    assert shop.posts() == [] and shop.kept() == {}
    expect(shop.region).to_have_count(0)


def test_where_nothing_can_be_kept_the_choice_holds_for_the_page(
    browser: Browser, live_site: str, tmp_path: Path
) -> None:
    init = (
        "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('denied', 'SecurityError') }})"
    )
    for shop in opened(browser, live_site, tmp_path, init=init):
        shop.open()
        shop.press("Accept all")
        assert len(shop.stored(3)) == 3
        shop.page.reload()
        expect(shop.region).to_be_visible()


def test_it_is_used_by_keyboard_alone_and_takes_nothing_away(shop: Shop) -> None:
    page = shop.open()
    expect(shop.region).to_be_visible()
    assert page.evaluate("document.activeElement === document.body"), "it takes nobody's focus"
    focused = "(document.activeElement.shadowRoot || document).activeElement.textContent"
    seen = []
    for _ in range(4):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(focused))
    assert seen == ["Reject all", "Accept all", "Choose", "A link"], "and the page goes on behind it"
    for _ in range(3):
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(shop.region).to_have_count(0)
    shop.stored(1)
    assert set(choices().values()) == {"denied"}


def test_it_reads_from_right_to_left_where_people_do(shop: Shop) -> None:
    publish_notice("banner", locale="ar", purposes=PURPOSES, title="بياناتك")
    page = shop.open(lang="ar")
    region = page.get_by_role("region", name="بياناتك")
    expect(region).to_have_attribute("dir", "rtl")
    shop.press("Choose")
    shop.look("banner-rtl")
