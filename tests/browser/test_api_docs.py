"""The API reference in a browser: it shows itself under our content policy, and calls can be tried out from it."""

from playwright.sync_api import Page, expect

from cdp.rest.models import Scope
from cdp.rest.services import create_api_key
from tests.browser.conftest import Console
from tests.browser.looks import NARROW, WIDE, picture
from tests.factories import BY

PATIENCE = 5_000


def open_docs(console: Console, operation: str = "") -> Page:
    """The page, with this operation open."""
    console.page.goto(f"{console.url}/api/v1/docs/")
    expect(console.page.locator("#operations-tag-purposes")).to_be_visible(timeout=PATIENCE)
    if operation:
        console.page.locator(f"#operations-tag-{operation.partition('-')[0]}").click()
        console.page.locator(f"#operations-{operation}").get_by_role("button").first.click()
    return console.page


def try_out(page: Page, operation: str) -> None:
    """Sends the operation that is open as it stands."""
    section = page.locator(f"#operations-{operation}")
    section.get_by_role("button", name="Try it out").click()
    section.get_by_role("button", name="Execute").click()


def test_the_reference_is_shown_without_a_complaint_at_every_width_and_in_both_themes(console: Console) -> None:
    page = open_docs(console)
    for width, height in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            picture(page, f"api-docs-{width}-{theme}")
    assert page.locator(".opblock").count() == 0, "what nobody opened is drawn, too"
    page.get_by_placeholder("Filter by tag").fill("segm")
    expect(page.locator("#operations-tag-purposes")).to_have_count(0)
    page.locator("#operations-tag-segments").click()
    page.locator("#operations-segments-segments_create").get_by_role("button").first.click()
    expect(page.get_by_text("Order Completed").first).to_be_visible()  # a rule to start from
    picture(page, "api-docs-open")
    assert not console.complaints, console.complaints


def test_a_call_is_tried_out_with_a_key(console: Console) -> None:
    _, secret = create_api_key(name="Try-out", scopes=[Scope.SEGMENTS_READ], by=BY)
    page = open_docs(console, "purposes-purposes_list")
    page.get_by_role("button", name="Authorize").click()
    page.get_by_label("auth-bearer-value").fill(secret)
    page.get_by_label("Apply credentials").first.click()
    page.get_by_role("button", name="Close").first.click()
    try_out(page, "purposes-purposes_list")
    expect(page.locator(".live-responses-table").get_by_text("legitimate_interests").first).to_be_visible()


def test_somebody_logged_in_tries_out_what_writes_with_the_session(console: Console) -> None:
    console.log_in("marketer")
    page = open_docs(console, "segments-segments_preview")
    section = page.locator("#operations-segments-segments_preview")
    section.get_by_role("button", name="Try it out").click()
    section.locator("textarea").fill('{"rule": {"version": 1, "everyone": true}}')
    section.get_by_role("button", name="Execute").click()
    expect(section.locator(".live-responses-table").get_by_text("Everyone.").first).to_be_visible()
