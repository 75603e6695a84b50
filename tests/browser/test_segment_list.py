"""The list of segments as a marketer works with it: found, tagged, exported and imported, cloned, paused, put away."""

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Console
from tests.factories import draft, live, performed, process_all, track, tracker

BOUGHT = performed("Order Completed")


def test_a_marketer_keeps_segments_in_order(console: Console, tmp_path: Path) -> None:
    tracker().send(*(track("Order Completed", f"u{n}") for n in range(5)))
    process_all()
    live(
        "buyers",
        BOUGHT,
        tags=["spring sale"],
        folder="Shops",
        purposes=["marketing_email"],
        description="All who bought",
    )
    live("regulars", {"in_segment": "buyers"})
    for number in range(27):
        draft(f"idea-{number:02}", BOUGHT)
    page = console.log_in("marketer")
    console.open("segments/segment/")
    expect(page.get_by_role("row")).to_have_count(26)
    console.look("segments")
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("link", name="Regulars")).to_be_visible()
    page.get_by_role("link", name="Previous").click()

    page.get_by_label("Search segments by name, key, tag or folder").fill("spring")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="Show all").click()
    page.get_by_label("Order").select_option("Size")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("5")

    page.get_by_label("Tick Regulars").check()
    page.get_by_label("Tick Buyers").check()
    page.get_by_label("Tag for the ticked segments").fill("Loyal")
    page.get_by_role("button", name="Add tag").click()
    expect(page.get_by_role("status").first).to_contain_text("Tagged 2 segments")
    page.get_by_role("link", name="loyal").first.click()
    expect(page.get_by_role("row")).to_have_count(3)

    page.get_by_role("button", name="Tick all").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export rules").click()
    file = tmp_path / "segments.json"
    download.value.save_as(file)
    page.get_by_label("Tick Regulars").uncheck()
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_text("“Buyers” is used by “Regulars”")).to_be_visible()

    page.get_by_role("link", name="Show all").click()
    page.get_by_role("link", name="Import").click()
    page.get_by_label("Or its text").fill('{"version": 1,\n "trait": "nothing of the kind",\n "op": "exists"}')
    page.get_by_label("Name").fill("Broken")
    page.get_by_role("button", name="Import as drafts").click()
    expect(page.get_by_role("button", name="Line 2")).to_be_visible()
    console.look("segments-import")
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Import as drafts").click()
    expect(page.get_by_role("status").first).to_contain_text("as drafts")

    page.get_by_role("link", name="Buyers", exact=True).first.click()
    expect(page.get_by_text("Used for").first).to_be_visible()
    page.get_by_role("link", name="Settings").click()
    console.look("segment-settings")
    page.get_by_label("Folder").fill("Shops/Bern")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status").first).to_contain_text("Paused")
    page.get_by_role("link", name="Rule", exact=True).click()
    expect(page.get_by_text("Paused since")).to_be_visible()
    console.look("segment-paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("status").first).to_contain_text("Live again")
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("button", name="Clone").click()
    expect(page.get_by_role("heading", name="Copy of Buyers", level=1)).to_be_visible()

    console.open("segments/segment/?q=nothing+of+the+kind")
    expect(page.get_by_role("heading", name="No segment matches")).to_be_visible()
    console.look("segments-none")
