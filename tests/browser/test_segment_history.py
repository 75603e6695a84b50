"""A segment's past, its performance, and two beside each other: looked at by mouse and by keyboard."""

from datetime import timedelta
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Console
from tests.factories import BY, identify, live, performed, process_all, rule, track, tracker

DAY = timedelta(days=1)
HOSTILE = "<img src=x onerror=alert(1)>"


def shop() -> Any:
    """Thirty people, twenty of whom order each week for ten weeks; every other one is of Bern."""
    from segments.services import save_version

    source = tracker()
    source.send(
        *(
            identify(f"u{n}", ago=200 * DAY, traits={"bern": n % 2 == 0, "plan": HOSTILE if n < 8 else "gold"})
            for n in range(30)
        )
    )
    for week in range(10):
        source.send(
            *(track("Order Completed", f"u{n}", ago=(7 * week + n % 7 + 1) * DAY, properties={"total": 10 + n})
              for n in range(20) if (n + week) % 3)
        )  # fmt: skip
    process_all()
    segment = live("buyers", performed("Order Completed", within={"days": 30}))
    save_version(
        segment=segment,
        rule=rule({"any": [performed("Order Completed"), {"trait": "bern", "op": "equals", "value": True}]}),
        by=BY,
    )
    live(
        "bern",
        {"trait": "bern", "op": "equals", "value": True},
    )
    return segment


# Onto a canvas of our own: whoever reads one that is drawn on is warned that it gets slow.
COLOURS = """figure => {
    const layers = [...figure.querySelectorAll('canvas')];
    const copy = new OffscreenCanvas(layers[0].width, layers[0].height).getContext('2d', { willReadFrequently: true });
    for (const layer of layers) copy.drawImage(layer, 0, 0);
    const { data } = copy.getImageData(0, 0, layers[0].width, layers[0].height), seen = new Set();
    for (let n = 0; n < data.length; n += 4) if (data[n + 3] === 255) seen.add(data.slice(n, n + 3).join());
    return [...seen];
}"""


def drawn(page: Page, title: str) -> Locator:
    """The picture with this title, once it is painted."""
    figure = page.get_by_role("figure", name=title)
    expect(figure.locator("canvas").first).to_be_visible()
    assert len(colours(figure)) > 3, title
    return figure


def colours(figure: Locator) -> set[str]:
    """Those that are on the picture, as "red,green,blue"."""
    return set(figure.evaluate(COLOURS))


def test_the_past_of_a_segment_is_followed_and_an_old_version_put_live_again(console: Console) -> None:
    segment = shop()
    page = console.log_in("marketer")
    console.open(f"segments/segment/{segment.uuid}/")
    page.get_by_role("link", name="History 2").click()

    size = drawn(page, "Size over 30 days")
    place = size.get_by_role("img")
    place.focus()
    page.keyboard.press("End")
    expect(size.locator("[data-chart-said]")).to_contain_text("People 20")
    page.keyboard.press("ArrowLeft")
    expect(size.locator("[data-chart-said]")).to_contain_text("People 0")
    page.keyboard.press("Escape")
    size.get_by_text("As a table").click()
    expect(size.get_by_role("row").nth(1)).to_contain_text("20")

    # Another theme is another palette, without a new page.
    assert "0,114,178" in colours(drawn(page, "Who entered and left over 30 days"))
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(100)
    assert "86,180,233" in colours(drawn(page, "Who entered and left over 30 days"))
    console.look("segment-history")

    page.get_by_role("link", name="48 hours").press("Enter")
    drawn(page, "Size over 48 hours")
    expect(page.get_by_role("link", name="48 hours")).to_have_attribute("aria-current", "true")
    assert page.url.endswith("?span=2d")

    page.get_by_role("link", name="Put live version 2").click()
    expect(page.locator("#people")).to_contain_text("Would enter")
    expect(page.locator("#people dd").first).to_have_text("5")
    console.look("segment-difference")
    page.get_by_role("button", name="Put version 2 live").click()
    expect(page.get_by_role("status").first).to_contain_text("Version 2 is live")

    page.get_by_role("link", name="History 2").click()
    expect(page.get_by_label("From version 1")).to_be_checked()
    page.get_by_label("From version 2").check()
    page.get_by_label("To version 1").check()
    page.get_by_role("button", name="Compare the two").press("Enter")
    expect(page.get_by_role("heading", name="From version 2 to version 1")).to_be_visible()
    expect(page.locator("#people dd").nth(1)).to_have_text("5")
    page.get_by_role("button", name="Roll back to version 1").press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("Version 1 is live")
    segment.refresh_from_db()
    assert segment.live_version.number == 1


def test_performance_overlap_and_comparison_are_looked_at(console: Console) -> None:
    segment = shop()
    page = console.log_in("marketer")
    console.open(f"segments/segment/{segment.uuid}/performance/")
    expect(page.get_by_role("heading", name="Nobody has been in for long enough")).to_be_visible()
    page.get_by_label("Who entered, and when").select_option("Had the live rule been asked each Monday")
    page.get_by_role("button", name="Show").press("Enter")
    drawn(page, "Revenue per person since entering, cumulated")
    drawn(page, "Share who ordered at least once since entering")
    triangle = drawn(page, "Who ordered, by week of entering and weeks since")
    triangle.get_by_role("img").focus()
    page.keyboard.press("Home")
    expect(triangle.locator("[data-chart-said]")).to_contain_text("ordered in week 1")
    console.look("segment-performance")

    page.get_by_role("link", name="Overlap").click()
    page.get_by_label("Add a segment").fill("Bern")
    page.keyboard.press("Enter")
    overlap = drawn(page, "People in each combination of the segments")
    overlap.get_by_role("img").focus()
    page.keyboard.press("Home")
    expect(overlap.locator("[data-chart-said]")).to_contain_text("people")
    console.look("segments-overlap")

    page.get_by_role("link", name="Compare two").click()
    expect(page.get_by_text("Fewer than 5 people of either permit any one channel.")).to_be_visible()
    expect(page.locator("#compare-p")).to_contain_text(HOSTILE)
    console.look("segments-compare")
    page.get_by_label("The other").fill("nobody's")
    page.get_by_role("button", name="Compare").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("No segment that you may see")
    console.look("segments-compare-unknown")
