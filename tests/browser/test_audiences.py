"""Audiences on their screens: from nothing to one that other systems can follow."""

from playwright.sync_api import expect

from cdp.activation.keeping import keep_all
from consent.models import Decision
from tests.browser.conftest import Console
from tests.factories import live, performed, process_all, track, tracker
from tests.integration.callers import decide


def test_an_audience_is_made_looked_at_and_deleted(console: Console) -> None:
    tracker().send(*(track("Bought", user) for user in ("ann", "bob", "cyd")))
    process_all()
    live("buyers", performed("Bought"))
    for user in ("ann", "bob"):
        decide(user, "marketing_email", Decision.GRANTED)
    page = console.log_in("marketer")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Audiences").click()
    expect(page.get_by_text("No audiences yet")).to_be_visible()
    console.look("audiences-none")
    page.get_by_role("link", name="New audience").first.click()
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("News to buyers")
    page.get_by_label("Segment", exact=True).select_option("buyers")
    page.get_by_label("What its people are handed on for").select_option("marketing_email")
    console.look("audience-new")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_text("being filled")).to_be_visible()
    keep_all()
    decide("ann", "marketing_email", Decision.WITHDRAWN)
    keep_all()
    page.reload()
    expect(page.get_by_role("row", name="A decision about the purpose 0 1")).to_be_visible()
    expect(page.locator("canvas").first).to_be_visible()
    console.look("audience")
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Name", exact=True).fill("Letters")
    console.look("audience-settings")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Letters", level=1)).to_be_visible()
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Audiences").click()
    expect(page.get_by_role("row", name="Letters")).to_contain_text("Marketing email")
    console.look("audiences")
    page.get_by_role("link", name="Letters").click()
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("No audiences yet")).to_be_visible()
