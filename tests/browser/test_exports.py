"""Exports on their screens: asked for, followed, fetched, linked to, planned, and handed over to a place that was tried."""

from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from cdp.exports import planning
from cdp.exports.models import Export, Schedule
from tests.browser.conftest import Console
from tests.integration.exporting import people_of_a_shop, work
from tests.integration.storage import taking


def test_an_audience_is_exported_linked_to_planned_and_handed_over(
    console: Console, settings: Any, tmp_path: Path
) -> None:
    settings.EXPORT_DIR = str(tmp_path / "exports")
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    people_of_a_shop("ann", "bob", traits=lambda one: {"city": "Bern", "email": f"{one}@example.com"})
    page = console.log_in("admin")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Exports").click()
    expect(page.get_by_text("No exports yet")).to_be_visible()
    page.get_by_role("link", name="New export").first.click()
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.get_by_text("This field is required")).to_be_visible()
    page.get_by_label("Of the audience").select_option(label="Buyers for marketing_email, for marketing email")
    page.get_by_label("City").check()
    console.look("export-new")
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.get_by_role("heading", name="Progress")).to_be_visible()
    console.look("export-waiting")
    work(Export.objects.get())
    expect(page.locator("#file")).to_contain_text("SHA-256", timeout=10_000)
    page.reload()
    with page.expect_download() as fetched:
        page.get_by_role("button", name="Download").click()
    text = Path(fetched.value.path()).read_text()
    assert text.startswith("profile,entered_at,trait:city\n")
    assert text.count(",Bern\n") == 2
    page.reload()
    page.get_by_label("It opens for").select_option("1")
    page.get_by_role("button", name="Make a link").click()
    expect(page.locator("#link")).to_contain_text("/exports/")
    console.look("export-link")

    page.get_by_role("navigation", name="Main").get_by_role("link", name="Exports").click()
    page.get_by_role("navigation", name="Exports").get_by_role("link", name="Destinations").click()
    page.get_by_role("link", name="Address that takes uploads").click()
    page.get_by_label("What it is called").fill("Mail tool")
    page.get_by_label("Address").fill("https://10.0.0.1/in")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("lies inside a network")).to_be_visible()
    with taking() as store:
        page.get_by_label("Address").fill(f"{store.url}/in")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Try it").click()
        expect(page.get_by_text("It works")).to_be_visible()
        console.look("export-destination")
        page.get_by_role("navigation", name="Main").get_by_role("link", name="Exports").click()
        page.get_by_role("navigation", name="Exports").get_by_role("link", name="Schedules").click()
        page.get_by_role("link", name="New schedule").first.click()
        page.get_by_label("Of the audience").select_option(index=1)
        page.get_by_label("What the schedule is called").fill("Nightly")
        page.get_by_label("Where it goes").select_option(label="Mail tool")
        page.get_by_role("button", name="Export", exact=True).click()
        expect(page.get_by_role("row", name="Nightly")).to_contain_text("Every day")
        console.look("export-schedules")
        Schedule.objects.update(planned_to="2026-01-01T00:00:00Z")
        assert planning.request_due() == 1
        work(Export.objects.order_by("-pk")[0])
        assert len([one for one in store.objects if "buyers" in one]) == 2
    page.get_by_role("link", name="Nightly").click()
    expect(page.get_by_text("Handed over")).to_be_visible()
    page.get_by_role("button", name="Turn off").click()
    expect(page.get_by_text("Off: Somebody turned it off")).to_be_visible()
    console.look("export-schedule")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Exports").click()
    expect(page.get_by_role("row").filter(has_text="Nightly")).to_contain_text("Mail tool")
    console.look("exports")
