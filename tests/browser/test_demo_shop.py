"""The demo's own page: a visitor looks at goods, chooses, and sees what was held, sent and dropped."""

import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from cdp.ingestion import keys
from cdp.ingestion.models import Source
from cdp.pipeline import process_batch
from cdp.profiles.models import Event, Workspace
from consent.models import ConsentRecord
from demo.accounts import open_access
from tests.browser.conftest import Console
from tests.factories import identify, process_all, tracker


@pytest.fixture
def shop(console: Console, tmp_path: Path) -> Console:
    open_access(path=tmp_path / "credentials.json", url=console.url)
    assert Source.objects.filter(allowed_origins__contains=[console.url]).exists()
    keys.forget()
    somebody = tracker()
    somebody.send(identify("ann", traits={"email": "ann@example.com"}))
    process_all()
    return console


def test_a_visitor_sees_what_becomes_of_what_they_do(shop: Console) -> None:
    page = shop.page
    page.goto(f"{shop.url}/demo/shop")
    # The words that every installation begins with: the demo publishes none over them, nor over what somebody wrote since.
    banner = page.get_by_role("region", name="May we?")
    expect(banner).to_be_visible()
    page.get_by_role("button", name="Look at").first.click()
    expect(page.locator("#sum")).to_have_text("2 held")
    shop.look("demo-shop-held")
    page.get_by_role("button", name="Accept all").click()
    expect(page.locator("#log")).to_contain_text("the choice itself")
    expect(page.locator("#sum")).to_have_text("3 sent")
    shop.look("demo-shop-sent")
    patience = time.monotonic() + 10
    while ConsentRecord.objects.count() < 3 and time.monotonic() < patience:
        process_batch()
    assert Event.objects.sent().filter(properties__product_id__isnull=False).exists()
    assert ConsentRecord.objects.filter(served__isnull=False, notice_version__locale="en").count() == 3

    page.get_by_role("button", name="Privacy choices of this device").click()
    page.get_by_role("button", name="Reject all").click()
    page.get_by_role("button", name="Look at").first.click()
    expect(page.locator("#sum")).to_contain_text("1 dropped")
    page.get_by_role("link", name="Preference centre of somebody made up").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your choices")


def test_there_is_no_demo_where_the_data_is_real(shop: Console) -> None:
    Workspace.objects.update(is_simulated=False)
    response = shop.page.goto(f"{shop.url}/demo/shop")
    assert response is not None and response.status == 404
