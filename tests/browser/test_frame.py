"""The frame around every screen: logging in, what each role may open, the keyboard, light and dark."""

from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD, Console
from tests.browser.looks import NARROW


def test_a_wrong_password_is_refused_and_the_right_one_lets_in(console: Console) -> None:
    page = console.open("")
    console.look("login")
    page.get_by_label("Username").fill("marketer")
    page.get_by_label("Password").fill("something else")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("correct username and password")
    console.look("login-refused")

    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Home", level=1)).to_be_visible()

    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="You are logged out")).to_be_visible()
    console.look("logged-out")


def test_each_role_sees_only_the_screens_it_may_open(console: Console) -> None:
    offered = {
        "marketer": {
            "Home",
            "Segments",
            "Lists",
            "Audiences",
            "Exports",
            "Webhooks",
            "Personas",
            "RFM",
            "Clusters",
            "Content",
            "People",
            "Consent rates",
            "Notices",
            "Purposes",
            "Traits",
            "Events",
            "Jobs",
        },
        "compliance": {
            "Home",
            "Segments",
            "Lists",
            "Audiences",
            "Exports",
            "Webhooks",
            "Personas",
            "RFM",
            "Clusters",
            "Content",
            "People",
            "Privacy requests",
            "Consent trail",
            "Imports",
            "Consent conflicts",
            "Consent rates",
            "Notices",
            "Purposes",
            "Retention",
            "Record of processing",
            "Breach",
            "Audit",
            "Traits",
            "Events",
            "Jobs",
        },
        "integrator": {
            "Home",
            "Segments",
            "Lists",
            "Content",
            "Audiences",
            "Exports",
            "Webhooks",
            "Health",
            "Sources",
            "Tracking plan",
            "Traits",
            "Events",
            "Quarantine",
            "Jobs",
            "API keys",
        },
        "newcomer": {"Home"},
    }
    for role, screens in offered.items():
        page = console.log_in(role)
        links = page.get_by_role("navigation", name="Main").get_by_role("link").all()
        names = {link.inner_text().strip() for link in links} - {""}
        assert names == screens, role
        console.log_out()


def test_a_screen_beyond_the_role_says_so_and_leads_back(console: Console) -> None:
    page = console.log_in("marketer")
    console.open("ingestion/quarantined/")
    expect(page.get_by_role("heading", name="You can't see this screen", level=1)).to_be_visible()
    console.look("no-permission")
    page.get_by_role("link", name="Go to Home").click()
    expect(page.get_by_role("heading", name="Home", level=1)).to_be_visible()

    console.open("segments/segment/00000000-0000-0000-0000-000000000000/")
    expect(page.get_by_role("heading", name="There is nothing here", level=1)).to_be_visible()
    console.look("not-found")


def test_every_entry_of_the_sidebar_leads_to_a_screen_even_when_there_is_no_data(console: Console) -> None:
    page = console.log_in("admin")
    links = page.get_by_role("navigation", name="Main").get_by_role("link").all()
    targets = [(link.inner_text().strip(), link.get_attribute("href")) for link in links]
    for name, href in targets:
        if not name:
            continue
        response = page.goto(f"{console.url}{href}")
        assert response is not None and response.status == 200, name
        expect(page.locator("h1")).to_have_count(1)
        expect(page.locator("nav [aria-current=page]").first).to_contain_text(name)
        console.look(f"empty-{name.lower().replace(' ', '-')}")


def test_the_console_is_used_by_keyboard_alone(console: Console) -> None:
    page = console.log_in("admin")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()

    page.keyboard.press("/")
    expect(page.get_by_label("Find a person by any identifier")).to_be_focused()
    page.keyboard.type("nobody@example.com")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nobody has this identifier")).to_be_visible()


def test_the_menu_of_a_narrow_window_opens_and_leads_on(console: Console) -> None:
    page = console.log_in("admin")
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    expect(page.get_by_role("link", name="Jobs", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()


def test_the_chosen_theme_stays_on_the_next_page(console: Console) -> None:
    page = console.log_in("admin")
    page.get_by_role("button", name="Light or dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("link", name="Segments", exact=True).first.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Light or dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
