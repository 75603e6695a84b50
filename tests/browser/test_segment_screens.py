"""The screens for segments: a rule written, mended, looked at, put live, refreshed, and put away."""

import json
from datetime import timedelta

from playwright.sync_api import expect

from tests.browser.conftest import Console
from tests.factories import identify, live, performed, process_all, track, tracker
from tests.harness.processes import Processes

BROKEN = """{
  "version": 1,
  "all": [
    {"performed": "Order Completed"},
    {"trait": "cuontry", "op": "equals", "value": "DE"}
  ]
}"""


def shop() -> None:
    source = tracker()
    source.send(*(identify(f"u{n}", traits={"country": "DE" if n % 2 else "FR"}) for n in range(6)))
    source.send(*(track("Order Completed", f"u{n}", ago=timedelta(days=n + 1)) for n in range(4)))
    process_all()


def test_a_rule_is_mended_where_the_error_stands_then_previewed_and_put_live(
    console: Console, processes: Processes
) -> None:
    from segments.models import Segment

    shop()
    processes.celery_worker()
    page = console.log_in("marketer")
    console.open("segments/segment/")
    console.look("segments-empty")
    page.get_by_role("link", name="New segment").first.click()
    page.get_by_label("Name", exact=True).fill("German buyers")

    rule = page.get_by_role("textbox", name="Rule")
    rule.fill(BROKEN)
    error = page.get_by_role("button", name="Line 5")
    expect(error).to_be_visible()
    expect(page.locator("#check")).to_contain_text("cuontry")
    expect(page.locator(".ed-n--no")).to_have_text("5")
    console.look("segment-error")
    error.click()
    expect(rule).to_be_focused()
    chosen = rule.evaluate("area => area.value.slice(area.selectionStart, area.selectionEnd)")
    assert "cuontry" in chosen

    page.get_by_role("button", name="Save and go live").click()
    expect(page.get_by_role("button", name="Line 5")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("German buyers")

    rule.fill(BROKEN.replace("cuontry", "country"))
    expect(page.locator("#check")).to_contain_text("The rule is sound")
    expect(page.locator("#check")).to_contain_text("who did Order Completed")

    page.get_by_role("button", name="Count and sample").click()
    expect(page.locator("#preview")).to_contain_text("2 33% of 6 people")
    expect(page.locator("#preview .smp li")).to_have_count(2)
    console.look("segment-preview")

    page.get_by_role("button", name="Save and go live").click()
    expect(page.get_by_role("heading", name="German buyers", level=1)).to_be_visible()
    expect(page.locator("#standing")).to_contain_text("Refreshed", timeout=20_000)
    expect(page.locator("#standing .size-n")).to_contain_text("2 people")
    console.look("segment")
    assert Segment.objects.get().member_count == 2


def test_a_new_version_waits_until_it_is_put_live_and_an_old_one_comes_back(console: Console) -> None:
    shop()
    segment = live("buyers", performed("Order Completed"))
    page = console.log_in("marketer")
    console.open(f"segments/segment/{segment.uuid}/")
    page.get_by_role("textbox", name="Rule").fill(json.dumps({"version": 1, **performed("Order Completed", 2)}))
    page.get_by_role("button", name="Save as a version").click()
    expect(page.get_by_role("status").first).to_contain_text("Version 2 is saved, not yet live")
    expect(page.get_by_text("This is version 2. Version 1 is live.")).to_be_visible()

    page.get_by_role("link", name="Versions 2").click()
    console.look("segment-versions")
    page.get_by_role("button", name="Put live version 2").click()
    expect(page.get_by_role("status").first).to_contain_text("Version 2 is live")
    segment.refresh_from_db()
    assert segment.live_version is not None and segment.live_version.number == 2


def test_a_segment_in_use_is_not_put_away_and_its_users_are_named(console: Console) -> None:
    shop()
    used = live("buyers", performed("Order Completed"))
    user = live("readers", {"in_segment": "buyers"})
    page = console.log_in("marketer")
    console.open("segments/segment/")
    console.look("segments")
    page.get_by_label("Search segments by name or key").fill("buy")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Buyers").click()
    page.get_by_role("link", name="Settings").click()

    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_role("alert")).to_contain_text("“Buyers” is used by “Readers”")
    console.look("segment-in-use")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("alert")).to_contain_text("“Readers”")

    console.open(f"segments/segment/{user.uuid}/settings/")
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_role("status").first).to_contain_text("Archived")
    console.open(f"segments/segment/{used.uuid}/settings/")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("status").first).to_contain_text("is deleted")


def test_somebody_who_may_only_look_can_not_change_the_rule(console: Console) -> None:
    shop()
    segment = live("buyers", performed("Order Completed"))
    page = console.log_in("integrator")
    console.open(f"segments/segment/{segment.uuid}/")
    expect(page.get_by_text("Your role may read this rule, not change it.")).to_be_visible()
    expect(page.get_by_role("button", name="Save as a version")).to_have_count(0)
    expect(page.get_by_role("button", name="Count and sample")).to_have_count(0)
    console.look("segment-read-only")
