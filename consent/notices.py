"""What people are told before they decide, in versions that never change.

A version is bytes: canonical JSON (RFC 8785) of all that is shown, kept and hashed as it is, so that years later it can be
said word by word what somebody saw. Which purposes there are, and what holds, doesn't belong here.
"""

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

import msgspec
import rfc8785
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import Conflict, DomainError, DomainErrors
from consent.models import Notice, NoticeVersion, Purpose, ServedNotice

MOST_BYTES: Final = 64 * 1024
LONGEST_PLACE: Final = 500
NEEDED: Final = ("title", "text", "accept", "reject", "save")
# BCP 47 as browsers send it: a language, perhaps a script, perhaps a region; "de-CH", "zh-Hant-TW", "es-419".
LOCALE: Final = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")
# What stands where a notice's own address would.
RESERVED: Final = frozenset({"add", "new", "autocomplete", "jsi18n"})


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
def create_notice(*, key: str, label: str, by: Actor) -> Notice:
    """A notice that says nothing yet.

    Raises:
        Conflict: there is one of this key already, or the key is one of our own words.
    """
    if key in RESERVED or Notice.objects.filter(key=key).exists():
        raise Conflict("notice_exists", "There is a notice of this key already; choose another.", "/key")
    notice = Notice.objects.create(key=key, label=label)
    record(by=by, action="notice.created", object=notice, detail={"key": key, "label": label})
    return notice


def problems_of(content: Content, *, locale: str) -> list[DomainError]:
    """What keeps these words from being published; nothing, if all is well."""
    found: list[DomainError] = []
    if not LOCALE.fullmatch(locale):
        found.append(DomainError("locale_unknown", "A language is written as in en, de-CH or zh-Hant-TW.", "/locale"))
    found += [
        DomainError("notice_incomplete", f"A notice needs its {name}.", f"/{name}")
        for name in NEEDED
        if not getattr(content, name).strip()
    ]
    for place, told in enumerate(content.purposes):
        if not told.label.strip() or not told.text.strip():
            message = "What is said of a purpose has a label and a text."
            found.append(DomainError("notice_incomplete", message, f"/purposes/{place}"))
    keys = [told.key for told in content.purposes]
    if len(set(keys)) < len(keys):
        found.append(DomainError("purpose_twice", "A purpose is asked about once.", "/purposes"))
    unknown = set(keys) - set(Purpose.objects.filter(key__in=keys).values_list("key", flat=True))
    if unknown:
        message = f"There is no purpose {', '.join(sorted(unknown))}."
        found.append(DomainError("purpose_unknown", message, "/purposes"))
    # It becomes a link on pages of others: nothing but an address may stand there.
    if content.link and urlsplit_or_none(content.link, schemes=("https", "http")) is None:
        message = "The link is an address that begins with https://."
        found.append(DomainError("link_malformed", message, "/link"))
    try:
        size = len(canonical(content))
    except (UnicodeError, rfc8785.CanonicalizationError):
        found.append(DomainError("text_malformed", "There are characters in it that are no text.", "/text"))
        return found
    if size > MOST_BYTES:
        message = f"A notice has at most {MOST_BYTES // 1024} KB; received {size} bytes."
        found.append(DomainError("notice_too_long", message, "/text"))
    return found


def urlsplit_or_none(address: str, *, schemes: Sequence[str]) -> SplitResult | None:
    """The parts of an address of one of these schemes, with a host; None of anything else."""
    try:
        parts = urlsplit(address)
        return parts if parts.scheme in schemes and parts.hostname else None
    except ValueError:
        return None


@transaction.atomic
def publish(*, notice: Notice, locale: str, content: Content, by: Actor, based_on: int | None = None) -> NoticeVersion:
    """The next version in this language; from now on it is what people are shown.

    Args:
        based_on: the number of the version that the writer had before them, 0 where there was none.

    Raises:
        DomainErrors: what is said can't be published, and why.
        Conflict: that is what the newest version says already, or somebody else has published meanwhile.
    """
    if problems := problems_of(content, locale=locale):
        raise DomainErrors(problems, code=problems[0].code, message=problems[0].message)
    said = canonical(content)
    Notice.objects.select_for_update().get(pk=notice.pk)
    sha256 = hashlib.sha256(said).hexdigest()
    newest = notice.versions.filter(locale=locale).order_by("-number").first()
    if newest is not None and newest.sha256 == sha256:
        raise Conflict("notice_unchanged", f"That is what version {newest.number} says already.")
    number = 1 if newest is None else newest.number + 1
    if based_on is not None and based_on != number - 1:
        raise Conflict("notice_changed", f"Somebody has published version {number - 1} meanwhile: look at it first.")
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


def forget_showings(profile_ids: Collection[int]) -> None:
    """Takes away to whom a notice was shown, and where, with people who are erased: also where only their decision tells that it
    was them. Which words were shown when stays, as the proof of that decision."""
    with bound_cursor() as cursor:
        cursor.execute(FORGET, {"gone": list(profile_ids)})


FORGET: Final = """
    UPDATE consent_servednotice s SET profile_id = NULL, place = ''
     WHERE (s.profile_id IS NOT NULL OR s.place <> '')
       AND s.id IN (
           SELECT id FROM consent_servednotice WHERE profile_id = ANY(%(gone)s::bigint[])
           UNION
           SELECT r.served_id FROM consent_consentrecord r
            WHERE r.profile_id = ANY(%(gone)s::bigint[]) AND r.served_id IS NOT NULL
              AND NOT EXISTS (SELECT FROM consent_consentrecord o
                               WHERE o.served_id = r.served_id AND NOT o.profile_id = ANY(%(gone)s::bigint[])))
"""


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
