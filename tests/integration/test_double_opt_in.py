"""Double opt-in from the yes to its confirmation: the link is sent, once or again but never not, and counts by a click alone."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from smtplib import SMTPRecipientsRefused, SMTPServerDisconnected
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection
from django.db.models import F
from django.test import Client, override_settings

from cdp.audit.models import AuditEntry
from cdp.erasure import erase_profile
from cdp.identity.merging import merge_profiles
from cdp.pages.sending import FIRST_WAIT, send_waiting, wait_after
from cdp.pages.sparing import APART, MOST_A_DAY, MOST_A_DAY_IN_ALL
from cdp.profiles.models import Identifier, Profile
from consent.choices import choices_of
from consent.models import Confirmation, ConsentRecord, Decision, Method, Purpose
from consent.querysets import permitted
from consent.services import record_decision, record_decisions
from tests.conftest import OwnDatabase
from tests.factories import BY, Tracker, identify, person, process_all, track, tracker
from tests.integration.notices import publish_notice

EMAIL = "marketing_email"
ADDRESS = "ann@example.com"
SITE = "https://data.shop.example"


@pytest.fixture(autouse=True)
def _site() -> Iterator[None]:
    cache.clear()
    with override_settings(PUBLIC_URL=SITE):
        yield
    cache.clear()


@pytest.fixture
def shop(db: None) -> Tracker:
    return opened()


def opened() -> Tracker:
    Purpose.objects.filter(key=EMAIL).update(needs_double_opt_in=True)
    shop = tracker()
    shop.send(identify("ann", traits={"email": ADDRESS, "language": "en"}))
    process_all()
    return shop


def say_yes(*, ago: timedelta = timedelta(minutes=1), **evidence: Any) -> Confirmation:
    record_decision(
        profile=person("ann"),
        purpose=Purpose.objects.get(key=EMAIL),
        decision=Decision.GRANTED,
        method=Method.FORM,
        at=datetime.now(UTC) - ago,
        by=BY,
        evidence=evidence,
    )
    return Confirmation.objects.latest("record__collected_at")


def allowed() -> bool:
    people = permitted(Profile.objects.all(), Purpose.objects.get(key=EMAIL))
    return people.filter(identifiers__value="ann").exists()


def sent() -> Any:
    send_waiting()
    return mail.outbox[-1]


def link_in(message: Any) -> str:
    found = re.search(rf"{SITE}(/confirm/\S+)", message.body)
    assert found
    return found[1]


# ---- The message ---------------------------------------------------------------------------------------------------


def test_a_yes_waits_for_its_confirmation_and_counts_by_a_click(shop: Tracker) -> None:
    say_yes()
    message = sent()
    assert message.to == [ADDRESS] and not allowed()
    client, url = Client(enforce_csrf_checks=True), link_in(message)
    assert b"Yes, I confirm" in client.get(url).content
    client.head(url)
    assert not allowed(), "programs that scan mail open links"
    assert b"counts from now on" in client.post(url).content
    assert allowed()
    record = ConsentRecord.objects.get(decision=Decision.GRANTED)
    assert record.method == Method.DOUBLE_OPT_IN
    again = client.post(url)
    assert again.status_code == 409 and b"confirmed already" in again.content
    assert ConsentRecord.objects.count() == 2


def test_the_message_is_text_and_page_and_one_click_on_it_says_no(shop: Tracker) -> None:
    publish_notice("form")
    say_yes()
    message = sent()
    page, kind = message.alternatives[0]
    assert kind == "text/html" and link_in(message) in page.replace("&amp;", "&")
    assert "Marketing email" in message.body and ADDRESS not in message.body + page
    headers = message.extra_headers
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    unsubscribe = headers["List-Unsubscribe"].strip("<>").removeprefix(SITE)
    assert Client().post(unsubscribe, {"List-Unsubscribe": "One-Click"}).status_code == 200
    refused = Client().post(link_in(message))
    assert refused.status_code == 409 and b"you said no" in refused.content
    assert not allowed()


@pytest.mark.parametrize(
    ("evidence", "trait", "words"),
    [({"language": "de"}, "en", "Bitte bestätigen"), ({}, "de-AT", "Bitte bestätigen"), ({}, "fr", "Please confirm"),
     ({"language": 7}, None, "Please confirm")],
)  # fmt: skip
def test_it_speaks_the_language_of_the_page_or_of_the_person(
    shop: Tracker, evidence: dict[str, Any], trait: str | None, words: str
) -> None:
    shop.send(identify("ann", traits={"language": trait}, ago=timedelta(0)))
    process_all()
    say_yes(**evidence)
    assert sent().subject.startswith(words)


def test_a_purpose_can_not_write_headers(shop: Tracker) -> None:
    Purpose.objects.filter(key=EMAIL).update(label="News\r\nBcc: all@example.com")
    say_yes()
    assert "\n" not in sent().subject and mail.outbox[-1].message()["Bcc"] is None


# ---- When it can't be sent -----------------------------------------------------------------------------------------


class Stubborn(BaseEmailBackend):
    """A mail server that answers as it is told to, message by message; then it takes all."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors, self.taken = list(errors), list[EmailMessage]()

    def send_messages(self, messages: Sequence[EmailMessage]) -> int:
        if self.errors:
            raise self.errors.pop(0)
        self.taken += messages
        return len(messages)


def due_now() -> None:
    Confirmation.objects.update(due_at=datetime.now(UTC))


@pytest.mark.parametrize(
    ("error", "code"),
    [(SMTPRecipientsRefused({ADDRESS: (550, b"no such user")}), "refused"), (SMTPServerDisconnected("x"), "no_connection"),
     (TimeoutError("timed out"), "no_connection"), (ConnectionRefusedError(), "no_connection")],
)  # fmt: skip
def test_what_the_server_refuses_is_tried_again_later_and_its_words_are_kept_nowhere(
    shop: Tracker, error: Exception, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    link = say_yes()
    server = Stubborn(error)
    assert (send_waiting(connection=server).failed, server.taken) == (1, [])
    link.refresh_from_db()
    assert (link.error, link.attempts, link.sent_at) == (code, 1, None)
    assert link.due_at > datetime.now(UTC) + FIRST_WAIT - timedelta(seconds=10)
    assert send_waiting(connection=server).sent == 0, "not before it is due"
    due_now()
    assert send_waiting(connection=server).sent == 1 and len(server.taken) == 1
    link.refresh_from_db()
    assert link.sent_at is not None and link.error == ""
    assert ADDRESS not in caplog.text + str(list(AuditEntry.objects.values_list("detail", flat=True)))


def test_waits_double_up_to_a_quarter_of_a_day() -> None:
    minutes = [wait_after(attempts).total_seconds() / 60 for attempts in range(1, 12)]
    assert minutes == [2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]
    assert wait_after(30_000) == timedelta(hours=6)


def test_who_has_no_address_gets_the_link_once_there_is_one(db: None) -> None:
    Purpose.objects.filter(key=EMAIL).update(needs_double_opt_in=True)
    shop = tracker()
    shop.send(track("Looked", "ann"))
    process_all()
    link = say_yes()
    send_waiting()
    link.refresh_from_db()
    assert (link.error, link.sent_at, mail.outbox) == ("no_address", None, [])
    shop.send(identify("ann", traits={"email": ADDRESS}))
    process_all()
    due_now()
    assert sent().to == [ADDRESS]


def test_without_a_public_address_nothing_is_sent_and_nothing_lost(shop: Tracker) -> None:
    link = say_yes()
    with override_settings(PUBLIC_URL=""):
        send_waiting()
    link.refresh_from_db()
    assert (link.error, mail.outbox) == ("no_public_address", [])
    due_now()
    assert sent().to == [ADDRESS]


def test_nobody_is_asked_who_has_said_no_meanwhile_or_is_gone(shop: Tracker) -> None:
    first = say_yes(ago=timedelta(minutes=5))
    record_decision(
        profile=person("ann"), purpose=Purpose.objects.get(key=EMAIL), decision=Decision.DENIED, method=Method.FORM,
        at=datetime.now(UTC) - timedelta(minutes=2), by=BY,
    )  # fmt: skip
    second = say_yes()
    erase_profile(profile=person("ann"), by=BY, reason="request 1")
    send_waiting()
    for link in (first, second):
        link.refresh_from_db()
        assert (link.error, link.due_at) == ("nobody", link.expires_at)
    assert mail.outbox == []


def test_a_yes_of_long_ago_asks_nobody_anything(shop: Tracker) -> None:
    """A history that is imported must not write to people about what they said a year ago."""
    say_yes(ago=timedelta(days=365))
    send_waiting()
    assert mail.outbox == [] and not allowed()


def test_a_link_that_has_ended_confirms_nothing(shop: Tracker) -> None:
    link = say_yes()
    url = link_in(sent())
    Confirmation.objects.filter(pk=link.pk).update(expires_at=datetime.now(UTC))
    for response in (Client().get(url), Client().post(url)):
        assert b"has ended" in response.content
    assert not allowed()


def test_a_link_follows_whoever_they_have_become_and_their_no_ends_it(shop: Tracker) -> None:
    shop.send(identify("bob", traits={"email": "bob@example.com"}))
    process_all()
    link = say_yes()
    merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="one person", by=BY)
    [choice] = [one for one in choices_of(person("bob").pk, at=datetime.now(UTC), also={link.record.profile_id})
                if one.purpose.key == EMAIL]  # fmt: skip
    assert choice.is_pending
    url = link_in(sent())
    assert b"counts from now on" in Client().post(url).content and allowed()
    again = say_yes()
    record_decision(
        profile=person("ann"), purpose=Purpose.objects.get(key=EMAIL), decision=Decision.WITHDRAWN, method=Method.FORM,
        at=datetime.now(UTC), by=BY,
    )  # fmt: skip
    due_now()
    send_waiting()
    again.refresh_from_db()
    assert again.error == "withdrawn_since" and not allowed()


def test_the_preference_centre_says_that_a_link_is_on_its_way(shop: Tracker) -> None:
    from tests.integration.test_own_pages import Visitor

    ann = Visitor(person("ann"))
    ann.look()
    assert "we send you a link by email" in ann.save(**{EMAIL: "yes"})
    assert "the link isn&#x27;t sent yet" in ann.look() or "the link isn't sent yet" in ann.page
    sent()
    assert "We sent you a link" in ann.look() and f'name="choice-{EMAIL}" value="yes" checked' in ann.page
    assert "Nothing was changed" in ann.save()
    Client().post(link_in(mail.outbox[-1]))
    assert "You said yes on" in ann.look()


# ---- Who didn't ask ------------------------------------------------------------------------------------------------


def test_a_strangers_letter_box_is_not_filled_however_often_somebody_types_their_address(shop: Tracker) -> None:
    """A form on a site can be sent a thousand times by a program; whoever is written to has asked for nothing."""
    for seconds in range(50, 0, -1):
        say_yes(ago=timedelta(seconds=seconds))
    assert send_waiting(limit=100).sent == 1 and len(mail.outbox) == 1
    assert Confirmation.objects.filter(error="superseded").count() == 49
    say_yes(ago=timedelta(0))
    send_waiting()
    link = Confirmation.objects.latest("record__collected_at")
    assert (len(mail.outbox), link.error) == (1, "sent_lately")
    assert timedelta(minutes=9) < link.due_at - datetime.now(UTC) <= APART, "who has lost the first gets another"
    for _ in range(5):
        Confirmation.objects.filter(sent_at__isnull=False).update(sent_at=F("sent_at") - APART)
        due_now()
        send_waiting()
        say_yes(ago=timedelta(0))
    assert len(mail.outbox) == MOST_A_DAY
    due_now()
    send_waiting()
    assert Confirmation.objects.latest("record__collected_at").due_at > datetime.now(UTC) + timedelta(hours=20)
    assert len({link_in(message) for message in mail.outbox}) == MOST_A_DAY
    assert b"counts from now on" in Client().post(link_in(mail.outbox[0])).content, "the first link goes on to work"
    due_now()
    send_waiting()
    assert Confirmation.objects.filter(sent_at=None).latest("record__collected_at").error in (
        "sent_lately",
        "confirmed_since",
    )
    assert allowed() and len(mail.outbox) == MOST_A_DAY


def test_nobody_is_written_to_without_end_for_one_purpose_after_the_other(shop: Tracker) -> None:
    Purpose.objects.bulk_create(
        Purpose(key=f"news{n}", label=f"News {n}", text="x", lawful_basis="consent", needs_double_opt_in=True)
        for n in range(MOST_A_DAY_IN_ALL + 3)
    )
    decisions = dict.fromkeys(Purpose.objects.filter(key__startswith="news"), Decision.GRANTED)
    record_decisions(profile=person("ann"), decisions=decisions, method=Method.FORM, at=datetime.now(UTC), by=BY)
    report = send_waiting()
    assert (report.sent, report.spared, report.failed) == (MOST_A_DAY_IN_ALL, 3, 0)


def test_an_address_that_no_message_can_have_keeps_no_other_from_being_sent(shop: Tracker) -> None:
    shop.send(identify("bob", traits={"email": "bob@example.com"}))
    process_all()
    Identifier.objects.filter(value=ADDRESS).update(value=f"ann@{'ü' * 70}.example")  # IDNA has no such label
    first = say_yes()
    record_decision(
        profile=person("bob"), purpose=Purpose.objects.get(key=EMAIL), decision=Decision.GRANTED, method=Method.FORM,
        at=datetime.now(UTC), by=BY,
    )  # fmt: skip
    send_waiting()
    first.refresh_from_db()
    assert first.error == "address_unusable" and [one.to for one in mail.outbox] == [["bob@example.com"]]


def test_links_that_wait_are_found_by_an_index(shop: Tracker) -> None:
    say_yes()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT 1 FROM consent_confirmation WHERE sent_at IS NULL AND used_at IS NULL AND due_at <= now()"
            " ORDER BY due_at LIMIT 1"
        )
        assert "consent_confirmation_due" in str(cursor.fetchall())


# ---- Killed while it sends -----------------------------------------------------------------------------------------

SENDER = """
import os, sys, time
import django
django.setup()
from django.core.mail.backends.base import BaseEmailBackend
from cdp.pages.sending import send_waiting
class Slow(BaseEmailBackend):
    def send_messages(self, messages):
        with open(sys.argv[1], "a") as file:
            for message in messages:
                file.write(message.to[0] + "\\n")
        time.sleep(0.15)
        return len(messages)
send_waiting(connection=Slow())
"""


def test_a_sender_that_is_killed_sends_at_most_a_repeat_and_loses_none(
    own_database: OwnDatabase, tmp_path: Any
) -> None:
    Purpose.objects.filter(key=EMAIL).update(needs_double_opt_in=True)
    shop, people = tracker(), [f"user{number}" for number in range(8)]
    shop.send(*(identify(user, traits={"email": f"{user}@example.com"}) for user in people))
    process_all()
    consent = {"consent": {"categoryPreferences": {EMAIL: True}}}
    shop.send(*(track("Segment Consent Preference Updated", user, context=consent) for user in people))
    process_all()
    assert Confirmation.objects.count() == len(people)
    out = tmp_path / "sent"
    environ = {**os.environ, **own_database.environ, "CDP_PUBLIC_URL": SITE, "DJANGO_SETTINGS_MODULE": "cdp.settings"}
    kills = 3
    for _ in range(kills):
        before = len(out.read_text().split()) if out.exists() else 0
        process = subprocess.Popen([sys.executable, "-c", SENDER, str(out)], env=environ)
        patience = time.monotonic() + 60
        while not (out.exists() and len(out.read_text().split()) > before) and time.monotonic() < patience:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    due_now()
    subprocess.run([sys.executable, "-c", SENDER, str(out)], env=environ, check=True)
    got = out.read_text().split()
    assert set(got) == {f"{user}@example.com" for user in people}, "none is lost"
    assert len(got) <= len(people) + kills, "a kill costs one repeat"
    assert not Confirmation.objects.filter(sent_at__isnull=True).exists()
