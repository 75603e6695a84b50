"""The screens for segments: a rule written, mended, looked at, put live, refreshed, and put away."""

import json
from datetime import timedelta
from typing import Any

from playwright.sync_api import expect

from tests.browser.building import save, write_rule
from tests.browser.conftest import Console
from tests.factories import identify, live, performed, process_all, track, tracker
from tests.harness.processes import Processes

BROKEN = """{
  "version": 1,
  "all": [
    {"performed": "Order Completed"},
    {"trait": "cuontry", "op": "equals", "value": "DE"}
  ]
}"""


def shop() -> None:
    source = tracker()
    source.send(*(identify(f"u{n}", traits={"country": "DE" if n % 2 else "FR"}) for n in range(6)))
    source.send(*(track("Order Completed", f"u{n}", ago=timedelta(days=n + 1)) for n in range(4)))
    process_all()


def test_a_rule_is_mended_where_the_error_stands_then_previewed_and_put_live(
    console: Console, processes: Processes
) -> None:
    from segments.models import Segment

    shop()
    processes.celery_worker()
    page = console.log_in("marketer")
    console.open("segments/segment/")
    console.look("segments-empty")
    page.get_by_role("link", name="New segment").first.click()
    page.get_by_label("Name", exact=True).fill("German buyers")

    write_rule(page, BROKEN)
    wrong = page.locator(".cond--bad")
    expect(wrong).to_have_count(1)
    expect(wrong).to_contain_text("cuontry")
    expect(page.locator("#builder")).to_contain_text("1 to fix before saving")
    console.look("segment-error")

    page.get_by_role("button", name="Review and save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".cond--bad")).to_contain_text("cuontry")
    expect(page.get_by_label("Name", exact=True)).to_have_value("German buyers")

    write_rule(page, BROKEN.replace("cuontry", "country"))
    expect(page.locator("#builder")).to_contain_text("The rule is sound")
    expect(page.locator(".say")).to_contain_text("who did Order Completed")

    page.get_by_role("button", name="Count and sample").click()
    expect(page.locator("#preview")).to_contain_text("2 33% of 6 people")
    expect(page.locator("#preview .smp li")).to_have_count(2)
    console.look("segment-preview")

    save(page)
    expect(page.get_by_role("heading", name="German buyers", level=1)).to_be_visible()
    expect(page.locator("#standing")).to_contain_text("Refreshed", timeout=20_000)
    expect(page.locator("#standing .size-n")).to_contain_text("2 people")
    console.look("segment")
    assert Segment.objects.get().member_count == 2


def test_a_new_version_waits_until_it_is_put_live_and_an_old_one_comes_back(console: Console) -> None:
    shop()
    segment = live("buyers", performed("Order Completed"))
    page = console.log_in("marketer")
    console.open(f"segments/segment/{segment.uuid}/")
    write_rule(page, json.dumps({"version": 1, **performed("Order Completed", 2)}))
    save(page, "Save as version 2")
    expect(page.get_by_role("status").first).to_contain_text("Version 2 is saved, not yet live")
    expect(page.get_by_text("This is version 2. Version 1 is live.")).to_be_visible()

    page.get_by_role("link", name="History 2").click()
    page.get_by_role("link", name="Put live version 2").click()
    page.get_by_role("button", name="Put version 2 live").click()
    expect(page.get_by_role("status").first).to_contain_text("Version 2 is live")
    segment.refresh_from_db()
    assert segment.live_version is not None and segment.live_version.number == 2


def test_a_segment_in_use_is_not_put_away_and_its_users_are_named(console: Console) -> None:
    shop()
    used = live("buyers", performed("Order Completed"))
    user = live("readers", {"in_segment": "buyers"})
    page = console.log_in("marketer")
    console.open("segments/segment/")
    console.look("segments")
    page.get_by_label("Search segments by name, key, tag or folder").fill("buy")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Buyers").click()
    page.get_by_role("navigation", name="This segment").get_by_role("link", name="Settings").click()

    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_role("alert")).to_contain_text("“Buyers” is used by “Readers”")
    console.look("segment-in-use")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("alert")).to_contain_text("“Readers”")

    console.open(f"segments/segment/{user.uuid}/settings/")
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_role("status").first).to_contain_text("Archived")
    console.open(f"segments/segment/{used.uuid}/settings/")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("status").first).to_contain_text("is deleted")


def test_somebody_who_may_only_look_can_not_change_the_rule(console: Console) -> None:
    shop()
    segment = live("buyers", performed("Order Completed"))
    page = console.log_in("integrator")
    console.open(f"segments/segment/{segment.uuid}/")
    expect(page.get_by_text("Your role may read this rule, not change it.")).to_be_visible()
    expect(page.get_by_role("button", name="Review and save")).to_have_count(0)
    expect(page.get_by_role("button", name="Count and sample")).to_have_count(0)
    console.look("segment-read-only")


def test_a_segment_is_shared_with_a_key_and_with_a_colleague_who_then_finds_it(console: Console) -> None:
    from cdp.rest.services import create_api_key
    from tests.factories import BY

    shop()
    segment = live("buyers", performed("Order Completed"))
    live("others", performed("Order Completed", 2))
    key, _ = create_api_key(name="Mail tool", scopes=["segments:read"], by=BY)
    page = console.log_in("integrator")
    console.open("rest/apikey/")
    page.get_by_role("link", name="Mail tool").click()
    expect(page.get_by_role("heading", name="It sees nothing yet")).to_be_visible()
    console.look("api-key-sees-nothing")

    console.log_out()
    console.log_in("marketer")
    console.open(f"segments/segment/{segment.uuid}/")
    page.get_by_role("link", name="Who may see it").click()
    expect(page.get_by_role("heading", name="Shared with nobody yet")).to_be_visible()
    console.look("segment-shared-with-nobody")
    page.get_by_role("button", name="Share", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Choose a person, an API key or a group.")
    console.look("segment-share-refused")

    page.get_by_label("With", exact=True).select_option("Mail tool")
    page.get_by_label("Read its members").check()
    page.get_by_role("button", name="Share", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("Shared with Mail tool.")
    expect(page.get_by_role("row", name="Mail tool")).to_contain_text("But the key lacks members:read")
    page.get_by_label("With", exact=True).select_option("newcomer")
    page.get_by_label("Change and share it").check()
    page.get_by_role("button", name="Share", exact=True).click()
    console.look("segment-shared")

    page.get_by_role("link", name="Change what Mail tool may").click()
    expect(page.get_by_label("Read its members")).to_be_checked()
    page.get_by_label("Read its members").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name="Mail tool")).not_to_contain_text("lacks")

    console.log_out()
    console.log_in("newcomer")
    page.get_by_role("link", name="Segments", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Buyers").click()
    write_rule(page, '{"version": 1, "everyone": true}')
    expect(page.locator(".say")).to_contain_text("whoever they are")
    console.look("segment-of-a-guest")
    page.get_by_role("link", name="Who may see it").click()
    page.get_by_role("button", name="Remove newcomer").click()
    expect(page.get_by_role("heading", name="Home", level=1)).to_be_visible()
    expect(page.get_by_role("link", name="Segments", exact=True)).to_have_count(0)

    console.log_out()
    console.log_in("integrator")
    console.open(f"rest/apikey/{key.pk}/")
    expect(page.get_by_role("heading", name="Sees 1 segment")).to_be_visible()
    console.look("api-key-sees-one")


def test_long_words_stay_within_the_window(console: Console) -> None:
    from tests.factories import person

    word = "Rindfleischetikettierungsueberwachungsaufgabenuebertragungsgesetz"
    source = tracker()
    source.send(identify("u1", traits={"note": "n" * 300, "email": f"{word.lower()}@example.com"}))
    source.send(*(track(f"{word} {n}", "u1", properties={"product": f"{word} " * 5}) for n in range(3)))
    process_all()
    segment = live("used", performed(f"{word} 1"), description="d" * 300)
    live(word.lower()[:60], {"in_segment": "used"})
    page = console.log_in("marketer")
    console.look("long-home")
    for path, name in {"": "rule", "history/": "history", "settings/": "settings", "access/": "access"}.items():
        console.open(f"segments/segment/{segment.uuid}/{path}")
        console.look(f"long-segment-{name}")
    console.open("segments/segment/")
    console.look("long-segments")
    console.open(f"profiles/profile/{person('u1').uuid}/")
    page.locator(".ev summary").first.click()
    console.look("long-person")


def test_the_panel_says_about_how_many_while_one_writes_and_exactly_a_moment_later(
    console: Console, settings: Any
) -> None:
    from django.db import connections, transaction

    settings.PREVIEW_SAMPLE = 3
    shop()
    page = console.log_in("marketer")
    console.open("segments/segment/new/")
    panel = page.locator("#preview")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or "") if "/preview/" in request.url else None)

    # Whoever counts everybody waits; whoever asks a few of them about a trait does not.
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        cursor.execute("LOCK TABLE profiles_eventtotal IN ACCESS EXCLUSIVE MODE")
        write_rule(page, '{"version": 1, "trait": "country", "op": "exists"}')
        expect(panel).to_contain_text("6 100% of 6 people")
        expect(panel).to_contain_text("Exact")
        write_rule(page, '{"version": 1, "performed": "Order Completed"}')
        expect(page.locator("#preview-busy")).to_be_visible()
        # What is counted keeps nobody from writing on, and what is written ends what is counted.
        write_rule(page, '{"version": 1, "trait": "country", "op": "equals", "value": "DE"}')
        expect(panel).to_contain_text("3 50% of 6 people")
        expect(page.locator("#builder")).to_contain_text("The rule is sound")
    estimates = [body for body in sent if "accuracy=exact" not in body]
    assert len(estimates) == 3, sent
    assert len({part for body in sent for part in body.split("&") if part.startswith("preview=")}) == 1
    assert page.locator("#preview .smp").count() == 0, "nobody is shown while somebody writes"

    write_rule(page, '{"version": 1, "all": [')
    expect(page.locator("#builder")).to_contain_text("This is not a rule yet")
    expect(panel).to_contain_text("3 50% of 6 people")

    write_rule(page, '{"version": 1, "performed": "Order Completed"}')
    with page.expect_response(lambda response: "/preview/" in response.url) as answered:
        page.get_by_role("button", name="Count and sample").click()
    assert "Estimate" in answered.value.text() and "from 3 people" in answered.value.text()
    expect(panel).to_contain_text("4 67% of 6 people")
    expect(page.locator("#preview .smp li")).to_have_count(4)
    console.look("segment-previewed")
