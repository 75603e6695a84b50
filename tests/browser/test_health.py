"""The health page: what lives, what is missing, and how far behind the work is."""

from datetime import timedelta
from uuid import uuid4

from django.utils import timezone
from playwright.sync_api import expect

from cdp.heartbeats.beating import Heart
from cdp.heartbeats.models import Heartbeat
from tests.browser.conftest import Console


def test_the_page_says_how_the_platform_stands(console: Console) -> None:
    for process in ("consumer", "sweeper", "sequencer", "celery"):
        Heart(process).beat()
    silent_since = timezone.now() - timedelta(hours=2)
    Heartbeat.objects.create(instance=uuid4(), process="keeper", heard_at=silent_since)
    page = console.log_in("integrator")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Health").click()
    expect(page.get_by_text("Something needs you")).to_be_visible()
    expect(page.get_by_role("row", name="Keeper")).to_contain_text("Missing")
    expect(page.get_by_role("row", name="Deliverer")).to_contain_text("Never heard")
    console.look("health")
