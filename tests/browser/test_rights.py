"""Each right, tried as those who have it would: somebody takes a yes back, asks for their data and to be erased; an officer answers,
and proves what held on a day that has passed."""

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from cdp.audit.sequencing import sequence
from cdp.audit.signing import Signer, load_signer, make_key
from cdp.privacy.models import PrivacyRequest
from cdp.profiles.models import Profile
from consent.links import Kind, token
from consent.models import Decision, Method, NoticeVersion, Purpose
from consent.notices import serve
from consent.querysets import permitted
from consent.services import Shown, record_decisions
from tests.browser.conftest import Console
from tests.browser.test_privacy_screens import work
from tests.factories import BY, identify, person, process_all, track, tracker
from tests.harness.processes import Processes

EMAIL = "marketing_email"


@pytest.fixture
def process_environ(tmp_path: Path) -> dict[str, str]:
    """A site that signs its log, keeps files and sends mail; without a mail server, to its console."""
    return {
        "CDP_PUBLIC_URL": "https://data.shop.example",
        "CDP_AUDIT_KEY": str(tmp_path / "key.pem"),
        "CDP_PRIVACY_EXPORTS": str(tmp_path / "exports"),
    }


@pytest.fixture
def live_site(processes: Processes) -> str:
    """A real web server: this walk goes through all of it as people will."""
    return processes.web()


@pytest.fixture
def signer(settings: Any, tmp_path: Path) -> Signer:
    settings.AUDIT_KEY, settings.PRIVACY_EXPORT_DIR = str(tmp_path / "key.pem"), str(tmp_path / "exports")
    make_key(tmp_path / "key.pem")
    return load_signer(tmp_path / "key.pem", name=settings.AUDIT_ORIGIN)


@pytest.fixture
def erika(console: Console) -> str:
    """The address of her preference centre. Three weeks ago she was asked, and said yes."""
    shop, weeks_ago = tracker(), timezone.now() - timedelta(days=21)
    shop.send(
        identify("erika", traits={"email": "erika@example.com", "country": "DE"}, ago=timedelta(days=30)),
        track("Order Completed", "erika", ago=timedelta(days=25)),
    )
    process_all()
    version = NoticeVersion.objects.get(notice__key="preference_centre", locale="en", number=1)
    served = serve(version=version, place="/privacy/", served_at=weeks_ago - timedelta(minutes=1))
    record_decisions(
        profile=person("erika"),
        decisions={Purpose.objects.get(key=EMAIL): Decision.GRANTED},
        method=Method.PREFERENCE_CENTRE,
        at=weeks_ago,
        by=BY,
        shown=Shown(version_id=version.pk, served_id=served.pk),
        jurisdiction="DE",
    )
    return f"{console.url}/privacy/{token(Kind.PREFERENCES, person('erika').uuid)}/"


def asks(console: Console, address: str, wish: str, sent: Path) -> None:
    """From her preference centre to the end: the wish, the mail, the button."""
    page = console.page
    page.goto(address)
    page.get_by_role("link", name="Ask for your data, or have it erased").click()
    console.look("rights-ask")
    page.get_by_label(wish).check()
    page.get_by_role("button", name="Send me the link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Look into your mail")
    console.look("rights-asked")
    links = re.findall(r"^https://data\.shop\.example(/prove/\S+)", sent.read_text(), flags=re.M)
    page.goto(console.url + links[-1])
    console.look("rights-prove")
    page.get_by_role("button", name="Yes, it was me").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("We have begun")
    work()


def may_be_written_to() -> bool:
    return permitted(Profile.objects.filter(pk=person("erika").pk), Purpose.objects.get(key=EMAIL)).exists()


def test_every_right_from_the_link_in_a_mail_to_the_proof_for_a_judge(
    console: Console, erika: str, signer: Signer, tmp_path: Path
) -> None:
    page, sent = console.page, tmp_path / "processes" / "01-web.log"
    # She takes her yes back.
    assert may_be_written_to()
    page.goto(erika)
    page.get_by_role("group", name="Marketing email").first.get_by_role("radio", name="No").check()
    page.get_by_role("button", name="Save my choices").click()
    expect(page.get_by_role("status")).to_contain_text("Marketing email")
    console.look("rights-withdrawn")
    assert not may_be_written_to()

    # She asks for her data; an officer hands it over.
    asks(console, erika, "Give me a copy of my data", sent)
    access = PrivacyRequest.objects.get()
    console.log_in("compliance")
    console.open(f"privacy/privacyrequest/{access.uuid}/")
    expect(page.locator("#request-state")).to_contain_text("Done")
    console.look("rights-answered")
    with page.expect_download() as copy:
        page.get_by_role("button", name="Download").click()
    with ZipFile(copy.value.path()) as archive:
        names = archive.namelist()
        told = "".join(archive.read(name).decode() for name in names if name.endswith((".json", ".html", ".csv")))
    assert "erika@example.com" in told and "Order Completed" in told and "<script src" not in told

    # The officer proves that two weeks ago, before she took it back, there was a yes, and to which words.
    sequence(signer)
    then = (timezone.localtime() - timedelta(days=14)).strftime("%Y-%m-%dT%H:%M:%S")
    console.open(f"profiles/profile/{person('erika').uuid}/consent/?at={then}")
    with page.expect_download() as proof:
        page.get_by_role("link", name="Proof of Marketing email").click()
    with ZipFile(proof.value.path()) as bundle:
        bundle.extractall(tmp_path / "bundle")
    (tmp_path / "public-key.txt").write_text(f"{signer.key}\n")
    (checker,) = (tmp_path / "bundle").rglob("check.py")
    checked = subprocess.run(
        [sys.executable, str(checker), "--key", str(tmp_path / "public-key.txt")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0 and "VALID" in checked.stdout, checked.stdout + checked.stderr
    console.log_out()

    # She asks to be erased. Her link leads to nothing afterwards, and the officer sees what was done.
    asks(console, erika, "Erase my data", sent)
    assert not Profile.objects.filter(identifiers__value="erika@example.com").exists()
    page.goto(erika)
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("choices")
    console.look("rights-erased")
    erasure = PrivacyRequest.objects.get(kind="erasure")
    console.log_in("compliance")
    console.open(f"privacy/privacyrequest/{erasure.uuid}/")
    expect(page.locator("#request-state")).to_contain_text("Done")
    assert "erika@example.com" not in page.content()
