"""The Members page as a marketer uses it: choose columns, sort, see why, remove somebody by hand, find who isn't in and add them."""

from datetime import timedelta

from playwright.sync_api import expect

from tests.browser.conftest import Console
from tests.factories import identify, live, members, process_all, track, tracker

RULE = {
    "all": [
        {"performed": "Order Completed", "op": "gte", "value": 1, "within": {"days": 30}},
        {"not": {"trait": "city", "op": "equals", "value": "Basel"}},
    ]
}


def test_members_are_looked_through_explained_and_changed_by_hand(console: Console) -> None:
    shop = tracker()
    for number in range(4):
        traits = {
            "firstName": "Erika",
            "lastName": f"Muster{number}",
            "city": "Bern",
            "points": number,
            "<b>x</b>": "<i>y</i>",
        }
        shop.send(
            identify(f"u{number}", traits=traits), track("Order Completed", f"u{number}", ago=timedelta(days=number))
        )
    shop.send(identify("zoe", traits={"city": "Basel", "firstName": "Zoe"}))
    process_all()
    segment = live("buyers", RULE)

    page = console.log_in("marketer")
    console.open(f"segments/segment/{segment.uuid}/")
    page.get_by_role("link", name="Members 4").click()
    expect(page.get_by_text("4 of 4 permit")).to_be_visible()
    page.locator(".mb-c summary").click()
    for label in ("City", "Points"):
        page.get_by_label(label, exact=True).check()
    page.get_by_role("button", name="Show these columns").click()
    page.get_by_label("Order").select_option("-trait:points")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("tbody tr").first).to_contain_text("u3")
    console.look("members")

    why = page.get_by_role("link", name="Why E. M.").first
    why.focus()
    page.keyboard.press("Enter")
    panel = page.locator(".why-r .why").first
    expect(panel).to_contain_text("who did Order Completed")
    expect(panel.get_by_text("Met", exact=True).first).to_be_visible()
    expect(panel).to_contain_text("Leaves")
    console.look("members-why")
    panel.get_by_label("Reason to remove").fill("Asked by phone to be left out")
    panel.get_by_role("button", name="Remove by hand").click()
    expect(page.get_by_role("status").first).to_contain_text("Removed by hand")
    process_all()
    assert members(segment) == {"u0", "u1", "u2"}

    page.get_by_label("Find anybody by an identifier").fill("zoe")
    page.get_by_role("button", name="Look").click()
    found = page.locator("#found")
    expect(found.get_by_text("Not met").first).to_be_visible()
    console.look("members-why-not")
    found.get_by_label("Reason to add").fill("She is a partner")
    found.get_by_role("button", name="Add by hand").click()
    expect(page.get_by_role("status").first).to_contain_text("Added by hand")
    process_all()
    assert members(segment) == {"u0", "u1", "u2", "zoe"}
    page.reload()
    hand = page.get_by_role("region", name="By hand")
    expect(hand).to_contain_text("She is a partner")
    expect(hand).to_contain_text("Asked by phone to be left out")
    console.look("members-by-hand")
    hand.get_by_role("button", name="Undo for E. M.").click()
    expect(page.get_by_role("status").first).to_contain_text("Taken back")
    process_all()
    assert members(segment) == {"u0", "u1", "u2", "u3", "zoe"}

    with page.expect_download() as file:
        page.get_by_role("button", name="CSV").click()
    assert file.value.suggested_filename == "buyers-internal_analysis.csv"
    console.open(f"segments/segment/{segment.uuid}/members/?q=nobody")
    expect(page.get_by_role("heading", name="No member is found by this")).to_be_visible()
    console.look("members-none")
