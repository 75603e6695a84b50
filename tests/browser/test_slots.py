"""Slots in a real browser: made row by row with the keyboard, refused at their place, previewed for a person."""

from tests.browser.conftest import Console
from tests.factories import identify, process_all, tracker


def test_a_slot_is_made_reordered_and_previewed(console: Console) -> None:
    from consent.models import Decision
    from tests.integration.callers import decide

    tracker().send(identify("ann", traits={"country": "CH"}))
    process_all()
    decide("ann", "personalisation", Decision.GRANTED)
    page = console.log_in("marketer")
    page.get_by_role("link", name="Content", exact=True).click()
    page.get_by_role("link", name="New slot").first.click()
    page.get_by_label("Name").first.fill("Hero")
    page.get_by_label("Key", exact=True).fill("hero")
    page.get_by_label("Live", exact=True).check()
    page.locator("#v0-name").fill("Everybody else")
    page.locator("#v0-content").fill('{"title": ')
    page.get_by_role("button", name="Add a variant").press("Enter")
    page.locator("#v1-name").fill("Swiss")
    page.locator("#v1-kind").select_option("rule")
    page.locator("#v1-asks").fill('{"version": 1, "trait": "country", "op": "equals", "value": "CH"}')
    page.locator("#v1-content").fill('{"title": "Grüezi"}')
    page.get_by_role("button", name="Variant 2 earlier").press("Enter")
    assert page.locator("#v0-name").input_value() == "Swiss"
    page.get_by_role("button", name="Save", exact=True).last.click()
    assert "This is no JSON" in page.get_by_role("alert").inner_text()
    console.look("slot-refused")
    page.locator("#v1-content").fill('{"title": "Hello"}')
    page.get_by_role("button", name="Save", exact=True).last.click()
    page.get_by_role("link", name="Preview for a person").click()
    page.get_by_role("textbox", name="Person").fill("user_id:ann")
    page.get_by_role("button", name="Show").click()
    assert page.get_by_role("heading", name="Swiss").is_visible() and "Grüezi" in page.content()
    console.look("slot-preview")
    console.open("content/slot/")
    console.look("slots")
