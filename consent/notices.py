"""What people are told before they decide, in versions that never change.

A version is bytes: canonical JSON (RFC 8785) of all that is shown, kept and hashed as it is, so that years later it can be
said word by word what somebody saw. Which purposes there are, and what holds, doesn't belong here.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import rfc8785
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import Conflict, DomainError
from consent.models import Notice, NoticeVersion, ServedNotice

MOST_BYTES: Final = 64 * 1024
LONGEST_PLACE: Final = 500


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of one purpose."""

    key: str
    label: str
    text: str


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """All that somebody reads: the words, and the words on what they press."""

    title: str
    text: str
    purposes: tuple[Told, ...]
    accept: str
    reject: str
    choose: str
    save: str
    # Where more is to be read: the privacy notice.
    link: str = ""
    link_text: str = ""


def canonical(content: Content) -> bytes:
    return rfc8785.dumps(msgspec.to_builtins(content))


def content_of(version: NoticeVersion) -> Content:
    return msgspec.json.decode(bytes(version.content), type=Content)


@transaction.atomic
def publish(*, notice: Notice, locale: str, content: Content, by: Actor) -> NoticeVersion:
    """The next version in this language; from now on it is what people are shown.

    Raises:
        DomainError: nothing is said, or too much.
        Conflict: that is what the newest version says already.
    """
    said = canonical(content)
    if len(said) > MOST_BYTES:
        raise DomainError(
            "notice_too_long", f"A notice has at most {MOST_BYTES // 1024} KB; received {len(said)} bytes.", "/text"
        )
    for name in ("title", "text", "accept", "reject", "save"):
        if not getattr(content, name).strip():
            raise DomainError("notice_incomplete", f"A notice needs its {name}.", f"/{name}")
    Notice.objects.select_for_update().get(pk=notice.pk)
    sha256 = hashlib.sha256(said).hexdigest()
    newest = notice.versions.filter(locale=locale).order_by("-number").first()
    if newest is not None and newest.sha256 == sha256:
        raise Conflict("notice_unchanged", f"That is what version {newest.number} says already.")
    number = 1 if newest is None else newest.number + 1
    version = NoticeVersion.objects.create(notice=notice, number=number, locale=locale, content=said, sha256=sha256)
    detail = {"locale": locale, "version": number, "sha256": sha256}
    record(by=by, action="notice.published", object=notice, detail=detail)
    return version


def newest(*, notice_key: str, locales: Sequence[str]) -> NoticeVersion | None:
    """What is shown now, in the first of the languages that there is: `de-CH` is content with `de`, and anybody with what there is.

    Of a language the newest version; None when nothing was published.
    """
    versions = newest_in_all(notice_key=notice_key)
    by_locale = {version.locale.lower(): version for version in versions}
    for locale in locales:
        parts = locale.lower().split("-")
        for length in range(len(parts), 0, -1):
            if found := by_locale.get("-".join(parts[:length])):
                return found
    return by_locale.get("en") or (versions[0] if versions else None)


def newest_in_all(*, notice_key: str) -> list[NoticeVersion]:
    """What is shown now in each language that there is; first the one that was published first."""
    of_notice = NoticeVersion.objects.filter(notice__key=notice_key).order_by()
    newest_ones = of_notice.values("locale").annotate(newest=Max("pk")).values("newest")
    return list(NoticeVersion.objects.filter(pk__in=newest_ones).order_by("pk"))


def serve(
    *,
    version: NoticeVersion,
    place: str = "",
    source_id: int | None = None,
    profile_id: int | None = None,
    jurisdiction: str = "",
    served_at: datetime | None = None,
) -> ServedNotice:
    """That it was shown. Of a page's address the query and the fragment are left out: they may be personal."""
    return ServedNotice.objects.create(
        version=version,
        place=_without_query(place),
        source_id=source_id,
        profile_id=profile_id,
        jurisdiction=jurisdiction[:16],
        served_at=served_at or timezone.now(),
    )


def _without_query(place: str) -> str:
    """The page, as far as it is told; nothing of an address that is none."""
    try:
        parts = urlsplit(place)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]  # neither who logged in with it
    shown_at = f"{parts.scheme}://{host}{parts.path}" if host else parts.path
    # What the database can't hold as text.
    return shown_at.replace("\0", "").encode(errors="replace").decode()[:LONGEST_PLACE]


def shown(served_id: UUID | None) -> ServedNotice | None:
    """What was shown by this id; None when it is none of ours."""
    return None if served_id is None else ServedNotice.objects.filter(pk=served_id).first()


@dataclass(frozen=True, slots=True)
class Seen:
    """What somebody was shown: by whom, under whose law, and of which purposes it told."""

    version_id: int
    source_id: int | None
    jurisdiction: str
    purposes: frozenset[str]


def seen(served_ids: Collection[UUID]) -> dict[UUID, Seen]:
    """Of these ids those that are ours."""
    if not served_ids:
        return {}
    rows = ServedNotice.objects.filter(pk__in=served_ids).only("version_id", "source_id", "jurisdiction")
    found = {row.pk: row for row in rows}
    versions = NoticeVersion.objects.in_bulk({row.version_id for row in found.values()})
    told = {pk: frozenset(one.key for one in content_of(version).purposes) for pk, version in versions.items()}
    return {
        pk: Seen(row.version_id, row.source_id, row.jurisdiction, told[row.version_id]) for pk, row in found.items()
    }
