"""Links to people's own pages for whoever hands them on: a system that writes messages, or one of us who helps somebody.

Whoever has a link can decide for the person, so each is on record with what it is for; the link itself is kept nowhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import Act, record_all
from cdp.profiles.models import Profile
from consent.links import STAFF, Kind, absolute, lifetime, token
from consent.models import Purpose
from consent.querysets import PRIVACY_RIGHTS
from consent.unsubscribing import list_unsubscribe_headers


class Why(StrEnum):
    """What a link is taken for."""

    MESSAGE = "message"  # it goes into a message to the person
    ASKED = "asked"  # they asked somebody here for it


@dataclass(frozen=True, kw_only=True, slots=True)
class Issued:
    """A link as it is handed on.

    Args:
        ends_at: until when it works; None: for ever.
        headers: of a message with it, for mail programs (RFC 8058).
    """

    url: str
    ends_at: datetime | None
    headers: Mapping[str, str] = field(default_factory=dict)


@transaction.atomic
def issue_links(
    *, people: Sequence[Profile], why: Why, by: Actor, unsubscribes: Purpose | None = None, is_seen: bool = False
) -> list[Issued]:
    """A link for each of the people, in their order: to their preference centre, or one that takes back one purpose.

    Args:
        unsubscribes: which.
        is_seen: one of us has it before them. What is then decided by it says so.

    Raises:
        consent.links.NoPublicAddress: it isn't known where people reach us.
    """
    kind = Kind.PREFERENCES if unsubscribes is None else Kind.UNSUBSCRIBE
    span = lifetime(kind)
    ends_at = timezone.now() + span if span else None
    links = [
        _preferences(person, STAFF if is_seen else "", ends_at)
        if unsubscribes is None
        else _unsubscribe(person, unsubscribes)
        for person in people
    ]
    detail = {
        "kind": str(kind),
        "why": str(why),
        "ends_at": ends_at.isoformat() if ends_at else "",
        **({"of": unsubscribes.key} if unsubscribes else {}),
    }
    acts = [Act("link.issued", "profiles.profile", str(one.uuid), PRIVACY_RIGHTS, detail) for one in people]
    record_all(by=by, acts=acts)
    return links


def _preferences(person: Profile, through: str, ends_at: datetime | None) -> Issued:
    path = reverse("preferences", args=[token(Kind.PREFERENCES, person.uuid, through)])
    return Issued(url=absolute(path), ends_at=ends_at)


def _unsubscribe(person: Profile, purpose: Purpose) -> Issued:
    path = reverse("unsubscribe", args=[token(Kind.UNSUBSCRIBE, person.uuid, purpose.key)])
    return Issued(url=absolute(path), ends_at=None, headers=list_unsubscribe_headers(person, purpose))
