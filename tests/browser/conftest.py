"""A browser at the console: it logs in, looks at screens as a person would, and fails on whatever a person can't see.

`Console.look` is the bar for every screen: no error in the browser's console, nothing that the CSP had to refuse, and
what `looks` asks of every page. What screens do is in the tests.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from django.test import override_settings
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.browser.looks import WIDE, look
from tests.conftest import OwnDatabase
from tests.harness.sites import platform

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "a-long-enough-password"


@dataclass
class Console:
    """One reader with a window."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.page.url}: {error}"))
        self.page.on("dialog", lambda dialog: dialog.accept())

    def _hear(self, message: ConsoleMessage) -> None:
        # A refused form is answered 409 or 422 on purpose, a closed door 403; Chromium logs those as errors.
        # So is a request that a newer one replaced; htmx says so of the request's end, too.
        on_purpose = ("the server responded with a status of 4", "htmx:sendAbort", "htmx:afterRequest")
        if message.type in {"error", "warning"} and not any(words in message.text for words in on_purpose):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def pardon(self, words: str) -> None:
        """Forgets the one complaint with these words, which comes when the browser gets to it; others stay."""
        patience = 100
        while not (told := [one for one in self.complaints if words in one]) and patience:
            self.page.wait_for_timeout(50)
            patience -= 1
        assert len(told) == 1, self.complaints
        self.complaints.remove(told[0])

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.url}/admin/{path}")
        return self.page

    def log_in(self, username: str) -> Page:
        """As this user, through the real form."""
        self.page.goto(f"{self.url}/admin/login/?next=/admin/")
        self.page.get_by_label("Username").fill(username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_role("heading", name="Home", level=1).wait_for()
        return self.page

    def log_out(self) -> None:
        """And waits for the answer: opening the next page sooner would take the request back."""
        self.page.get_by_role("button", name="Log out").click()
        self.page.get_by_role("heading", name="You are logged out").wait_for()

    def look(self, name: str, *, is_pictured: bool = True, is_quick: bool = False) -> None:
        """Fails unless this screen can be used by everybody, and nothing complained on the way to it."""
        look(self.page, name, is_pictured=is_pictured, is_quick=is_quick)
        assert not self.complaints, self.complaints


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    # Playwright's loop runs in this thread, and Django takes any loop for a sign of asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def _platform() -> Iterator[str]:
    with override_settings(WHITENOISE_AUTOREFRESH=False), platform() as url:
        yield url


@pytest.fixture
def live_site(own_database: OwnDatabase, _platform: str) -> str:
    """URL of the platform on `own_database`, answered by this process: what screens show is not the web server's doing.

    So `settings` of a test hold for it, too. What needs a real one (`test_rights`) overrides this fixture.
    """
    return _platform


@pytest.fixture
def console(browser: Browser, live_site: str) -> Iterator[Console]:
    """A window on a real web server, with one user for each role."""
    from django.contrib.auth.models import Group, User

    from cdp.ingestion import keys
    from cdp.profiles import catalogue
    from cdp.profiles.models import Workspace
    from segments import live

    for module in (catalogue, keys, live):
        module.forget()
    for name in ("marketer", "compliance", "integrator", "admin"):
        user = User.objects.create_user(name, password=PASSWORD, is_staff=True)
        user.groups.add(Group.objects.get(name=name))
    User.objects.create_user("newcomer", password=PASSWORD, is_staff=True)
    workspace = Workspace.current()
    workspace.name, workspace.is_simulated, workspace.time_zone = "Paper Boat Goods", True, "Europe/Berlin"
    workspace.save()
    context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]}, reduced_motion="reduce")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(8000)
    console = Console(context.new_page(), live_site)
    console.listen()
    yield console
    context.close()
    assert not console.complaints, console.complaints
