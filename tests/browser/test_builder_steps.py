"""Steps in the builder that come faster than the server answers: each is kept, and none meets another condition than it was meant for."""

import json
from typing import Any

from playwright.sync_api import Route, expect

from tests.browser.building import rule_text
from tests.browser.conftest import Console
from tests.factories import draft, identify, process_all, tracker

BERN: dict[str, Any] = {"trait": "city", "op": "equals", "value": "Bern"}
OLD: dict[str, Any] = {"trait": "age", "op": "gte", "value": 26}
YOUNG: dict[str, Any] = {"trait": "age", "op": "lt", "value": 60}


def test_what_was_typed_is_kept_by_a_step_that_is_taken_before_it_is_answered(console: Console) -> None:
    tracker().send(identify("ann", traits={"city": "Bern", "age": 40}))
    process_all()
    segment = draft("bern", {"all": [OLD, BERN, YOUNG]})
    page = console.log_in("marketer")
    console.open(f"segments/segment/{segment.uuid}/")

    def slow(route: Route) -> None:
        page.wait_for_timeout(400)
        route.continue_()

    page.route("**/build/", slow)
    page.locator("#builder input[name=value]").first.fill("30")
    # To the grip of Bern's row: the field is left, which sends what was typed, and the row removed before the answer is here.
    page.locator("#builder [data-grip]").nth(1).focus()
    page.keyboard.press("Delete")
    page.keyboard.press("Delete")
    expect(page.locator("[data-pending]")).to_contain_text("2 unsaved changes")
    expect(page.locator("#builder [data-grip]")).to_have_count(2)
    document = json.loads(rule_text(page).input_value())
    assert document["all"] == [{**OLD, "value": 30}, YOUNG]
