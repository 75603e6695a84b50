"""The screens for data: sources and keys, quarantine, API keys, jobs, and what the audit log says of it all."""

from playwright.sync_api import expect

from tests.browser.conftest import Console
from tests.factories import draft, identify, performed, process_all, track, tracker


def test_a_source_gets_a_key_that_is_shown_once_and_can_be_revoked(console: Console) -> None:
    page = console.log_in("integrator")
    console.open("ingestion/source/")
    page.get_by_role("link", name="Add a source").click()
    page.get_by_label("Name").fill("Shop backend")
    page.get_by_label("Kind").select_option("server")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", name="Shop backend", level=1)).to_be_visible()

    page.get_by_role("button", name="New key").click()
    secret = page.locator(".secret code").inner_text()
    assert secret.startswith("wk_")
    page.get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    console.look("source-new-key")

    console.open("ingestion/source/")
    page.get_by_role("link", name="Shop backend").click()
    assert secret not in page.content()
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status")).to_contain_text("is revoked")
    console.look("source")


def test_a_message_in_quarantine_says_why_and_is_replayed(console: Console) -> None:
    from cdp.ingestion.models import InboxMessage, Quarantined

    source = tracker()
    source.send(
        track("Order Completed"),
        {"type": "dance", "userId": "u1", "messageId": "m-x", "traits": {"email": "erika@example.com"}},
    )
    process_all()
    assert Quarantined.objects.open().count() == 2

    page = console.log_in("integrator")
    expect(page.get_by_role("link", name="2 messages in quarantine")).to_be_visible()
    console.look("home-integrator")
    page.get_by_role("link", name="2 messages in quarantine").click()
    console.look("quarantine")
    page.locator("tbody th a").first.click()
    expect(page.locator("pre.code")).to_contain_text("messageId")
    assert "erika@example.com" not in page.content()
    console.look("quarantined-message")
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("status")).to_contain_text("Put back into the inbox")
    assert InboxMessage.objects.count() == 1

    page.get_by_role("button", name="Choose all on this page").click()
    expect(page.get_by_role("checkbox")).to_be_checked()
    page.get_by_role("button", name="Replay the chosen").click()
    expect(page.get_by_role("status")).to_contain_text("1 put back into the inbox")
    expect(page.get_by_role("heading", name="Quarantine is empty")).to_be_visible()


def test_an_api_key_is_made_shown_once_and_revoked(console: Console) -> None:
    page = console.log_in("integrator")
    console.open("rest/apikey/")
    page.get_by_role("link", name="New key").first.click()
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_text("This field is required.").first).to_be_visible()
    console.look("api-key-refused")
    page.get_by_label("Name").fill("Mail tool")
    page.get_by_label("Read segments").check()
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("#secret").inner_text()
    assert secret.startswith("cdp_")
    console.look("api-key-made")

    page.get_by_role("link", name="Done").click()
    assert secret not in page.content()
    console.look("api-keys")
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Revoked", exact=True)).to_be_visible()


def test_jobs_show_their_bar_and_are_cancelled(console: Console) -> None:
    from django.utils import timezone

    from cdp.jobs.models import Job, JobState

    now = timezone.now()
    tracker().send(track("Order Completed", "u1"))
    process_all()
    about = {"segment": draft("buyers", performed("Order Completed")).pk}
    running = Job.objects.create(
        kind="segments.refresh", params=about, state=JobState.RUNNING, done=30, total=120, phase="entering and leaving", started_at=now,
        lease_until=now + timezone.timedelta(hours=1), sent_at=now,
    )  # fmt: skip
    Job.objects.create(
        kind="segments.refresh", params=about, state=JobState.FAILED, error_code="segment_not_live", error_message="It is not live.",
        started_at=now, finished_at=now,
    )  # fmt: skip
    page = console.log_in("marketer")
    expect(page.locator("#waiting")).to_contain_text("It is not live.")
    console.open("jobs/job/")
    expect(page.locator("#jobs progress")).to_have_count(1)
    console.look("jobs")

    page.locator(f"#job-{running.pk} a").click()
    expect(page.locator("#job")).to_contain_text("30 of 120")
    Job.objects.filter(pk=running.pk).update(done=90)
    expect(page.locator("#job")).to_contain_text("90 of 120")
    console.look("job")
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.get_by_role("status")).to_contain_text("Asked to stop")
    running.refresh_from_db()
    assert running.cancel_requested


def test_what_was_done_stands_in_the_audit_log_and_in_the_stock_screens(console: Console) -> None:
    source = tracker()
    source.send(identify("u1", traits={"email": "erika@example.com", "country": "DE"}))
    process_all()
    page = console.log_in("admin")
    console.open("profiles/trait/")
    console.look("traits")
    page.locator("#result_list").get_by_role("link", name="Country").click()
    page.get_by_label("Label").fill("Country of residence")
    console.look("trait")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("changed successfully")

    console.open("audit/auditentry/?action=trait.changed")
    expect(page.locator(".grid-t tbody tr")).to_have_count(1)
    console.look("audit")
    page.locator(".grid-t tbody th a").click()
    expect(page.get_by_label("Detail as JSON")).to_contain_text("label")
    console.look("audit-entry")

    for path, name in (
        ("consent/purpose/", "purposes"),
        ("consent/purpose/1/change/", "purpose"),
        ("profiles/workspace/1/change/", "workspace"),
        ("auth/user/", "users"),
        ("auth/user/1/change/", "user"),
        ("auth/user/add/", "user-add"),
        ("auth/group/1/change/", "group"),
        ("password_change/", "password-change"),
    ):
        response = page.goto(f"{console.url}/admin/{path}")
        assert response is not None and response.status == 200, path
        console.look(name)
