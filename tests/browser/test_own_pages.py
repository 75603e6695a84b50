"""People's own pages in a browser: somebody opens their link, changes their mind, and sees that it counts."""

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.core import mail
from django.test import override_settings
from playwright.sync_api import Browser, Locator, Page, expect

from cdp.pages import sending
from consent.links import Kind, token
from consent.models import ConsentState, Decision, Method, Purpose
from consent.services import record_decision
from tests.browser.conftest import Console
from tests.browser.looks import picture
from tests.factories import BY, identify, person, process_all, tracker
from tests.integration.notices import publish_notice

EMAIL, SMS = "marketing_email", "sms"
WORDS = (EMAIL, SMS, "personalisation", "analytics", "partner_offers", "internal_analysis")


@pytest.fixture
def link(console: Console) -> str:
    """The address of Ann's preference centre, with a little of everything on it."""
    shop = tracker()
    shop.send(identify("ann", traits={"email": "ann@example.com"}))
    process_all()
    Purpose.objects.filter(key=SMS).update(needs_double_opt_in=True)
    Purpose.objects.filter(key=EMAIL).update(lifetime_days=365)
    parent = Purpose.objects.get(key=EMAIL)
    Purpose.objects.create(
        key="birthday", label="Birthday letters", text="Once a year, with a small present.", lawful_basis="consent",
        parent=parent, channel="email",
    )  # fmt: skip
    Purpose.objects.create(
        key="orders", label="Your orders", text="To send what you bought.", lawful_basis="contract", mode="notice_only"
    )
    for locale, title in (("en", "What may we do with your data?"), ("de", "Was dürfen wir mit Ihren Daten tun?")):
        publish_notice("preference_centre", locale=locale, purposes=WORDS, title=title)
    said(EMAIL, Decision.GRANTED, days_ago=345)
    said("analytics", Decision.DENIED, days_ago=3)
    return f"{console.url}/privacy/{token(Kind.PREFERENCES, person('ann').uuid)}/"


def said(purpose: str, decision: Decision, *, days_ago: int) -> None:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    one = Purpose.objects.get(key=purpose)
    record_decision(profile=person("ann"), purpose=one, decision=decision, method=Method.FORM, at=at, by=BY)


def state(purpose: str) -> str:
    return ConsentState.objects.get(profile=person("ann"), purpose__key=purpose).decision


def group(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name=name, exact=False).first


def test_somebody_opens_their_link_takes_a_yes_back_and_sees_it(console: Console, link: str) -> None:
    page = console.page
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text("What may we do with your data?")
    console.look("own-preferences")
    email = group(page, "Marketing email")
    expect(email.get_by_role("radio", name="Yes")).to_be_checked()
    # A yes and a no are two presses each.
    email.get_by_role("radio", name="No").check()
    page.get_by_role("button", name="Save my choices").click()
    expect(page.get_by_role("status")).to_contain_text("“Marketing email (en)”: you took your yes back.")
    console.look("own-preferences-saved")
    assert state(EMAIL) == Decision.WITHDRAWN
    group(page, "Marketing email").get_by_role("radio", name="Yes").check()
    page.get_by_role("button", name="Save my choices").click()
    expect(page.get_by_role("status")).to_contain_text("you said yes")
    assert state(EMAIL) == Decision.GRANTED


def test_no_to_everything_is_one_press_and_looks_like_the_other_button(console: Console, link: str) -> None:
    page = console.page
    page.goto(link)
    save, no = (page.get_by_role("button", name=name) for name in ("Save my choices", "Say no to everything"))
    styles = [one.evaluate("e => { const s = getComputedStyle(e); return [s.color, s.backgroundColor, s.fontSize, s.fontWeight,"
                           " s.borderColor, e.offsetHeight, e.offsetWidth].join() }") for one in (save, no)]  # fmt: skip
    assert styles[0] == styles[1]
    no.click()
    expect(page.get_by_role("status")).to_contain_text("you took your yes back")
    for box in page.get_by_role("radio", name="No").all():
        expect(box).to_be_checked()


def test_it_is_used_by_keyboard_alone(console: Console, link: str) -> None:
    page = console.page
    page.goto(link)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_attribute("name", "choice-analytics")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("“Analytics (en)”: you said yes")


def test_it_speaks_german(console: Console, link: str) -> None:
    page = console.page
    page.goto(link)
    page.get_by_role("link", name="Deutsch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Was dürfen wir mit Ihren Daten tun?")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    console.look("own-preferences-german")
    page.get_by_role("button", name="Zu allem Nein sagen").click()
    expect(page.get_by_role("status")).to_contain_text("Sie haben Ihr Ja zurückgenommen")


def test_it_works_without_scripts(browser: Browser, console: Console, link: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(link)
    group(page, "Marketing email").get_by_role("radio", name="No").check()
    page.get_by_role("button", name="Save my choices").click()
    expect(page.get_by_role("status")).to_contain_text("you took your yes back")
    assert context.cookies() == []
    context.close()
    assert state(EMAIL) == Decision.WITHDRAWN


def test_a_yes_that_ends_soon_is_renewed(console: Console, link: str) -> None:
    page = console.page
    page.goto(link)
    page.get_by_role("checkbox", name="Go on with my yes").check()
    page.get_by_role("button", name="Save my choices").click()
    expect(page.get_by_role("status")).to_contain_text("your yes begins anew")
    expect(page.get_by_role("checkbox", name="Go on with my yes")).to_have_count(0)


def test_double_opt_in_from_the_page_through_the_message_to_the_button(console: Console, link: str) -> None:
    mail.outbox = []
    page = console.page
    page.goto(link)
    group(page, "SMS").get_by_role("radio", name="Yes").check()
    page.get_by_role("button", name="Save my choices").click()
    expect(page.get_by_role("status")).to_contain_text("we send you a link by email")
    backend = "django.core.mail.backends.locmem.EmailBackend"
    with override_settings(PUBLIC_URL=console.url, EMAIL_BACKEND=backend):
        assert sending.send_waiting().sent == 1
    [message] = mail.outbox
    page.goto(link)
    expect(group(page, "SMS")).to_contain_text("We sent you a link")
    console.look("own-preferences-pending")

    page.goto("about:blank")  # a mail program, whose rules on styles are its own
    page.set_content(str(message.alternatives[0][0]))
    picture(page, "own-mail")
    page.get_by_role("link", name="Confirm my yes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your yes")
    console.look("own-confirm")
    assert not ConsentState.objects.filter(purpose__key=SMS).exists()
    page.get_by_role("button", name="Yes, I confirm").click()
    expect(page.get_by_role("status")).to_contain_text("counts from now on")
    console.look("own-confirmed")
    assert state(SMS) == Decision.GRANTED


def test_unsubscribing_is_one_button(console: Console, link: str) -> None:
    page = console.page
    page.goto(f"{console.url}/unsubscribe/{token(Kind.UNSUBSCRIBE, person('ann').uuid, EMAIL)}")
    console.look("own-unsubscribe")
    assert state(EMAIL) == Decision.GRANTED
    page.get_by_role("button").click()
    expect(page.get_by_role("status")).to_contain_text("You have said no to “Marketing email (en)”")
    console.look("own-unsubscribed")
    assert state(EMAIL) == Decision.WITHDRAWN


def test_links_that_lead_nowhere_say_so_calmly(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    page = console.page
    page.goto(f"{console.url}/privacy/made-up/")
    expect(page.get_by_role("heading", level=1)).to_have_text("This link leads to nothing")
    console.look("own-unknown")
    with monkeypatch.context() as long_ago:
        made_at = time.time() - 31 * 86_400
        long_ago.setattr(time, "time", lambda: made_at)
        ended = token(Kind.PREFERENCES, uuid4())
    page.goto(f"{console.url}/privacy/{ended}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("This link has ended")
    console.look("own-ended")
