"""The screens of consent as compliance staff use them: the trail, a record and its proof, words and rates, conflicts, purposes."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.conftest import Console
from tests.factories import BY, identify, person, process_all, tracker


@pytest.fixture
def told(settings: Any, tmp_path: Path) -> None:
    """Forty people who were asked by two versions of the banner over some weeks; two of them proved to be one."""
    from cdp.audit.sequencing import sequence
    from cdp.audit.signing import load_signer, make_key
    from cdp.identity.merging import merge_profiles
    from consent.models import Decision, Method, Notice, NoticeVersion, Purpose
    from consent.notices import content_of, publish, serve
    from consent.services import Shown, record_decisions

    make_key(tmp_path / "key.pem")
    settings.AUDIT_KEY = str(tmp_path / "key.pem")
    source, now = tracker(), timezone.now()
    users = [f"u{n}" for n in range(40)]
    source.send(*(identify(user, traits={"email": f"{user}@example.com"}, ago=timedelta(days=60)) for user in users))
    process_all()
    banner = Notice.objects.get(key="banner")
    first = NoticeVersion.objects.get(notice=banner, locale="en", number=1)
    words = content_of(first)
    second = publish(
        notice=banner, locale="en", by=BY,
        content=type(words)(**{**{name: getattr(words, name) for name in words.__struct_fields__},
                               "text": "You decide. The shop works without any of these, and you can change your mind at any time."}),
    )  # fmt: skip
    purpose = Purpose.objects.get(key="personalisation")
    for n, user in enumerate(users):
        version = second if n % 2 else first
        at = now - timedelta(days=n % 35, minutes=n)
        served = serve(version=version, place="https://boat.example/", served_at=at - timedelta(seconds=9))
        said = Decision.GRANTED if n % 2 or n % 5 == 0 else Decision.DENIED
        record_decisions(
            profile=person(user), decisions={purpose: said}, method=Method.BANNER, at=at, by=BY, jurisdiction="DE",
            shown=Shown(version_id=version.pk, served_id=served.pk),
        )  # fmt: skip
    record_decisions(
        profile=person("u1"), decisions={purpose: Decision.WITHDRAWN}, method=Method.PREFERENCE_CENTRE,
        at=now - timedelta(days=3, hours=2), by=BY,
    )  # fmt: skip
    merge_profiles(survivor=person("u3"), absorbed=person("u4"), reason="email and phone of both", by=BY)
    sequence(load_signer(tmp_path / "key.pem", name=settings.AUDIT_ORIGIN))


def test_an_officer_follows_a_decision_to_its_proof(console: Console, told: None) -> None:
    page = console.log_in("compliance")
    console.open("consent/consentrecord/")
    expect(page.locator("tbody tr")).to_have_count(42)
    console.look("consent-trail")
    page.get_by_text("More filters").click()
    page.get_by_label("Only what we learned late").check()
    page.locator("#id_decision").select_option("withdrawn")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("later")
    with page.expect_download() as taken:
        page.get_by_role("link", name="Export CSV").click()
    assert Path(taken.value.path()).read_text().count("\n") == 2

    page.locator("tbody th a").click()
    expect(page.get_by_text("Verified")).to_be_visible()
    page.locator("tbody tr").first.get_by_role("link").click()
    expect(page.get_by_text("You decide. The shop works")).to_be_visible()
    console.look("consent-record")
    with page.expect_download() as proof:
        page.get_by_role("link", name="Proof bundle").click()
    assert proof.value.suggested_filename.startswith("consent-proof-personalisation-")

    console.open(f"profiles/profile/{person('u1').uuid}/consent/")
    console.look("consent-at")
    with page.expect_download():
        page.get_by_role("link", name="Proof of Personalisation").click()

    console.open("consent/consentrecord/?person=nobody")
    expect(page.get_by_role("heading", name="No such decisions")).to_be_visible()
    console.look("consent-trail-empty")


def test_an_officer_writes_new_words_and_sees_what_differs_while_writing(console: Console, told: None) -> None:
    from consent.models import NoticeVersion

    page = console.log_in("compliance")
    console.open("consent/notice/")
    console.look("notices")
    page.get_by_role("link", name="Banner", exact=True).click()
    console.look("notice")
    page.get_by_role("link", name="Publish new words").click()
    console.look("notice-publish")
    page.get_by_label("Title", exact=False).first.fill("May we, please?")
    expect(page.locator("#preview ins")).to_contain_text("we, please?")
    expect(page.locator("#preview .seen-t")).to_have_text("May we, please?")
    console.look("notice-publish-changed")
    page.get_by_role("button", name="Publish version 3").click()
    expect(page.get_by_role("status")).to_contain_text("Version 3 in en")

    page.get_by_role("link", name="Version 3").click()
    console.look("notice-version")
    console.open("consent/notice/banner/compare/")
    expect(page.get_by_label("To", exact=True)).to_have_value(
        str(NoticeVersion.objects.get(notice__key="banner", locale="en", number=3).pk)
    )
    page.get_by_label("From").select_option(label="English (en), version 1")
    page.get_by_label("To", exact=True).select_option(label="English (en), version 3")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".df del").first).to_be_visible()
    console.look("notice-compare")

    console.open("consent/notice/new/")
    console.look("notice-new")
    page.get_by_label("Label").fill("Checkout form")
    page.get_by_label("Key").fill("checkout")
    page.get_by_role("button", name="Make it").click()
    page.get_by_role("button", name="Publish version 1").click()
    expect(page.get_by_text("This field is required").first).to_be_visible()
    console.look("notice-publish-errors")


def test_which_words_earn_trust_is_read_off(console: Console, told: None) -> None:
    page = console.log_in("marketer")
    console.open("consent/rates/?purpose=personalisation")
    expect(page.get_by_text("More than chance")).to_be_visible()
    page.get_by_text("As a table").click()
    console.look("consent-rates")
    page.get_by_label("Purpose").select_option("sms")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="Nobody has answered")).to_be_visible()
    console.look("consent-rates-empty")


def test_a_conflict_is_looked_into_and_settled(console: Console, told: None) -> None:
    page = console.log_in("compliance")
    page.get_by_role("link", name="1 consent conflict").click()
    console.look("conflicts")
    page.locator("tbody th a").click()
    expect(page.get_by_text("Of two answers the stricter holds")).to_be_visible()
    console.look("conflict")
    page.get_by_label("What you found").fill("One phone, two accounts.")
    page.get_by_role("button", name="Settle").click()
    expect(page.get_by_role("heading", name="No open conflicts")).to_be_visible()
    console.look("conflicts-empty")
    page.get_by_role("link", name="Settled").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    console.look("conflicts-settled")


def test_a_purpose_is_put_beneath_another_with_the_noes_it_carries(console: Console, told: None) -> None:
    page = console.log_in("admin")
    console.open("consent/purpose/")
    page.get_by_role("link", name="Targeted ads").click()
    console.look("purpose-form")
    page.get_by_label("Parent").select_option(label="Personalisation")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("people have said no to Personalisation")).to_be_visible()
    console.look("purpose-form-noes")
    page.get_by_label("Carry the noes down").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("counts for it now, too")
    console.look("purposes-tree")
