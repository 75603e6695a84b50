"""Beginning a segment with a ready rule: found among the cards, filled in, put back, and saved."""

import re

from playwright.sync_api import expect

from tests.browser.building import rule_text, write_rule
from tests.browser.conftest import Console
from tests.browser.looks import NARROW, WIDE
from tests.factories import process_all, track, tracker


def shop() -> None:
    source = tracker()
    source.send(*(
        track("Order Completed", f"u{n}", properties={"order_id": f"o{n}", "revenue": 10 * n, "currency": "USD"})
        for n in range(1, 11)
    ))  # fmt: skip
    process_all()


def test_a_template_fills_the_form_by_keyboard_and_what_was_written_comes_back(console: Console) -> None:
    from segments.models import Segment

    shop()
    page = console.log_in("marketer")
    console.open("segments/segment/new/")
    expect(page.get_by_role("heading", name="Begin with a template")).to_be_visible()
    console.look("templates")

    card = page.locator(".tpl-c").filter(has=page.get_by_role("heading", name="At risk", exact=True))
    expect(card).to_contain_text("who did Order Completed at least once")
    lacking = page.locator(".tpl-c").filter(has=page.get_by_role("heading", name="Cart abandoned"))
    expect(lacking).to_contain_text("Not yet")
    expect(lacking).to_contain_text('There is no event "Product Added"')
    expect(lacking.get_by_role("button")).to_have_count(0)

    name, rule = page.get_by_label("Name", exact=True), rule_text(page)
    name.fill("Mine")
    write_rule(page, '{"version": 1, "everyone": true}')
    expect(page.locator(".say")).to_contain_text("whoever they are")

    use = page.get_by_role("button", name="Use Top spenders")
    use.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#filled")).to_contain_text("Filled in from “Top spenders”")
    expect(name).to_have_value("Top spenders")
    expect(page.get_by_label("Description")).to_have_value(re.compile("^Brought more in the last year"))
    expect(rule).to_have_value(re.compile(r'"performed": "Revenue Booked",.*"than": {"percentile": 90}', re.DOTALL))
    expect(page.locator(".say")).to_contain_text("who are among the top 10 % by total value of Revenue Booked")
    expect(page.locator(".ed-n")).to_have_count(12)
    console.look("template-filled")

    page.get_by_role("button", name="Put back what I had").press("Space")
    expect(name).to_have_value("Mine")
    expect(rule).to_have_value(re.compile(r'"all": \[{"everyone": true}\]'))
    expect(page.locator("#filled")).to_be_empty()

    # A press anywhere on the card will do; Enter in a field saves what stands there, and fills nothing in.
    page.locator(".tpl-c").filter(has=page.get_by_role("heading", name="Top spenders")).click(
        position={"x": 20, "y": 40}
    )
    expect(name).to_have_value("Top spenders")
    page.get_by_role("button", name="Count and sample").click()
    expect(page.locator("#preview")).to_contain_text("2 20% of 10 people")
    name.fill("Best customers")
    name.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Save and go live").click()
    expect(page.get_by_role("heading", name="Best customers", level=1)).to_be_visible()
    segment = Segment.objects.get()
    assert segment.live_version is not None
    assert segment.live_version.rule["all"][0]["than"] == {"percentile": 90}


def test_the_cards_work_without_script_too(console: Console) -> None:
    shop()
    console.log_in("marketer")
    browser = console.page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False, storage_state=console.page.context.storage_state())
    page = context.new_page()
    page.goto(f"{console.url}/admin/segments/segment/new/")
    page.get_by_role("button", name="Use Recent buyer").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Recent buyer")
    page.get_by_role("button", name="Review and save").click()
    page.get_by_role("button", name="Save as a draft").click()
    expect(page.get_by_role("heading", name="Recent buyer", level=1)).to_be_visible()
    context.close()


def test_where_nothing_was_seen_yet_the_cards_say_what_they_need(console: Console) -> None:
    from cdp.profiles.models import EventName

    # What follows from orders and visits is known from the start, and so are the templates that need no more.
    EventName.objects.all().delete()
    page = console.log_in("marketer")
    console.open("segments/segment/new/")
    expect(page.get_by_role("heading", name="No template can be used yet")).to_be_visible()
    console.look("templates-empty")
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    page.get_by_text("Begin with a template").click()
    expect(page.get_by_role("heading", name="No template can be used yet")).to_be_hidden()
    expect(page.get_by_label("Name", exact=True)).to_be_in_viewport()
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
