"""The browser library on somebody's page, in a real browser: loaded from here by the usual snippet, sending here."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from cdp.ingestion import keys
from cdp.ingestion.models import InboxMessage, Source, SourceKind
from cdp.pipeline import process_batch
from cdp.profiles import catalogue
from cdp.profiles.models import Event, EventName, Identifier, Profile
from segments import live
from tests.factories import tracker
from tests.harness.sites import site

# The snippet as it is handed out everywhere; only the address of the script is ours.
SNIPPET = """
!function(){var i="analytics",analytics=window[i]=window[i]||[];if(!analytics.initialize)if(analytics.invoked)
window.console&&console.error&&console.error("Segment snippet included twice.");else{analytics.invoked=!0;
analytics.methods=["trackSubmit","trackClick","trackLink","trackForm","pageview","identify","reset","group","track","ready",
"alias","debug","page","screen","once","off","on","addSourceMiddleware","addIntegrationMiddleware","setAnonymousId",
"addDestinationMiddleware","register"];analytics.factory=function(e){return function(){if(window[i].initialized)
return window[i][e].apply(window[i],arguments);var n=Array.prototype.slice.call(arguments);n.unshift(e);analytics.push(n);
return analytics}};for(var n=0;n<analytics.methods.length;n++){var key=analytics.methods[n];analytics[key]=
analytics.factory(key)}analytics.load=function(key,n){var t=document.createElement("script");t.type="text/javascript";
t.async=!0;t.setAttribute("data-global-segment-analytics-key",i);t.src="HOST/analytics.js/v1/"+key+"/analytics.min.js";
var r=document.getElementsByTagName("script")[0];r.parentNode.insertBefore(t,r);analytics._loadOptions=n};
analytics._writeKey="KEY";analytics.SNIPPET_VERSION="5.2.1";analytics.load("KEY");analytics.page();}}();
"""
PAGE = "<!doctype html><html lang=en><title>A shop</title><link rel=icon href='data:,'><h1>A shop</h1><script>SNIPPET</script>"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The origin of a site of somebody else's, and the folder its pages lie in."""
    with site(tmp_path) as origin:
        yield origin, tmp_path


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    for module in (catalogue, keys, live):
        module.forget()
    context = browser.new_context()
    context.set_default_timeout(8000)
    yield context.new_page()
    context.close()


def visit(page: Page, shop: tuple[str, Path], host: str, *, allowed: list[str]) -> list[str]:
    """Opens the site's page; the addresses that its browser asked for grow in what is returned."""
    browser_source = tracker(SourceKind.BROWSER)
    Source.objects.filter(pk=browser_source.source_id).update(allowed_origins=allowed)
    origin, folder = shop
    snippet = SNIPPET.replace("HOST", host).replace("KEY", browser_source.key)
    (folder / "index.html").write_text(PAGE.replace("SNIPPET", snippet))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(origin)
    return asked


def arrived(page: Page, count: int) -> dict[str, Event]:
    """What came, by name, once so many are stored."""
    patience = time.monotonic() + 15
    while Event.objects.count() < count and time.monotonic() < patience:
        page.wait_for_timeout(100)
        process_batch()
    names = dict(EventName.objects.values_list("pk", "name"))
    return {names[event.name_id]: event for event in Event.objects.all()}


def test_the_usual_snippet_sends_events_here_and_asks_nobody_else(
    page: Page, shop: tuple[str, Path], live_site: str
) -> None:
    asked = visit(page, shop, live_site, allowed=[shop[0]])
    page.evaluate("analytics.track('Product Viewed', {sku: 'a-1', price: 12.5})")
    page.wait_for_function("window.analytics.initialized")
    page.evaluate("analytics.identify('ann', {city: 'Bern'})")
    page.evaluate("analytics.track('Product Added', {sku: 'a-1'})")
    events = arrived(page, 5)

    assert events.keys() == {"Page Viewed", "Product Viewed", "Identified", "Product Added", "Session Started"}
    viewed = events["Product Viewed"]
    assert viewed.properties == {"sku": "a-1", "price": 12.5}
    assert viewed.context["library"]["name"] == "analytics.js"
    assert viewed.context["page"]["url"].startswith(shop[0])
    assert events["Page Viewed"].properties["title"] == "A shop"
    # Who only looked and who then logged in is one person.
    ann = Profile.objects.get()
    assert ann.traits == {"city": "Bern"}
    assert set(ann.identifiers.values_list("namespace", flat=True)) == {"user_id", "anonymous_id"}
    visitor = Identifier.objects.get(namespace="anonymous_id")
    assert page.evaluate("analytics.user().anonymousId()") == visitor.value
    elsewhere = [url for url in asked if not url.startswith((live_site, shop[0], "data:"))]
    assert elsewhere == []


def test_a_page_that_is_not_allowed_sends_nothing(page: Page, shop: tuple[str, Path], live_site: str) -> None:
    visit(page, shop, live_site, allowed=["https://shop.example"])
    page.evaluate("analytics.track('Product Viewed')")
    # Nor past the library, by a request for which a browser asks no leave first.
    sent = """async ([host, key]) => {
        const body = JSON.stringify({writeKey: key, event: "Forged", anonymousId: "x"});
        await fetch(host + "/v1/t", {method: "POST", mode: "no-cors", headers: {"Content-Type": "text/plain"}, body});
        return await fetch(host + "/v1/t", {method: "POST", body}).then(answer => answer.status);
    }"""
    key = Source.objects.get(kind=SourceKind.BROWSER).write_keys.get().public_value
    assert page.evaluate(sent, [live_site, key]) == 403
    page.wait_for_timeout(1500)
    assert not InboxMessage.objects.exists()
    process_batch()
    assert not Event.objects.exists()
