"""Your account: an app and a passkey are set up and used at the log-in; whoever lost them is let in again."""

import re
import time

from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD, Console


def code(secret: str, *, steps: int = 0) -> str:
    from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value

    return format_hotp_value(hotp_value(secret.replace(" ", ""), int(time.time()) // 30 + steps))


def passwords_are_typed(console: Console) -> None:
    console.page.get_by_label("Username").fill("admin")
    console.page.get_by_label("Password").fill(PASSWORD)
    console.page.get_by_role("button", name="Log in").click()


def test_somebody_protects_their_account_and_logs_in_with_app_and_passkey(console: Console) -> None:
    # An address by number has no passkeys.
    console.url = console.url.replace("127.0.0.1", "localhost")
    page = console.log_in("admin")
    device = page.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    device.send("WebAuthn.addVirtualAuthenticator", {"options": options})

    page.get_by_role("link", name="Your account").click()
    console.look("account-without-factors")
    page.get_by_role("link", name="Set up an app").click()
    secret = page.locator(".secret code").inner_text()
    console.look("account-app")
    page.get_by_label("2. The code that the app shows now").fill(code(secret))
    page.get_by_role("button", name="Set it up").click()
    page.get_by_role("button", name="Make ten codes").click()
    expect(page.get_by_role("list", name="Your codes").get_by_role("listitem")).to_have_count(10)
    console.look("account-codes")
    page.get_by_role("link", name="I have them").click()
    page.get_by_role("link", name="Add a passkey").click()
    console.look("account-passkey")
    page.get_by_label("Name").fill("Work laptop")
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_role("rowheader", name=re.compile("Work laptop"))).to_be_visible()
    console.look("account")

    console.log_out()
    console.open("login/?next=/admin/")
    passwords_are_typed(console)
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    console.look("second-factor")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Home", level=1)).to_be_visible()

    console.log_out()
    console.open("login/?next=/admin/")
    passwords_are_typed(console)
    page.get_by_label("Code from your app").fill("000000")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_contain_text("not right")
    page.get_by_label("Code from your app").fill(code(secret, steps=1))
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="Home", level=1)).to_be_visible()

    page.get_by_role("link", name="Lockouts").click()
    console.look("lockouts")
    from django.contrib.auth.models import User

    console.open(f"auth/user/{User.objects.get(username='admin').pk}/factors/")
    console.look("user-factors")
