"""Home: each reader sees what waits for them and nothing else, and nothing on it costs more for there being more."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cdp.privacy.models import CameBy, RequestKind
from cdp.privacy.services import open_request
from cdp.webhooks.models import Webhook
from consent.models import Purpose
from segments.models import Segment
from segments.services import pause
from segments.sharing import share_segment
from tests.factories import BY, draft, identify, live, performed, person, process_all, track, tracker

BOUGHT = performed("Bought")
WAITING = "/admin/waiting/"


@pytest.fixture
def shop(db: None) -> None:
    tracker().send(identify("ann"), track("Bought", "ann"))
    process_all()


def staff(role: str) -> Client:
    user, is_new = User.objects.get_or_create(username=role or "newcomer", defaults={"is_staff": True})
    if role and is_new:
        user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def test_paused_segments_and_drafts_of_ones_own_wait(shop: None) -> None:
    client = staff("marketer")
    pause(segment=live("buyers", BOUGHT), by=BY)
    draft("mine", BOUGHT, owner=User.objects.get(username="marketer"))
    draft("theirs", BOUGHT)
    text = client.get(WAITING).content.decode()
    assert "Buyers</a> is paused" in text and "1 draft of yours" in text
    assert [
        row.segment.name for row in client.get("/admin/segments/segment/?status=draft&owner=me").context["rows"]
    ] == ["Mine"]


def test_a_webhook_that_was_turned_off_by_failing_is_told_to_who_may_see_it(shop: None) -> None:
    boss = User.objects.create_superuser("boss", password="not used")
    made = Webhook.objects.create(url="https://hooks.example.com/x", description="Mail tool", events=["consent.changed"],
                                  purpose=Purpose.objects.get(key="marketing_email"), owner=boss)  # fmt: skip
    client = Client()
    client.force_login(boss)
    assert "Mail tool" not in client.get(WAITING).content.decode()
    Webhook.objects.filter(pk=made.pk).update(state="disabled", off_reason="failing", off_since=timezone.now())
    assert "Mail tool</a> was turned off" in client.get(WAITING).content.decode()
    assert "Mail tool" not in staff("integrator").get(WAITING).content.decode(), "it tells what people decided"


def test_requests_wait_a_week_before_their_last_day_and_only_for_who_handles_them(shop: None) -> None:
    asked = open_request(kind=RequestKind.ACCESS, came_by=CameBy.STAFF, by=BY, profile=person("ann"))
    compliance = staff("compliance")
    assert "due within a week" not in compliance.get(WAITING).content.decode()
    type(asked).objects.update(due_on=timezone.localdate() + timedelta(days=3))
    assert "1 privacy request due within a week" in compliance.get(WAITING).content.decode()
    assert "privacy request" not in staff("marketer").get(WAITING).content.decode()


def test_somebody_without_a_role_is_told_of_just_what_is_shared_with_them(shop: None) -> None:
    mine, theirs = live("mine", BOUGHT), live("theirs", BOUGHT)
    client = staff("")
    share_segment(segment=mine, user=User.objects.get(username="newcomer"), by=BY)
    for segment in (mine, theirs):
        pause(segment=segment, by=BY)
    text = client.get(WAITING).content.decode()
    assert "Mine" in text and "Theirs" not in text


@pytest.mark.parametrize(
    ("role", "status"), [("", 403), ("integrator", 403), ("marketer", 200), ("compliance", 200), ("admin", 200)]
)
def test_people_are_counted_after_the_page_is_there_and_for_who_may_see_them(
    shop: None, role: str, status: int
) -> None:
    client = staff(role)
    page = client.get("/admin/").content.decode()
    assert ("/admin/figures/" in page) == (status == 200) and "Known by name" not in page
    figures = client.get("/admin/figures/")
    assert figures.status_code == status
    if status == 200:
        assert "<dt>Known by name</dt><dd>1</dd>" in figures.content.decode()


def test_it_costs_the_same_however_much_waits(shop: None) -> None:
    client = staff("admin")
    admin = User.objects.get(username="admin")

    def cost() -> list[int]:
        found = []
        for path in ("/admin/", WAITING, "/admin/figures/"):
            client.get(path)
            with CaptureQueriesContext(connection) as seen:
                client.get(path)
            found.append(len(seen))
        return found

    def more(first: int, last: int) -> None:
        for n in range(first, last):
            live(f"live-{n}", BOUGHT)
            pause(segment=live(f"paused-{n}", BOUGHT), by=BY)
            draft(f"draft-{n}", BOUGHT, owner=admin)
            Segment.objects.filter(pk=live(f"broken-{n}", BOUGHT).pk).update(broken_reason="it broke")

    more(0, 1)
    few = cost()
    more(1, 6)
    assert cost() == few
