"""Bringing consent along as a compliance officer does: upload, look, mend, record; and a browser's wish on a person's page."""

from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from tests.browser.conftest import Console
from tests.factories import identify, person, process_all, tracker

HEADING = "namespace,value,purpose,decision,collected_at,evidence_form"
DAY_BEFORE = (datetime.now(UTC) - timedelta(days=1)).isoformat()


def test_a_file_is_mended_then_recorded(console: Console) -> None:
    from cdp.collecting.tasks import apply_import
    from cdp.jobs.models import Job

    source = tracker()
    source.send(identify("ann", traits={"email": "ann@example.com"}), asks=1)
    process_all()
    page = console.log_in("compliance")
    page.get_by_role("link", name="Imports").click()
    expect(page.get_by_role("heading", name="No imports yet")).to_be_visible()
    console.look("imports-empty")

    page.get_by_role("link", name="Upload a file").first.click()
    console.look("import-upload")
    bad = f"{HEADING}\nuser_id,ann,marketing_email,granted,{DAY_BEFORE},\nuser_id,null,sms,denied,yesterday,\n"
    page.get_by_label("CSV file").set_input_files({"name": "crm.csv", "mimeType": "text/csv", "buffer": bad.encode()})
    page.get_by_role("button", name="Upload and look").click()
    expect(page.get_by_text("3 things to mend in 2 rows")).to_be_visible()
    console.look("import-to-mend")

    console.open("collecting/consentimport/new/")
    good = f"{HEADING}\nuser_id,ann,marketing_email,granted,{DAY_BEFORE},paper form 118\nuser_id,zoe,sms,denied,{DAY_BEFORE},\n"
    page.get_by_label("CSV file").set_input_files({"name": "crm.csv", "mimeType": "text/csv", "buffer": good.encode()})
    page.get_by_role("button", name="Upload and look").click()
    expect(page.get_by_text("1 known")).to_be_visible()
    console.look("import-preview")
    page.get_by_role("button", name="Record these decisions").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    apply_import.apply(args=[Job.objects.get().pk]).get()
    expect(page.get_by_text("1 of 2 rows")).to_be_visible()
    console.look("import-applied")

    console.open(f"profiles/profile/{person('ann').uuid}/consent/")
    expect(page.get_by_text("Global Privacy Control honoured.")).to_be_visible()
    console.look("consent-with-gpc")
