"""Signed links by which people reach their own pages: what a link is for, whom or what it names, until when it works.

A link carries a number that means nothing outside, the moment it was made, and a signature with a salt of its own kind, so
that a link to one page opens no other. Whether what it names (still) exists, and whether it was used, is for whoever opens it:
a link that is to work once names a row that says so.
"""

import base64
import binascii
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, SignatureExpired, TimestampSigner

from cdp.errors import DomainError, NotFound

LONGEST: Final = 300
STAFF: Final = "staff"
_SEPARATOR: Final = "."


class Kind(StrEnum):
    """What a link opens."""

    PREFERENCES = "preferences"  # names a profile, and says `STAFF` where one of us was given it to hand on
    CONFIRMATION = "confirmation"  # names a `Confirmation`, which says until when, and whether it was used
    UNSUBSCRIBE = "unsubscribe"  # names a profile, and says for which purpose; a no is heard however late it comes
    IDENTITY = (
        "identity"  # names a privacy request, and says for whom: its asker proves by it that the address is theirs
    )


@dataclass(frozen=True, slots=True)
class Named:
    """What a link names.

    Args:
        about: the rest it says; see `Kind`.
        token: the link's own, for what its page leads to.
    """

    uuid: UUID
    about: str = ""
    token: str = field(default="", compare=False, repr=False)


class LinkUnknown(NotFound):
    """It was never made here, or was cut off on its way."""

    def __init__(self) -> None:
        super().__init__("link_unknown", "This link leads to nothing.")


class LinkEnded(DomainError):
    """It was made here, too long ago."""

    status = 410

    def __init__(self) -> None:
        super().__init__("link_ended", "This link has ended.")


class NoPublicAddress(DomainError):
    """Links in messages need to know where the platform is reached from outside."""

    def __init__(self) -> None:
        super().__init__("no_public_address", "Set CDP_PUBLIC_URL to the address under which people reach these pages.")


def lifetime(kind: Kind) -> timedelta | None:
    """How long a link works; None: for ever, or as long as what it names says."""
    match kind:
        case Kind.PREFERENCES:
            return timedelta(days=settings.PREFERENCE_LINK_DAYS)
        case Kind.IDENTITY:
            return timedelta(hours=settings.IDENTITY_LINK_HOURS)
    return None


def token(kind: Kind, names: UUID, about: str = "") -> str:
    """What stands in the address: nothing but letters, digits, `-`, `_` and points."""
    named = base64.urlsafe_b64encode(names.bytes).decode().rstrip("=")
    return _signer(kind).sign(_SEPARATOR.join((named, about)) if about else named)


def read(kind: Kind, given: str) -> Named:
    """What the link names. The database isn't asked, so how long it takes tells nothing of who exists.

    Raises:
        LinkUnknown: it isn't one of ours, or is for something else.
        LinkEnded: it is one of ours, and its time is over.
    """
    if len(given) > LONGEST or not given.isascii():
        raise LinkUnknown
    try:
        said = _signer(kind).unsign(given, max_age=lifetime(kind))
    except SignatureExpired:
        raise LinkEnded from None
    except BadSignature:
        raise LinkUnknown from None
    named, _, about = said.partition(_SEPARATOR)
    try:
        return Named(UUID(bytes=base64.urlsafe_b64decode(named + "==")), about, given)
    except (binascii.Error, ValueError):
        raise LinkUnknown from None  # signed with our key, and by nobody here


def absolute(path: str) -> str:
    """The whole address of one of our paths, for a message.

    Raises:
        NoPublicAddress: nobody has said where that is.
    """
    if not settings.PUBLIC_URL:
        raise NoPublicAddress
    return settings.PUBLIC_URL.rstrip("/") + path


def _signer(kind: Kind) -> TimestampSigner:
    return TimestampSigner(salt=f"consent.links.{kind}", sep=_SEPARATOR)
