"""The Data screens: how much comes, what comes now, what the plan is, and clearing quarantine at once."""

from playwright.sync_api import expect

from tests.browser.conftest import Console
from tests.factories import identify, process_all, track, tracker


def test_an_integrator_watches_what_comes_and_clears_quarantine(console: Console) -> None:
    shop = tracker()
    people = [f"u{n}" for n in range(6)]
    shop.send(*(identify(who, traits={"email": f"{who}@example.com", "points": 1}) for who in people))
    shop.send({"type": "dance", "messageId": "m-x"}, {"type": "jump", "messageId": "m-y"})
    process_all()
    page = console.log_in("integrator")
    page.get_by_role("link", name="Sources").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("8")
    console.look("sources-overview")

    page.get_by_role("rowheader").get_by_role("link").click()
    page.get_by_role("link", name="Live debugger").click()
    page.get_by_role("button", name="Look for 5 minutes").click()
    expect(page.get_by_role("heading", name="Coming in now")).to_be_visible()
    console.look("live-waiting")
    shop.send(
        track("Order Completed", "u1", properties={"revenue": 10, "size": "M"}, messageId="m1"),
        track("Order Completed", "u1", messageId="m1"),
        {"type": "dance", "messageId": "m-z"},
    )
    process_all()
    expect(page.get_by_role("row", name="Order Completed").first).to_be_visible()
    expect(page.get_by_text("revenue", exact=True)).to_be_visible()
    console.look("live")
    page.get_by_role("button", name="Stop looking").click()
    expect(page.get_by_role("heading", name="Nobody looks")).to_be_visible()

    from segments.fields.measuring import measure

    measure(progress=lambda *_: None)
    page.get_by_role("link", name="Tracking plan").click()
    expect(page.get_by_role("rowheader", name="unknown_type")).to_be_visible()
    console.look("tracking-plan")

    page.get_by_role("link", name="Quarantine").first.click()
    console.look("quarantine-all")
    page.get_by_role("button", name="Discard all 3").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Settle quarantine")
    console.look("quarantine-job")
