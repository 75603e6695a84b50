"""Clusters as a marketer uses them: from none at all to a live segment of one; and a run with everything it can show, looked at."""

from datetime import timedelta

from django.db import connection, transaction
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD, Console
from tests.browser.test_first_audience import Mouse
from tests.browser.test_segment_history import drawn
from tests.factories import members, process_all, track, tracker
from tests.harness.processes import Processes
from tests.integration.clusterings import made_clustering

FEWER_THAN = 12
REGULARS, RARE = 40, 80


def shop() -> None:
    """Two kinds of buyers, far apart: some often and little, others once and much."""
    source = tracker()
    for number in range(REGULARS + RARE):
        regular = number < REGULARS
        orders = 10 + number % 5 if regular else 1
        source.send(
            *(
                track(
                    "Order Completed",
                    f"u{number}",
                    ago=timedelta(days=3 + number % 4 + order * 12 if regular else 200 + number % 40, hours=1),
                    properties={
                        "order_id": f"o{number}-{order}",
                        "revenue": 15 + number % 7 if regular else 300 + number % 90,
                        "currency": "USD",
                    },
                )
                for order in range(orders)
            )
        )
    process_all()


def test_from_nothing_to_a_segment_of_a_cluster(console: Console, processes: Processes) -> None:
    shop()
    page = console.open("")
    hand = Mouse(page)
    hand.type(page.get_by_label("Username"), "marketer")
    hand.type(page.get_by_label("Password"), PASSWORD, enter=True)
    hand.press(page.get_by_role("link", name="Clusters"))
    expect(page.get_by_role("heading", name="No clusters yet")).to_be_visible()
    console.look("clusters-empty")
    hand.press(page.locator(".state").get_by_role("link", name="New clustering"))
    expect(page.get_by_label("Purchase frequency", exact=True)).to_be_checked()
    expect(page.locator("#statistics")).to_contain_text("120 people who were seen", timeout=20_000)
    console.look("clusters-new")
    hand.type(page.get_by_label("Name", exact=True), "Habits")
    # Nobody of these visited: of the usual four, that one tells nobody apart.
    hand.press(page.get_by_role("checkbox", name="Visits", exact=True))
    hand.press(page.get_by_role("button", name="Save and run"))
    expect(page.locator("#standing")).to_contain_text("Waiting for its turn")

    # Whoever writes scores waits while this is held: so far the run comes, and no further.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE profiles_scorerun IN SHARE MODE")
        processes.celery_worker()
        expect(page.locator("#standing")).to_contain_text("Writing scores, 86 of 100", timeout=60_000)
        page.reload()
        expect(page.get_by_role("progressbar", name="Progress")).to_have_attribute("value", "0.8600")
        console.look("clusters-running")
    # The page shows it by itself.
    expect(page.get_by_role("heading", name="What run 1 found")).to_be_visible(timeout=20_000)
    cards = page.locator(".cl")
    expect(cards).to_have_count(2)
    regulars = cards.filter(has_text=f"{REGULARS}")
    drawn(page, "People in two dimensions")
    console.look("clusters-found")
    hand.press(regulars.first.get_by_role("button", name="Make a segment"))
    expect(page.locator("#standing .size-n")).to_contain_text(f"{REGULARS} people", timeout=20_000)
    assert hand.acts < FEWER_THAN, hand.acts

    from segments.models import Segment

    assert len(members(Segment.objects.get())) == REGULARS


def test_a_run_is_read_named_and_accepted_by_keyboard(console: Console) -> None:
    made = made_clustering()
    page = console.log_in("marketer")
    console.open(f"segments/clustering/{made.uuid}/?run=1")
    for picture in ("People in two dimensions", "Clusters side by side", "Silhouettes by cluster"):
        drawn(page, picture)
    console.look("clusters-all")
    tree = page.get_by_role("figure", name="How people were put together")
    tree.get_by_role("img").focus()
    page.keyboard.press("End")
    expect(tree.locator("[data-chart-said]")).to_contain_text("110 people come together")
    card = page.locator("#cluster-2")
    card.get_by_text("Name it").focus()
    page.keyboard.press("Enter")
    card.get_by_label("Name of the cluster").fill("Gift buyers")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("The cluster is called “Gift buyers”")
    expect(page.get_by_role("columnheader", name="Gift buyers").first).to_be_attached()

    console.open(f"segments/clustering/{made.uuid}/compare/")
    expect(page.get_by_role("heading", name="Runs compared")).to_be_visible()
    console.look("clusters-compare")
    console.open(f"segments/clustering/{made.uuid}/settings/")
    page.get_by_role("combobox", name="Method").select_option("dbscan")
    expect(page.get_by_label("Distance of neighbours (eps)")).to_be_visible()
    expect(page.get_by_label("How many clusters")).to_be_hidden()
    page.get_by_role("button", name="How they visit").press("Enter")
    expect(page.get_by_role("checkbox", name="Page views", exact=True)).to_be_checked()
    expect(page.get_by_role("checkbox", name="Purchase frequency", exact=True)).not_to_be_checked()
    page.get_by_role("button", name="Save", exact=True).press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("until it runs again")
    made.refresh_from_db()
    assert made.as_settings.algorithm == "dbscan" and "page_views" in made.as_settings.keys
