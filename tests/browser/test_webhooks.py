"""Webhooks on their screens: made, tried, read, given another secret, turned off and on, and deleted."""

from typing import Any

from playwright.sync_api import expect

from cdp.deliverer import Deliverer
from cdp.webhooks.models import Delivery, DeliveryState
from consent.models import Decision
from tests.browser.conftest import Console
from tests.factories import live, performed, process_all, track, tracker
from tests.integration.audiences import audience_of
from tests.integration.callers import decide
from tests.integration.receivers import receiving


def test_a_webhook_is_made_tried_and_looked_after(console: Console, settings: Any) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    settings.WEBHOOK_BACKOFF_SECONDS = []
    tracker().send(track("Bought", "ann"))
    process_all()
    decide("ann", "marketing_email", Decision.GRANTED)
    audience_of(live("buyers", performed("Bought")))
    page = console.log_in("marketer")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Webhooks").click()
    expect(page.get_by_text("No webhooks yet")).to_be_visible()
    console.look("webhooks-none")
    page.get_by_role("link", name="New webhook").first.click()
    page.get_by_label("Address").fill("https://10.0.0.1/hook")
    page.get_by_label("What it is for").fill("Mail tool")
    page.get_by_label("Somebody enters an audience").check()
    page.get_by_label("Buyers for marketing_email").check()
    page.get_by_label("For the purpose").select_option("marketing_email")
    page.get_by_role("button", name="Make the webhook").click()
    expect(page.get_by_text("lies inside a network")).to_be_visible()
    console.look("webhook-new")
    answers = [204]
    with receiving(lambda _: (answers[0], {}, b"out of order, call ann@example.com")) as receiver:
        page.get_by_label("Address").fill(receiver.url)
        page.get_by_role("button", name="Make the webhook").click()
        expect(page.locator("#secret")).to_contain_text("whsec_")
        console.look("webhook-made")
        page.get_by_role("link", name="Done").click()
        expect(page.get_by_text("Nothing sent yet")).to_be_visible()
        page.get_by_role("button", name="Send a test").click()
        expect(page.get_by_text("A test is on its way")).to_be_visible()
        _deliver()
        answers[0] = 500
        page.get_by_role("button", name="Send a test").click()
        _deliver()
        page.reload()
        expect(page.get_by_role("row", name="webhook.test").filter(has_text="Given up")).to_contain_text("call …")
        console.look("webhook")
        page.get_by_role("link", name="Given up").click()
        page.on("dialog", lambda dialog: dialog.accept())
        answers[0] = 200
        page.get_by_role("button", name="Send again").click()
        expect(page.get_by_text("1 delivery is sent again")).to_be_visible()
        _deliver()
    page.get_by_role("button", name="New secret").click()
    _confirm(page)
    expect(page.locator("#secret")).to_contain_text("whsec_")
    expect(page.get_by_text("the old one signs, too")).to_be_visible()
    page.get_by_role("link", name="Done").click()
    page.get_by_role("button", name="Turn off").click()
    _confirm(page)
    expect(page.get_by_text("Somebody turned it off")).to_be_visible()
    page.get_by_role("button", name="Turn on").click()
    page.get_by_role("link", name="Change").click()
    page.get_by_label("What it is for").fill("Letters")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Letters", level=1)).to_be_visible()
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Webhooks").click()
    expect(page.get_by_role("row", name="Letters")).to_contain_text("2 taken, 1 failed")
    console.look("webhooks")
    page.get_by_role("link", name="Letters").click()
    page.get_by_role("button", name="Delete").click()
    _confirm(page)
    expect(page.get_by_text("No webhooks yet")).to_be_visible()


def _deliver() -> None:
    deliverer = Deliverer(threads=2)
    while Delivery.objects.filter(state=DeliveryState.WAITING).exists() or deliverer._open:
        deliverer.once()
        deliverer._wait(0.02)
    deliverer._pool.shutdown()
    deliverer.outbound.close()


def _confirm(page: Any) -> None:
    """Where the screen asks in a dialog of its own."""
    dialog = page.locator("dialog[open]")
    if dialog.count():
        dialog.get_by_role("button").last.click()
