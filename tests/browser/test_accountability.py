"""Compliance staff at work: how long data is kept, the record of processing, and who was read in a breach."""

from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from tests.browser.conftest import Console
from tests.factories import identify, live, performed, person, process_all, track, tracker
from tests.integration.callers import decide, key


def shop() -> None:
    from consent.models import Decision

    server = tracker()
    server.send(
        *(track("Bought", user, ago=timedelta(days=ago)) for user in ("ann", "bob", "cyd") for ago in (1, 90, 500)),
        *(track("Looked", user) for user in ("ann", "bob")),
        *(identify(user, traits={"email": f"{user}@b.ch", "city": "Bern"}) for user in ("ann", "bob", "cyd")),
    )
    process_all()
    for user in ("ann", "bob"):
        decide(user, "marketing_email", Decision.GRANTED)
    process_all()


def test_a_rule_that_shortens_shows_what_would_go_and_asks_for_the_word(console: Console) -> None:
    from cdp.accountability.models import RetentionRule
    from cdp.jobs.models import Job
    from cdp.profiles.models import Event

    shop()
    page = console.log_in("compliance")
    page.get_by_role("link", name="Retention", exact=True).click()
    expect(page.get_by_text("are kept for ever", exact=False).first).to_be_visible()
    console.look("retention")

    page.get_by_text("Kept as all other events").click()
    page.get_by_role("link", name="Set Bought").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Give a number of days")
    page.get_by_label("Days").fill("100")
    page.get_by_label("Why so long").fill("Returns are taken back for three months")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("for less time than now")
    expect(page.get_by_role("table")).to_contain_text("Bought")
    console.look("retention-confirm")
    page.get_by_label("Type “delete” to confirm").fill("yes")
    page.get_by_role("button", name="Keep for less time").click()
    expect(page.get_by_text("That isn't the word.")).to_be_visible()
    page.get_by_label("Type “delete” to confirm").fill("delete")
    page.get_by_role("button", name="Keep for less time").click()
    expect(page.get_by_role("status")).to_contain_text("Saved")
    assert RetentionRule.objects.get().days == 100
    expect(page.get_by_role("row", name="Bought")).to_contain_text("100 days")

    page.get_by_role("link", name="What would go now").click()
    expect(page.get_by_text("3 rows")).to_be_visible()
    console.look("retention-preview")
    page.get_by_label("Type “delete” to confirm").fill("delete")
    page.get_by_role("button", name="Delete it now").click()
    expect(page.get_by_role("heading", name="Apply retention", level=1)).to_be_visible()
    from cdp.accountability.tasks import apply_retention

    apply_retention.apply(args=[Job.objects.get(kind="retention.apply_retention").pk]).get()
    assert Event.objects.filter(type=1).count() == 8
    console.open("accountability/retentionrule/")
    expect(page.get_by_text("Complete", exact=True)).to_be_visible()
    page.get_by_role("table", name="The last times rules were applied").get_by_role("link").click()
    expect(page.get_by_role("row", name="Bought")).to_contain_text("3")
    console.look("retention-run")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    assert ",events,Bought," in download.value.path().read_text()

    console.open("accountability/retentionrule/")
    page.get_by_role("link", name="Set Marketing by email").or_(
        page.get_by_role("link", name="Set Marketing email")
    ).first.click()
    page.get_by_label("Days").fill("400")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Saved")


def test_the_record_is_filled_in_and_published(console: Console) -> None:
    from cdp.accountability.models import PublishedRecord

    shop()
    page = console.log_in("compliance")
    page.get_by_role("link", name="Record of processing").click()
    expect(page.get_by_text("name, address, contact details")).to_be_visible()
    console.look("record")
    page.get_by_role("link", name="Change the controller").click()
    page.get_by_label("Name", exact=True).fill("Paper Boat Goods")
    page.get_by_label("Security measures").fill("Staff are trained each year.")
    console.look("record-controller")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Saved")
    expect(page.get_by_text("name, address, contact details")).to_have_count(0)
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("heading", name="Version 1", level=1)).to_be_visible()
    console.look("record-version")
    page.get_by_role("link", name="Print").click()
    expect(page.get_by_text(PublishedRecord.objects.get().sha256)).to_be_visible()
    console.look("record-print")
    with page.expect_download() as download:
        console.page.evaluate("location.href = location.href.replace('/print/', '/json/')")
    assert download.value.suggested_filename == "record-of-processing-1.json"


def test_a_breach_is_looked_into_and_whom_to_notify_is_taken_away(console: Console) -> None:
    shop()
    segment = live("buyers", performed("Bought"))
    caller = key(sees=[segment])
    assert len(caller.get("segments/buyers/members/", purpose="marketing_email").json()["results"]) == 2
    assert caller.key is not None

    page = console.log_in("compliance")
    page.get_by_role("link", name="Breach", exact=True).click()
    console.look("breach")
    page.get_by_label("From").fill(f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:%M:%S}")
    page.get_by_label("To", exact=True).fill(f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%S}")
    page.get_by_label("Aware of it since").fill(f"{datetime.now(UTC) - timedelta(hours=10):%Y-%m-%dT%H:%M:%S}")
    page.get_by_label("API key").select_option(str(caller.key.pk))
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("heading", name="Whose data was read")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("left to notify the authority")
    expect(page.get_by_role("table")).to_contain_text(caller.key.name)
    console.look("breach-answer")
    with page.expect_download() as download:
        page.get_by_role("link", name="Take away whom to notify").click()
    assert str(person("ann").uuid) in download.value.path().read_text()
