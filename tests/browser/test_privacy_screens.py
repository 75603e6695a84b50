"""The screens of privacy requests: somebody is erased from the request's coming to its end, and what fails is tried again."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.conftest import Console
from tests.factories import identify, person, process_all, track, tracker


def work() -> None:
    """What a worker does."""
    from cdp.jobs.models import Job
    from cdp.privacy.tasks import carry_out

    for job in Job.objects.filter(kind="privacy.carry_out", state="queued"):
        carry_out.apply(args=[job.pk])


def test_somebody_is_erased_and_what_failed_is_tried_again(console: Console, settings: Any, tmp_path: Path) -> None:
    from cdp.privacy.models import PrivacyRequest, PrivacyTarget

    settings.PRIVACY_EXPORT_DIR = str(tmp_path)
    tracker().send(identify("PB-204417", traits={"email": "erika@example.com"}), track("Order Completed", "PB-204417"))
    process_all()
    page = console.log_in("compliance")
    console.open("privacy/privacyrequest/")
    expect(page.get_by_role("heading", name="No open requests")).to_be_visible()
    console.look("privacy-empty")

    console.open(f"profiles/profile/{person('PB-204417').uuid}/")
    page.get_by_role("link", name="New privacy request").click()
    page.get_by_role("button", name="Enter the request").click()
    expect(page.get_by_text("This field is required.")).to_be_visible()
    page.get_by_label("They ask for").select_option("erasure")
    page.get_by_label("Country they live in").fill("DE")
    expect(page.get_by_label("What is wrong, of a rectification")).to_be_hidden()
    console.look("privacy-new")
    # Pressed twice, as people do: it is entered once, or there would be two of them below.
    page.get_by_role("button", name="Enter the request").dblclick()
    expect(page.get_by_text("Identity not shown yet")).to_be_visible()
    assert "erika@example.com" not in page.content()
    console.look("privacy-identity")

    key_file, settings.VAULT_KEY_FILE = settings.VAULT_KEY_FILE, "/nowhere/keys.json"
    page.get_by_label("How they showed who they are").select_option("document")
    page.get_by_label("I know that erasing can't be undone").check()
    page.get_by_role("button", name="Confirm, and erase them").click()
    request = PrivacyRequest.objects.get()
    # As one that the operator has named.
    PrivacyTarget.objects.create(request=request, position=9, key="outside", label="Mail house", is_outside=True)
    work()
    targets = page.get_by_role("table", name="What the request has to reach")
    row = targets.get_by_role("row", name="Profile, events, scores")
    expect(row).to_contain_text("vault_unusable")
    console.look("privacy-failed")

    settings.VAULT_KEY_FILE = key_file
    while page.get_by_role("button", name="Retry").count():
        with page.expect_response(lambda response: response.request.method == "POST"):
            page.get_by_role("button", name="Retry").first.click()
        page.wait_for_load_state()
        work()
        page.reload()
    expect(row).to_contain_text("identifiers suppressed")
    page.get_by_role("button", name="It is done").click()
    expect(page.locator("#request-state")).to_contain_text("Done")
    expect(page.get_by_text("any more")).to_be_visible()
    console.look("privacy-done")


def test_the_queue_says_what_is_overdue_and_the_narrow_forms_open(console: Console) -> None:
    from cdp.privacy.models import CameBy, PrivacyRequest, RequestKind
    from cdp.privacy.services import open_request
    from cdp.profiles.models import Workspace
    from tests.factories import BY

    tracker().send(track("Order Completed", "PB-204417"))
    process_all()
    # Days are those of the workspace, where it may be tomorrow already.
    today = timezone.localdate(timezone=ZoneInfo(Workspace.objects.get().time_zone))
    for kind, days in ((RequestKind.ACCESS, -4), (RequestKind.RESTRICTION, 2), (RequestKind.PORTABILITY, 20)):
        made = open_request(kind=kind, came_by=CameBy.EMAIL, profile=person("PB-204417"), country="DE", by=BY)
        PrivacyRequest.objects.filter(pk=made.pk).update(due_on=today + timedelta(days=days))
    page = console.log_in("compliance")
    page.get_by_role("link", name="Privacy requests").click()
    expect(page.locator("tbody tr").first).to_contain_text("4 days overdue")
    console.look("privacy-queue")
    page.get_by_role("link", name="Access").last.click()
    expect(page.get_by_text("Extend the time to answer")).to_have_count(0)  # the last day to tell of it is over
    page.go_back()
    page.get_by_role("link", name="Restriction").last.click()
    page.get_by_text("Extend the time to answer").click()
    page.get_by_label("Reason").first.fill("Three archives to read")
    console.look("privacy-extend")
    page.get_by_role("button", name="Extend").click()
    expect(page.get_by_text("Three archives to read")).to_be_visible()
    console.open("privacy/privacyrequest/come-back/")
    page.get_by_label("Identifier", exact=True).fill("erika@example.com")
    page.get_by_role("button", name="Let them come back").click()
    expect(page.get_by_text("nothing keeps them away")).to_be_visible()
    console.look("privacy-come-back")
