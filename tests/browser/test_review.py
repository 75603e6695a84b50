"""Reviewing and saving a draft as a marketer does: what changes, who comes and goes, and what happens if somebody was quicker."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.building import rule_text, write_rule
from tests.browser.conftest import Console
from tests.factories import BY, identify, live, process_all, rule, tracker

BERN: dict[str, Any] = {"trait": "city", "op": "equals", "value": "Bern"}
OLD: dict[str, Any] = {"trait": "age", "op": "gte", "value": 26}


def people() -> None:
    tracker().send(
        *(identify(f"u{n}", traits={"city": "Bern" if n < 8 else "Basel", "age": 20 + n}) for n in range(10))
    )
    process_all()


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def reviewed(page: Page, press: Callable[[], None]) -> Locator:
    """The dialog, once who comes and goes has been counted exactly."""
    press()
    expect(dialog(page)).to_be_visible()
    expect(dialog(page)).to_contain_text("Exact")
    return dialog(page)


def test_a_draft_is_reviewed_saved_and_told_when_somebody_was_quicker(console: Console, tmp_path: Path) -> None:
    from django.contrib.auth.models import User

    from consent.models import Purpose
    from segments.services import save_version

    people()
    segment = live("bern", BERN)
    segment.purposes.set(Purpose.objects.filter(key="marketing_email"))
    page = console.log_in("marketer")
    console.open(f"segments/segment/{segment.uuid}/")
    save = page.get_by_role("button", name="Review and save")

    # By mouse: looked at and left, with the draft as it was.
    write_rule(page, json.dumps(rule({"all": [BERN, OLD]})))
    shown = reviewed(page, save.click)
    expect(shown.locator(".df")).to_contain_text("Added")
    expect(shown.locator(".rv-s--exit")).to_contain_text("6")
    expect(shown).to_contain_text("None of the 6 who leave permits")
    shown.get_by_label("Show people for").select_option("internal_analysis")
    expect(shown.locator(".smp li")).to_have_count(5)
    console.look("review")
    shown.get_by_role("button", name="Go on writing").click()
    expect(dialog(page)).to_have_count(0)
    expect(page.locator("[data-pending]")).to_contain_text("1 unsaved change")
    expect(save).to_be_focused()

    # What isn't sound keeps the dialog away, and stands at its condition.
    write_rule(page, json.dumps(rule({"all": [BERN, {"trait": "cty", "op": "exists"}]})))
    with page.expect_response(lambda response: response.url.endswith("/review/")) as answered:
        save.click()
    assert answered.value.status == 422
    expect(page.locator(".cond--bad")).to_have_count(1)
    expect(dialog(page)).to_have_count(0)

    # By keyboard alone: the dialog takes the focus, Escape gives it back, Enter saves.
    write_rule(page, json.dumps(rule({"all": [BERN, OLD]})))
    save.focus()
    reviewed(page, lambda: page.keyboard.press("Enter"))
    expect(page.get_by_role("heading", name="Review before saving")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog(page)).to_have_count(0)
    expect(save).to_be_focused()
    reviewed(page, lambda: page.keyboard.press("Enter"))
    dialog(page).get_by_role("button", name="Save as version 2").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("Version 2 is saved, not yet live")
    expect(page.locator("[data-pending]")).to_have_text("")

    # Somebody is quicker.
    write_rule(page, json.dumps(rule({"any": [BERN, OLD]})))
    rival = User.objects.create_user("rita", first_name="Rita", last_name="Rival")
    save_version(segment=segment, rule=rule(OLD), by=BY, user=rival)
    save.click()
    expect(dialog(page)).to_contain_text("Rita Rival saved version 3")
    console.look("review-conflict")
    dialog(page).get_by_role("button", name="Go to theirs").click()
    expect(page.get_by_role("heading", name="Your draft")).to_be_visible()
    assert json.loads(rule_text(page).input_value())["all"] == [OLD]
    console.look("review-theirs")
    page.get_by_role("button", name="Put it into the builder").click()
    expect(page.locator("[data-pending]")).to_contain_text("1 unsaved change")
    shown = reviewed(page, save.click)
    shown.get_by_role("button", name="Save and go live").click()
    expect(page.get_by_role("status").first).to_contain_text("Version 4 is live")

    # The panel beside it: exact, by purpose, and why.
    page.get_by_label("Show people for").select_option("internal_analysis")
    page.get_by_role("button", name="Count and sample").click()
    expect(page.locator("#permits")).to_contain_text("10 are held back")
    why = page.locator(".smp .dw").first
    why.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(why.get_by_text("Met", exact=True).first).to_be_visible()
    console.look("draft-why")

    # In other forms: SQL, a file, and pasted where the clipboard is closed.
    page.get_by_role("button", name="Show the SQL").click()
    expect(dialog(page).locator("pre")).to_contain_text("profiles_traitvalue")
    console.look("draft-sql")
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export JSON").click()
    file = tmp_path / "rule.json"
    download.value.save_as(file)
    assert json.loads(file.read_text()) == rule({"any": [BERN, OLD]})
    file.write_text(json.dumps(rule({"all": [OLD]})))
    page.get_by_label("Import JSON").set_input_files(file)
    expect(page.locator(".conds > .cond")).to_have_count(1)
    expect(page.locator("[data-pending]")).to_contain_text("1 unsaved change")
    page.evaluate("() => { navigator.clipboard.readText = () => Promise.reject(new DOMException('no')); }")
    page.get_by_role("button", name="Paste into").first.click()
    page.get_by_label("Paste a condition or a rule here").fill(json.dumps(rule({"all": [BERN]})))
    page.get_by_role("button", name="Add it").click()
    expect(page.locator(".conds .cond--group .cond")).to_have_count(
        1
    )  # a whole rule comes as a group of its conditions
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new DOMException('no')); }")
    page.locator(".cond .more > summary").first.click()
    page.get_by_role("button", name="Copy", exact=True).first.click()
    expect(page.get_by_label("Copy this with Ctrl+C")).to_be_focused()


def test_a_new_segment_is_reviewed_and_its_missing_name_stands_at_its_field(console: Console) -> None:
    people()
    page = console.log_in("marketer")
    console.open("segments/segment/new/")
    write_rule(page, json.dumps(rule({"all": [BERN]})))
    save = page.get_by_role("button", name="Review and save")
    save.click()
    expect(page.get_by_text("A segment needs a name.")).to_be_visible()
    name = page.get_by_label("Name", exact=True)
    expect(name).to_be_focused()
    name.fill("People of Bern")
    shown = reviewed(page, lambda: page.keyboard.press("Enter"))
    expect(shown.locator(".rv-s--enter")).to_contain_text("8")
    console.look("review-new")
    shown.get_by_role("button", name="Save as a draft").click()
    expect(page.get_by_role("heading", name="People of Bern", level=1)).to_be_visible()
    console.open("segments/segment/new/")
    expect(page.locator("[data-pending]")).to_have_text("")
