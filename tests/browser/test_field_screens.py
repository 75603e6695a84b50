"""What fields are like, and how they are found and compared while a rule is built."""

import json
from typing import Any

from django.core.cache import cache
from playwright.sync_api import Page, expect

from cdp.profiles.models import Trait
from segments.fields.measuring import measure
from tests.browser.conftest import Console
from tests.factories import identify, process_all, track, tracker

HOSTILE = "<img src=x onerror=alert(1)>"


def people() -> None:
    source = tracker()
    for number in range(1, 41):
        source.send(
            identify(
                f"u{number}",
                traits={
                    "visits": number,
                    "country": "DE" if number % 3 else "AT",
                    "email": f"u{number}@example.com",
                    "joined": f"2024-{1 + number % 12:02}-03",
                },
            ),
            track(
                "Order Completed",
                f"u{number}",
                properties={
                    "order_id": f"o{number}",
                    "revenue": number * 5,
                    "currency": "USD",
                    "colour": "Red, dark" if number % 2 else "Blue",
                },
            ),
        )
    process_all()
    cache.clear()  # which keeps figures of the test before


def counted() -> None:
    measure(progress=lambda done, total, phase: None)


def rule(page: Page) -> list[Any]:
    """The conditions as the draft has them now."""
    return list(json.loads(page.locator("#rule").input_value())["all"])


def wait_for_rule(page: Page, said: str) -> None:
    page.wait_for_function("said => document.querySelector('#rule').value.includes(said)", arg=said)


def test_the_catalogues_show_how_people_have_each_field(console: Console) -> None:
    people()
    page = console.log_in("marketer")
    console.open("profiles/trait/")
    expect(page.get_by_text("Nobody has counted yet")).to_be_visible()
    page.get_by_role("button", name="Measure now").click()
    expect(page.get_by_text("being counted now")).to_be_visible()
    counted()
    console.open("profiles/trait/")
    expect(page.get_by_role("row", name="Visits")).to_contain_text("100%")
    console.look("traits-counted")
    page.locator("#result_list").get_by_role("link", name="Country").click()
    expect(page.get_by_role("row", name="DE")).to_contain_text("27")
    console.look("trait-counted")
    console.open("profiles/eventname/")
    page.locator("#result_list").get_by_role("link", name="Order Completed").click()
    expect(page.get_by_role("row", name="revenue")).to_be_visible()
    console.look("event-counted")


def test_fields_are_found_by_typing_and_added_by_keyboard_and_by_mouse(console: Console) -> None:
    people()
    Trait.objects.filter(key="visits").update(label=f"{HOSTILE} visits")
    page = console.log_in("marketer")
    console.open("segments/segment/new/")
    assert page.locator("#builder option").count() < 20, "subjects are asked for, and not in the page"
    add = page.get_by_role("button", name="Add a condition to All of")
    picker = page.get_by_role("dialog", name="Add a condition to All of")

    add.click()
    expect(picker.get_by_text("nobody has counted yet")).to_be_visible()
    page.keyboard.press("Escape")
    expect(picker).to_be_hidden()
    expect(add).to_be_focused()

    counted()
    add.press("Enter")
    search = picker.get_by_role("combobox")
    expect(search).to_be_focused()
    page.keyboard.type("vis")
    option = picker.get_by_role("option", selected=True)
    expect(option).to_have_text(f"{HOSTILE} visits100%")
    expect(search).to_have_attribute("aria-activedescendant", option.get_attribute("id") or "")
    expect(picker.get_by_role("region", name="visits")).to_contain_text("40 people")
    console.look("field-picker")
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Condition 1")).to_be_visible()
    assert rule(page) == [{"trait": "visits", "op": "gte"}]
    expect(page.get_by_role("textbox", name="Value", exact=True)).to_be_focused()

    add.click()
    page.keyboard.type("zebra")
    expect(picker.get_by_role("status")).to_have_text("No field fits")
    search.fill("")
    picker.get_by_role("button", name="Traits").click()
    expect(picker.get_by_role("group", name="Events")).to_have_count(0)
    picker.get_by_role("option", name="Email").hover()
    expect(picker.get_by_role("region", name="Email")).to_contain_text("no value is shown")
    picker.get_by_role("option", name="Country").click()
    expect(page.get_by_role("button", name="Trait: Country")).to_be_visible()

    # Another subject for the same condition; a sequence asks for its first event.
    page.get_by_role("button", name="Trait: Country").click()
    page.keyboard.type("sequence")
    expect(page.get_by_role("option", name="Sequence of events", selected=True)).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#picker").get_by_text("First step")).to_be_visible()
    page.keyboard.type("order")
    expect(page.locator("#picker").get_by_role("option", selected=True)).to_have_text("Order Completed40")
    page.keyboard.press("Enter")
    wait_for_rule(page, "sequence")
    assert rule(page)[1] == {"sequence": [{"performed": "Order Completed"}]}


def test_values_are_chosen_from_what_there_is_and_a_threshold_from_how_people_lie(console: Console) -> None:
    people()
    counted()
    page = console.log_in("marketer")
    console.open("segments/segment/new/")
    spent = {"performed": "Order Completed", "measure": "sum", "op": "gt", "value": 100, "within": {"days": 30}}
    begun = [
        spent,
        {"trait": "country", "op": "any_of", "value": []},
        {"trait": "joined", "op": "after", "value": "2024-01-01"},
    ]
    page.locator(".bld-json summary").click()
    page.locator("#rule").fill(json.dumps({"version": 1, "all": begun}))
    page.locator("#rule").blur()
    page.locator(".bld-json summary").click()

    # A threshold: by the slider's keys, by a percentile, and typed; the picture keeps up and the focus stays.
    amount = page.get_by_role("textbox", name="Value in USD")
    page.get_by_role("button", name="Value: see its distribution").first.click()
    slider = page.get_by_role("slider", name="Total value of Order Completed, per person")
    expect(slider).to_have_attribute("aria-valuetext", "100 USD, 48th percentile")
    slider.press("ArrowRight")
    wait_for_rule(page, '"value": 101')
    expect(slider).to_be_focused()
    expect(amount).to_have_value("101")
    page.get_by_role("button", name="Top 25%").click()
    wait_for_rule(page, '"value": 150')
    expect(page.locator(".h-flag-v")).to_have_text("150 USD")
    amount.fill("50")
    amount.press("Enter")
    expect(page.locator(".h-flag-v")).to_have_text("50 USD")
    console.look("builder-histogram")

    # Values: a country by its name, and nothing twice.
    countries = page.get_by_role("combobox", name="Add to values")
    countries.click()
    listed = page.get_by_role("listbox", name="Values").get_by_role("option")
    expect(listed.first).to_have_text("Germany DE27")
    page.keyboard.type("austria")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove Austria")).to_be_visible()
    expect(listed.first).to_have_text("Germany DE27")
    expect(listed.filter(has_text="Austria")).to_have_count(0)
    console.look("builder-values")
    listed.first.click()
    wait_for_rule(page, '["AT", "DE"]')
    page.keyboard.press("Escape")
    expect(listed.first).to_be_hidden()

    # A property of the event, and a value that has a comma in it.
    page.get_by_role("button", name="Add a property filter to Order Completed").click()
    page.keyboard.type("col")
    expect(page.get_by_role("option", name="colour", selected=True)).to_be_visible()
    page.keyboard.press("Enter")
    values = page.get_by_role("group", name="Only events where").get_by_role("combobox", name="Value")
    expect(values).to_be_focused()
    values.press("ArrowDown")
    expect(listed).to_have_text(["Blue20", "Red, dark20"])
    values.press("ArrowDown")
    values.press("ArrowUp")
    values.press("Enter")
    wait_for_rule(page, '"value": "Red, dark"')

    # A day in words, and what moves on with time instead of it.
    day = page.get_by_role("group", name="Condition 3").get_by_role("combobox", name="Value")
    day.fill("30 days ago")
    days = page.get_by_role("listbox", name="Days").get_by_role("option")
    expect(days).to_have_count(2)
    days.filter(has_text="Within the last 30 days").click()
    wait_for_rule(page, "within_last")
    assert rule(page)[2] == {"trait": "joined", "op": "within_last", "value": {"days": 30}}
