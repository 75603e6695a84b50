"""Static lists as a marketer uses them: a segment begun with a file, its columns chosen, applied, and what had no effect taken away."""

from playwright.sync_api import expect

from tests.browser.conftest import Console
from tests.factories import identify, members, process_all, tracker


def test_a_segment_begins_with_a_file_of_people(console: Console) -> None:
    from cdp.jobs.models import Job
    from segments.models import Segment
    from segments.tasks import apply_upload

    tracker().send(*(identify(name, traits={"email": f"{name}@example.com"}) for name in ("ann", "bob", "cyd")))
    process_all()
    page = console.log_in("marketer")
    page.get_by_role("link", name="Lists").click()
    expect(page.get_by_role("heading", name="No lists yet")).to_be_visible()
    console.look("lists-empty")
    page.get_by_role("link", name="New list").first.click()
    page.get_by_label("Name", exact=True).fill("Guests of the opening")
    page.get_by_label("Make a segment of it").check()
    console.look("list-new")
    page.get_by_role("button", name="Make it and upload a file").click()

    console.look("list-upload")
    rows = "E-Mail;Table;Customer\nann@example.com;1;ann\nbob@example.com;2;cyd\nnobody@example.com;3;\nann@example.com;4;\n"
    page.get_by_label("CSV file").set_input_files(
        {"name": "guests.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    )
    page.get_by_role("button", name="Upload and look").click()
    expect(page.get_by_text("3 of the first 4 rows lead to somebody")).to_be_visible()
    expect(page.get_by_role("table").get_by_text("a•••@example.com").first).to_be_visible()
    console.look("list-upload-look")
    page.get_by_label("What Customer holds").select_option("")
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("not read").nth(1)).to_be_visible()
    page.get_by_role("button", name="Apply the file").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    page.reload()
    expect(page.get_by_role("progressbar")).to_be_visible()
    apply_upload.apply(args=[Job.objects.get(kind="segments.apply_upload").pk]).get()
    expect(page.get_by_text("Came onto the list")).to_be_visible()
    expect(page.get_by_role("row", name="Leads to nobody")).to_contain_text("4")
    console.look("list-upload-applied")
    with page.expect_download() as file:
        page.get_by_role("link", name="Download").click()
    assert file.value.suggested_filename.startswith("problems-")
    process_all()
    segment = Segment.objects.get(key="guests-of-the-opening")
    assert members(segment) == {"ann", "bob"}

    console.open("segments/staticlist/")
    expect(page.locator("#size-guests-of-the-opening")).to_have_text("2")
    console.look("lists")
    page.get_by_role("link", name="Guests of the opening").click()
    console.look("list")
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("alert")).to_contain_text("It is read by Guests of the opening")
    console.look("list-in-use")
