"""RFM as a marketer uses it: from no figures at all to a live segment of a cell; then settings, movers and runs, looked at."""

from datetime import timedelta

from django.db import connection, transaction
from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD, Console
from tests.browser.test_first_audience import Mouse
from tests.browser.test_segment_history import drawn
from tests.factories import members, process_all, track, tracker
from tests.harness.processes import Processes
from tests.integration.rfm_runs import AS_OF, complete_run

FEWER_THAN = 12
BUYERS = 30


def shop() -> None:
    """Of thirty buyers the later ones bought more lately, more often, and for more."""
    source = tracker()
    for number in range(BUYERS):
        source.send(
            *(
                track(
                    "Order Completed",
                    f"u{number}",
                    ago=timedelta(days=(BUYERS - number) * 9 + order, hours=1),
                    properties={"order_id": f"o{number}-{order}", "revenue": 10 + number, "currency": "USD"},
                )
                for order in range(1 + number // 4)
            )
        )
    process_all()


def test_from_nothing_to_a_segment_of_a_cell(console: Console, processes: Processes) -> None:
    shop()
    page = console.open("")
    hand = Mouse(page)
    hand.type(page.get_by_label("Username"), "marketer")
    hand.type(page.get_by_label("Password"), PASSWORD, enter=True)
    hand.press(page.get_by_role("link", name="RFM"))
    expect(page.get_by_role("heading", name="Never worked out yet")).to_be_visible()
    console.look("rfm-empty")
    hand.press(page.locator(".state").get_by_role("button", name="Work it out now"))
    expect(page.locator("#rfm-standing")).to_contain_text("Waiting for its turn")

    # Whoever publishes waits while this is held: so far the run comes, and no further.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE profiles_scorerun IN SHARE MODE")
        processes.celery_worker()
        expect(page.locator("#rfm-standing")).to_contain_text("Writing scores, 3 of 10", timeout=20_000)
        page.reload()
        bar = page.get_by_role("progressbar", name="Progress")
        expect(bar).to_have_attribute("value", "0.3000")
        console.look("rfm-running")
    best = page.get_by_role("link", name="R 5, FM 5: Champions")
    expect(best).to_be_visible(timeout=20_000)  # the page shows it by itself
    expect(best).to_contain_text("people")
    hand.press(best)
    picked = page.locator("#picked")
    expect(picked).to_contain_text("Thank them")
    expect(page).to_have_url(f"{console.url}/admin/segments/rfmrun/?pick=5-5")
    expect(page.get_by_role("link", name="R 5, FM 5: Champions")).to_be_focused()
    console.look("rfm")
    size = int(picked.locator(".size-n b").inner_text())
    hand.press(picked.get_by_role("button", name="Make a live segment"))
    expect(page.get_by_role("heading", name="Champions (R 5, FM 5)", level=1)).to_be_visible()
    expect(page.locator("#standing .size-n")).to_contain_text(f"{size} people", timeout=20_000)
    assert hand.acts < FEWER_THAN, hand.acts

    from segments.models import Segment

    assert len(members(Segment.objects.get())) == size > 0


def by_keys(page: Page, name: str) -> None:
    """Presses the button of this name as whoever uses no mouse."""
    button = page.get_by_role("button", name=name, exact=True)
    with page.expect_response(lambda response: response.url.endswith("/draft/")):
        button.focus()
        page.keyboard.press("Enter")


def names_of_groups(page: Page) -> list[str]:
    return [field.input_value() for field in page.locator("[name=name]").all()]


def drag(page: Page, row: int, to: int) -> None:
    """Takes a row of the table of groups by its grip to below another one."""
    page.locator("[data-grip]").nth(to).scroll_into_view_if_needed()
    start, end = (page.locator("[data-grip]").nth(number).bounding_box() for number in (row, to))
    assert start and end
    page.mouse.move(start["x"] + 8, start["y"] + 12)
    page.mouse.down()
    page.mouse.move(start["x"] + 8, start["y"] + 40, steps=5)
    page.mouse.move(end["x"] + 8, end["y"] + 40, steps=15)
    page.mouse.up()


def test_cells_are_picked_together_and_settings_written_by_keyboard(console: Console) -> None:
    first = complete_run({(5, 5): 40, (3, 3): 60, (1, 1): 80}, as_of=AS_OF - timedelta(days=1))
    flows = [("Loyal", "Champions", 12), ("Loyal", "Loyal", 40), ("Champions", "At risk", 5), ("", "New", 9)]
    complete_run({(5, 5): 50, (3, 3): 50, (1, 1): 90}, previous=first, flows=flows)
    page = console.log_in("marketer")
    console.open("segments/rfmrun/")
    several = page.get_by_role("link", name="Pick several")
    several.press("Enter")
    expect(several).to_have_attribute("aria-current", "true")
    for cell in ("R 5, FM 5", "R 1, FM 1"):
        page.get_by_role("link", name=f"{cell}:").press("Enter")
        expect(page.get_by_role("link", name=f"{cell}:")).to_have_attribute("aria-current", "true")
    expect(page.locator("#picked")).to_contain_text("140 people")
    page.get_by_role("link", name="Revenue", exact=True).press("Enter")
    expect(page.locator(".rf-k")).to_contain_text("less revenue")
    expect(page.locator("#picked")).to_contain_text("140 people")
    page.get_by_role("link", name="Segment of Lost").press("Enter")
    expect(page.get_by_label("Name of the segment")).to_have_value("Lost")

    page.get_by_role("link", name="Movers").click()
    expect(page.get_by_role("definition").filter(has_text="12")).to_be_visible()
    expect(page.locator(".rf-mv")).to_contain_text("Loyal → to Champions up")
    flow = page.get_by_role("figure", name="From which group to which")
    flow.get_by_role("img").focus()
    page.keyboard.press("Home")
    expect(flow.locator("[data-chart-said]")).to_contain_text("Not scored before: 9 people were in it")
    console.look("rfm-movers")
    page.get_by_role("link", name="Distributions").click()
    expect(page.get_by_role("figure")).to_have_count(3)

    page.get_by_role("link", name="Settings").click()
    cover = page.get_by_role("table", name="Which group each cell falls into")
    before = names_of_groups(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/draft/") else None)
    with page.expect_response(lambda response: response.url.endswith("/draft/")):
        drag(page, 1, 3)
    assert len(asked) == 1, "rows on their way send nothing"
    expect(page.get_by_label("Name of group 2", exact=True)).to_have_value(before[2])
    after = names_of_groups(page)
    assert after.index("Loyal") > 1
    assert [name for name in after if name != "Loyal"] == [name for name in before if name != "Loyal"]
    by_keys(page, "Restore the eleven groups")
    expect(page.get_by_label("Name of group 2", exact=True)).to_have_value("Loyal")
    by_keys(page, "Remove Lost")
    expect(page.locator(".rf-cv")).to_contain_text("1 of 25 cells belong to no group: R 1, FM 1.")
    expect(cover.get_by_role("cell", name="no group")).to_be_visible()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    drawn(page, "Recency: days since the last order")  # what is painted outlives a step
    console.look("rfm-settings-gap")
    by_keys(page, "Add a group")
    expect(page.get_by_label("Name of group 11")).to_be_focused()
    page.keyboard.type("Gone for good")
    with page.expect_response(lambda response: response.url.endswith("/draft/")):
        page.keyboard.press("Tab")
    expect(cover.get_by_role("cell", name="Gone for good")).to_be_visible()
    by_keys(page, "Move Gone for good up")
    expect(page.get_by_role("button", name="Move Gone for good up")).to_be_focused()
    expect(page.get_by_role("alert").or_(page.locator(".err"))).to_contain_text("“Hibernating” gets nobody")
    by_keys(page, "Move Gone for good down")
    expect(page.locator(".rf-cv")).to_contain_text("All 25 cells have a group")
    expect(page.get_by_role("row", name="Gone for good 0")).to_contain_text("90")
    page.get_by_role("button", name="Save", exact=True).press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("Scores are as they were until the next run")

    from segments.rfm.models import RfmSettings

    assert RfmSettings.current().as_scheme.groups[-1].name == "Gone for good"
