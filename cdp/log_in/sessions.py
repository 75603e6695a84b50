"""How long a log-in lasts: marks in the session, a row for each, and ending them. Where it is asked for: `cdp.log_in.middleware`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.context import ip_prefix
from cdp.audit.services import record
from cdp.log_in.models import UserSession

BEGAN, SEEN, PROVED, FACTOR = "log_in.began", "log_in.seen", "log_in.proved", "log_in.factor"
# A session is written at most so often only to say that somebody is still there.
STEP: Final = timedelta(seconds=60)
# For how long after giving the password somebody may change how they log in.
FRESH: Final = timedelta(minutes=15)


class Over(StrEnum):
    IDLE = "idle"
    OLD = "old"


def begin(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    """Marks a session that has just become somebody's, and notes whose it is."""
    now = timezone.now()
    request.session[BEGAN] = request.session[SEEN] = request.session[PROVED] = now.isoformat()
    request.session[FACTOR] = ""
    if not request.session.session_key:
        request.session.save()
    address = ip_prefix(request.META.get("REMOTE_ADDR"))
    UserSession.objects.update_or_create(
        session_key=request.session.session_key,
        defaults={"user": user, "began_at": now, "seen_at": now, "ip_prefix": address, "factor": ""},
    )


def note_factor(request: HttpRequest, factor: str) -> None:
    """Marks that this session rests on a second factor, too."""
    request.session[FACTOR] = factor
    UserSession.objects.filter(session_key=request.session.session_key).update(factor=factor)


def note_new_key(request: HttpRequest, old_key: str | None) -> None:
    """Follows a session that goes on under another key: Django changes it with the password."""
    if old_key and request.session.session_key and old_key != request.session.session_key:
        UserSession.objects.filter(session_key=old_key).update(session_key=request.session.session_key)


def over(request: HttpRequest, *, now: datetime) -> Over | None:
    """Why this session is over, if it is. One without marks is of before there were any, and over as well."""
    began, seen = _moment(request, BEGAN), _moment(request, SEEN)
    if began is None or now - began > timedelta(seconds=settings.SESSION_LIFE_SECONDS):
        return Over.OLD
    if seen is None or now - seen > timedelta(seconds=settings.SESSION_IDLE_SECONDS):
        return Over.IDLE
    return None


def touch(request: HttpRequest, *, now: datetime) -> None:
    """Notes that somebody is there, unless that was noted a moment ago."""
    seen = _moment(request, SEEN)
    if seen is None or now - seen > STEP:
        request.session[SEEN] = now.isoformat()
        UserSession.objects.filter(session_key=request.session.session_key).update(seen_at=now)


def prove(request: HttpRequest) -> None:
    request.session[PROVED] = timezone.now().isoformat()


def is_fresh(request: HttpRequest) -> bool:
    """Whether the password was given a short while ago."""
    proved = _moment(request, PROVED)
    return proved is not None and timezone.now() - proved <= FRESH


def _moment(request: HttpRequest, name: str) -> datetime | None:
    said = request.session.get(name)
    return datetime.fromisoformat(said) if said else None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What ending somebody's sessions came to."""

    sessions: int


@transaction.atomic
def end_sessions(*, user: User, by: Actor, why: str, but: str | None = None, only: int | None = None) -> Ended:
    """Ends the user's sessions, all or all ``but`` the one with this key, or ``only`` the row with this number; on record."""
    rows = UserSession.objects.filter(user=user).exclude(session_key=but or "")
    if only is not None:
        rows = rows.filter(pk=only)
    keys = list(rows.values_list("session_key", flat=True))
    ended = Session.objects.filter(session_key__in=keys).delete()[0]
    rows.delete()
    if ended:
        record(by=by, action="user.sessions_ended", object=user, detail={"sessions": ended, "why": why})
    return Ended(sessions=ended)


def purge() -> int:
    """How many rows and sessions that nobody can come back to were forgotten."""
    gone = Session.objects.filter(expire_date__lt=timezone.now()).delete()[0]
    horizon = timezone.now() - timedelta(seconds=settings.SESSION_LIFE_SECONDS)
    return gone + UserSession.objects.filter(began_at__lt=horizon).delete()[0]
