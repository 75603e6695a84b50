"""Sends the links that wait to be sent, one at a time: take it up, commit, send, say that it was sent.

Taking it up moves on when it is tried next, so that of one whose sender was killed a repeat is sent later, and none is lost.
What a message says is in `cdp.pages.letters`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from smtplib import (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPSenderRefused,
    SMTPServerDisconnected,
)
from typing import Final
from uuid import UUID

from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.identity import ledger
from cdp.logs import get_logger
from cdp.pages import letters, sparing
from cdp.profiles.models import Profile
from consent.models import Confirmation

log = get_logger(__name__)

BY: Final = Actor.system("confirmations")
AT_ONCE: Final = 200
# Longer than a mail server may take to answer, or somebody else would send what is being sent.
FIRST_WAIT: Final = timedelta(minutes=2)
LONGEST_WAIT: Final = timedelta(hours=6)
# What the mail server may answer, as codes. Its own words repeat the address.
CODES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (SMTPRecipientsRefused, "refused"),
    (SMTPSenderRefused, "sender_refused"),
    (SMTPAuthenticationError, "log_in_refused"),
    (SMTPServerDisconnected, "no_connection"),
    (SMTPConnectError, "no_connection"),
    (SMTPException, "not_accepted"),
    (OSError, "no_connection"),
    (ValueError, "address_unusable"),  # no mail program could write it into a message
)
# A message for which there is no longer any reason.
OVER: Final = frozenset({"nobody", "withdrawn_since", "confirmed_since", "superseded"})
# One for which it is too soon after another.
SENT_LATELY: Final = "sent_lately"


@dataclass(slots=True)
class Report:
    sent: int = 0
    failed: int = 0
    # For which there is no reason any more, or not yet.
    spared: int = 0


def send_waiting(*, limit: int = AT_ONCE, connection: BaseEmailBackend | None = None) -> Report:
    """How many links were sent, and how many couldn't be for now. Any number of processes may do this at once."""
    report = Report()
    tried: set[UUID] = set()
    mail = connection or get_connection()
    try:
        while len(tried) < limit and (link_id := _take_up()) is not None and link_id not in tried:
            tried.add(link_id)
            error, due_at = _send(link_id, mail)
            _say(link_id, error, due_at)
            is_spared = error == SENT_LATELY or error in OVER
            report.sent += not error
            report.spared += is_spared
            report.failed += bool(error) and not is_spared
    finally:
        mail.close()
    if report.failed:
        log.warning("confirmations_not_sent", count=report.failed, sent=report.sent)
    return report


def wait_after(attempts: int) -> timedelta:
    """How long after so many tries the next one is due: doubling, up to a quarter of a day."""
    return min(FIRST_WAIT * 2 ** min(attempts - 1, 16), LONGEST_WAIT)


@transaction.atomic
def _take_up() -> UUID | None:
    """The link that has been due for longest, ours until it is due again; None when none is."""
    now = timezone.now()
    waiting = Confirmation.objects.filter(
        sent_at__isnull=True, used_at__isnull=True, due_at__lte=now, expires_at__gt=now
    )
    link = waiting.select_for_update(skip_locked=True, of=("self",)).order_by("due_at", "pk").first()
    if link is None:
        return None
    link.attempts = min(link.attempts + 1, 32_000)
    link.due_at = now + wait_after(link.attempts)
    link.save(update_fields=["attempts", "due_at"])
    return link.pk


def _send(link_id: UUID, mail: BaseEmailBackend) -> tuple[str, datetime | None]:
    """Why it wasn't sent, as a code, and when it may be, where that is known; an empty code when it was."""
    link = Confirmation.objects.select_related("record__purpose", "record__notice_version").get(pk=link_id)
    profile_id = ledger.now_known_as(link.record.profile_id)
    person = Profile.objects.filter(pk=profile_id).first() if profile_id is not None else None
    if person is None:
        return "nobody", None
    if over := sparing.why_over(link, person):
        return over, None
    if later := sparing.not_before(link, person, now=timezone.now()):
        return SENT_LATELY, later
    try:
        message = letters.confirmation(link, person)
        message.connection = mail
        return "" if message.send() else "not_accepted", None
    except DomainError as error:
        return error.code, None
    except (SMTPException, OSError, ValueError) as error:
        return next(code for kind, code in CODES if isinstance(error, kind)), None


@transaction.atomic
def _say(link_id: UUID, error: str, due_at: datetime | None = None) -> None:
    link = Confirmation.objects.select_for_update(of=("self",)).select_related("record__purpose").get(pk=link_id)
    link.error = error[:32]
    if error:
        if error in OVER or due_at is not None:
            link.due_at = due_at or link.expires_at
        link.save(update_fields=["error", "due_at"])
        return
    link.sent_at = timezone.now()
    link.save(update_fields=["error", "sent_at"])
    detail = {"record": str(link.record.uuid), "attempts": link.attempts}
    record(by=BY, action="consent.confirmation_sent", purpose=link.record.purpose.key, detail=detail)
