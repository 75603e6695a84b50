"""From log-in to an audience that is live, looked at, changed and taken back: what a marketer does on the first day, by mouse alone and
by keyboard alone, in fewer than 25 acts.

An act is what somebody would call one thing they did: a press, a text typed into a field (with Enter at its end), a choice from a list.
By keyboard, going to where the next thing is done is no act; but it is done with keys, and how many keys it took is bounded, too.
"""

from datetime import timedelta
from typing import Protocol

from playwright.sync_api import Locator, Page, expect

from consent.models import Decision
from segments.fields.measuring import measure
from tests.browser.conftest import PASSWORD, Console
from tests.factories import members, process_all, track, tracker
from tests.harness.processes import Processes
from tests.integration.callers import decide

FEWER_THAN = 25
# To go through a page by its links and fields is slow; nobody should have to go through many.
MOST_KEYS = 700


def shop() -> None:
    """Of twelve people, u6 to u9 fit: they spent enough, looked at enough, and may be written to."""
    source = tracker()
    for number in range(12):
        user, ago = f"u{number}", timedelta(days=3)
        spent = {"order_id": f"o{number}", "revenue": 100 * number, "currency": "USD"}
        source.send(track("Order Completed", user, ago=ago, properties=spent))
        source.send(*(track("Product Viewed", user, ago=timedelta(days=2, minutes=n)) for n in range(min(number, 5))))
    process_all()
    for number in range(10):
        decide(f"u{number}", "marketing_email", Decision.GRANTED)
    decide("u11", "marketing_email", Decision.WITHDRAWN)
    measure(progress=lambda done, total, phase: None)


class Hand(Protocol):
    """How somebody does things; ``acts`` counts them."""

    acts: int

    def press(self, target: Locator) -> None: ...
    def type(self, target: Locator, text: str, *, enter: bool = False) -> None: ...
    def choose(self, target: Locator, label: str) -> None: ...


class Mouse:
    def __init__(self, page: Page) -> None:
        self.page, self.acts = page, 0

    def press(self, target: Locator) -> None:
        self.acts += 1
        target.click()

    def type(self, target: Locator, text: str, *, enter: bool = False) -> None:
        self.acts += 1
        target.click()
        target.fill("")
        target.press_sequentially(text)
        if enter:
            target.press("Enter")

    def choose(self, target: Locator, label: str) -> None:
        self.acts += 1
        target.select_option(label=label)


class Keyboard:
    def __init__(self, page: Page) -> None:
        self.page, self.acts, self.keys = page, 0, 0

    def key(self, name: str) -> None:
        self.keys += 1
        self.page.keyboard.press(name)

    def go(self, target: Locator) -> None:
        """By Tab alone, as whoever sees the focus goes."""
        expect(target).to_be_visible()
        for _ in range(150):
            if target.evaluate("one => one === document.activeElement"):
                return
            self.key("Tab")
        raise AssertionError(f"not reached by Tab: {target}")

    def press(self, target: Locator) -> None:
        self.acts += 1
        self.go(target)
        self.key("Enter")

    def type(self, target: Locator, text: str, *, enter: bool = False) -> None:
        self.acts += 1
        self.go(target)
        self.key("ControlOrMeta+a")
        self.page.keyboard.type(text)
        self.keys += len(text)
        self.key("Enter" if enter else "Tab")

    def choose(self, target: Locator, label: str) -> None:
        """As the list names it: its letters choose it."""
        self.acts += 1
        self.go(target)
        self.page.keyboard.type(label)
        self.keys += len(label)
        expect(target.locator("option:checked")).to_have_text(label)
        self.key("Tab")


def first_audience(console: Console, hand: Hand) -> None:
    from segments.models import Segment

    page = console.open("")
    hand.type(page.get_by_label("Username"), "marketer")
    hand.type(page.get_by_label("Password"), PASSWORD, enter=True)
    hand.press(page.get_by_role("link", name="New segment"))
    hand.type(page.get_by_label("Name", exact=True), "Spent, looked, may be written to")

    add, picker = (
        page.get_by_role("button", name="Add a condition to All of"),
        page.get_by_role("dialog").get_by_role("combobox"),
    )
    first, second = (page.get_by_role("group", name=f"Condition {n}:") for n in (1, 2))
    hand.press(add)
    hand.type(picker, "order completed", enter=True)
    hand.choose(first.get_by_label("Measure"), "total of")
    expect(page.locator("body")).not_to_be_focused()
    expect(first.get_by_role("textbox", name="Value in USD")).to_be_visible()
    hand.choose(first.get_by_label("Comparison"), "more than")
    hand.type(first.get_by_role("textbox", name="Value in USD"), "500")
    hand.press(add)
    hand.type(picker, "product viewed", enter=True)
    hand.type(second.get_by_role("textbox", name="Value"), "3")
    hand.press(add)
    hand.type(picker, "email marketing", enter=True)
    expect(page.locator(".say")).to_contain_text("more than 500")
    expect(page.locator("#preview")).to_contain_text("4 33% of 12 people")
    expect(page.locator("#builder")).to_contain_text("The rule is sound")

    hand.press(page.get_by_role("button", name="Count and sample"))
    expect(page.locator("#preview .smp li")).to_have_count(4)
    why = page.locator("#preview .smp li").first.locator("summary")
    hand.press(why)
    expect(page.locator("#preview .smp li").first).to_contain_text("of more than 500")
    console.look(f"first-audience-{type(hand).__name__.lower()}")

    hand.press(page.get_by_role("button", name="Review and save"))
    hand.press(page.get_by_role("dialog").get_by_role("button", name="Save and go live"))
    expect(page.get_by_role("heading", name="Spent, looked, may be written to", level=1)).to_be_visible()
    expect(page.locator("#standing .size-n")).to_contain_text("4 people", timeout=20_000)
    segment = Segment.objects.get()
    assert members(segment) == {"u6", "u7", "u8", "u9"}

    # It was too wide; then it wasn't.
    hand.type(first.get_by_role("textbox", name="Value in USD"), "700", enter=True)
    expect(page.locator("#preview")).to_contain_text("2 17% of 12 people")
    hand.press(page.get_by_role("button", name="Review and save"))
    expect(page.get_by_role("dialog")).to_contain_text("Leave")
    hand.press(page.get_by_role("dialog").get_by_role("button", name="Save and go live"))
    expect(page.locator("#standing .size-n")).to_contain_text("2 people", timeout=20_000)
    hand.press(page.get_by_role("link", name="Go back to version 1"))
    hand.press(page.get_by_role("button", name="Roll back to version 1"))
    expect(page.locator("#standing .size-n")).to_contain_text("4 people", timeout=20_000)
    segment.refresh_from_db()
    assert segment.live_version is not None and segment.live_version.number == 1
    assert members(segment) == {"u6", "u7", "u8", "u9"}
    assert hand.acts < FEWER_THAN, hand.acts


def test_a_first_audience_by_mouse(console: Console, processes: Processes) -> None:
    shop()
    processes.celery_worker()
    first_audience(console, Mouse(console.page))


def test_a_first_audience_by_keyboard(console: Console, processes: Processes) -> None:
    shop()
    processes.celery_worker()
    hand = Keyboard(console.page)
    first_audience(console, hand)
    assert hand.keys < MOST_KEYS, hand.keys
