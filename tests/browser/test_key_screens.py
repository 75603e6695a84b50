"""The screens of API keys, used as a person would: a key is made with limits, limited further, and replaced."""

from playwright.sync_api import expect

from tests.browser.conftest import Console


def test_a_key_is_made_limited_and_replaced(console: Console) -> None:
    page = console.log_in("integrator")
    console.open("rest/apikey/new/")
    page.get_by_label("Name").fill("Mail tool")
    page.get_by_label("Read segments segments:read").check()
    page.get_by_label("Used from").fill("the office")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_text("is no network")).to_be_visible()
    console.look("api-key-new-refused")
    page.get_by_label("Used from").fill("203.0.113.0/24\n2001:db8::/32")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_text("Copy it now.")).to_be_visible()

    console.open("rest/apikey/")
    page.get_by_role("link", name="Mail tool").click()
    expect(page.get_by_text("no purpose, so it reads nobody")).to_be_visible()
    page.get_by_role("link", name="Change the limits").click()
    page.get_by_label("Every purpose, those that are added later too").check()
    console.look("api-key-limits")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("The limits of Mail tool are changed.")
    console.look("api-key-with-limits")

    page.get_by_label("This one ends").select_option("A week later")
    page.get_by_role("button", name="Make the new key").click()
    expect(page.get_by_text("It sees the segments that")).to_be_visible()
    console.look("api-key-replaced")
    console.open("rest/apikey/")
    expect(page.get_by_text("Ends soon")).to_be_visible()
    console.look("api-keys-in-a-line")
