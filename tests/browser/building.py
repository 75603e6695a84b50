"""The builder as a person uses it: what several tests of its screens do with it."""

from playwright.sync_api import Locator, Page, expect


def write_rule(page: Page, text: str) -> None:
    """Writes the rule as JSON, and waits until the server has read it."""
    area = rule_text(page)
    with page.expect_response(lambda response: response.url.endswith("/build/")):
        area.fill(text)
        area.blur()


def rule_text(page: Page) -> Locator:
    """The text area with the rule, laid open."""
    area = page.get_by_role("textbox", name="The rule as JSON")
    if not area.is_visible():
        page.locator(".bld-json > summary").click()
    expect(area).to_be_visible()
    return area


def save(page: Page, how: str = "Save and go live") -> None:
    """Reviews the draft and saves it in this way."""
    page.get_by_role("button", name="Review and save").click()
    page.get_by_role("dialog").get_by_role("button", name=how, exact=True).click()
