"""A persona as a marketer makes one: from nothing, from a segment, watched while it is drawn, read, printed and made a segment of."""

import re
from datetime import timedelta

from playwright.sync_api import Page, expect

from segments.tasks import portray
from tests.browser.conftest import Console
from tests.factories import identify, live, performed, process_all, track, tracker

DAY = timedelta(days=1)
HOSTILE = "<img src=x onerror=alert(1)>"


def shop() -> None:
    """Sixty people: half buy books often and in the evening, half a lamp once; the hostile word is a category and a city."""
    source = tracker()
    for n in range(60):
        name, is_reader = f"u{n}", n % 2 == 0
        calls = [identify(name, ago=300 * DAY, traits={"city": HOSTILE if n % 4 else "Bern", "country": "CH"})]
        for week in range(6 if is_reader else 1):
            category = "Books" if is_reader and week % 3 else HOSTILE
            line = {"product_id": "p", "category": category, "price": 12 if is_reader else 80, "quantity": 1}
            calls.append(
                track("Order Completed", name, ago=(10 + 20 * week + n % 7) * DAY,
                      properties={"revenue": line["price"], "products": [line]})
            )  # fmt: skip
        if is_reader:
            calls.append(track("Product Reviewed", name, ago=3 * DAY, properties={"rating": 4}))
        source.send(*calls)
    process_all()
    live("readers", performed("Order Completed", 3))


def drawn(page: Page) -> None:
    """What the worker would do; the page finds out by itself."""
    from cdp.jobs.models import Job

    job = Job.objects.filter(kind="personas.portray").order_by("-pk")[0]
    portray.apply(args=[job.pk])
    process_all()
    expect(page.get_by_role("progressbar")).to_have_count(0)


def test_a_persona_is_made_of_a_segment_read_printed_and_made_a_segment_of(console: Console) -> None:
    page = console.log_in("marketer")
    console.open("segments/persona/")
    expect(page.get_by_role("heading", name="No personas yet")).to_be_visible()
    console.look("personas-empty")
    page.get_by_role("link", name="Make the first one").click()
    expect(page.get_by_role("heading", name="There is no group to portray yet")).to_be_visible()

    shop()
    page.reload()
    page.get_by_role("button", name="Make it and draw").click()
    expect(page.get_by_text("Choose the group of people")).to_be_visible()
    page.get_by_label("Whom it portrays").select_option(label="Readers (30)")
    page.get_by_label("Name").fill("Bookworms")
    page.get_by_label("What it is for").fill(HOSTILE)
    console.look("personas-new")
    page.get_by_role("button", name="Make it and draw").click()
    expect(page.get_by_role("heading", name="The portrait is being drawn")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_be_visible()
    drawn(page)

    said = page.locator("summary", has_text="These are 30 people, 50% of everybody")
    expect(said).to_be_visible()
    said.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("30 people; who permits it and is in the group")).to_be_visible()
    expect(page.get_by_role("figure", name="What sets them apart").locator("canvas").first).to_be_visible()
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    console.look("personas-one")

    page.get_by_role("link", name="Print or save as PDF").click()
    expect(page.get_by_text("choose “Save as PDF” as the printer")).to_be_visible()
    console.look("personas-print")
    pdf = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page[^s]", pdf)) == 1, "one persona, one page"
    page.get_by_role("link", name="Back").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Figures as CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[1].startswith("size,people,30,60") and len(lines) > 50

    page.get_by_role("link", name="Edit").click()
    console.look("personas-edit")
    page.get_by_role("textbox", name="Name").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("A persona has a name")).to_be_visible()
    page.get_by_role("textbox", name="Name").fill("Bookworms")
    page.get_by_role("button", name="Save").click()

    page.get_by_role("button", name="Make a segment from it").click()
    expect(page.get_by_role("heading", name="Bookworms", exact=True)).to_be_visible()
    console.open("segments/persona/")
    console.look("personas-list")
    page.get_by_role("link", name="Bookworms").click()
    page.get_by_role("link", name="Edit").click()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("alert")).to_contain_text("Bookworms")
