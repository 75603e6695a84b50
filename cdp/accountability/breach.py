"""Who was read, what of them, by whom and since when: the questions of a breach, answered from the audit log.

Which entries tell of reads is in `cdp.accountability.reads`; whom a page held, in `cdp.accountability.members_then`. What can't
be told is said: people who may have been read are counted beside those who surely were, and reads of which nobody was named
are counted as rows. Asking is itself on record.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import OperationalError, transaction
from django.db.models import QuerySet

from cdp.accountability.members_then import Then, page_of
from cdp.accountability.reads import EXPORTS, READS, Whose, fields_of, named_in
from cdp.audit.actors import Actor, ActorKind
from cdp.audit.models import AuditEntry
from cdp.audit.services import record
from cdp.database import bound_cursor, limit_statements
from cdp.errors import DomainError
from cdp.identity.models import Merge
from cdp.ingestion.models import Source
from cdp.profiles.models import Profile
from consent.models import ConsentRecord, Purpose
from consent.querysets import PRIVACY_RIGHTS
from segments.models import Segment

HOURS: Final = 72  # Art. 33(1) GDPR
SECONDS: Final = 60
MOST_ENTRIES: Final = 200_000
CHUNK: Final = 5_000
# What of a purpose says who may be read for it: by its mode what they decided counts, by the others which stops reach it.
SETS_UP: Final = frozenset({"mode", "lawful_basis", "covers_profiling"})
KINDS: Final = {ActorKind.USER: "User", ActorKind.API_KEY: "API key", ActorKind.SYSTEM: "The platform"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A span of time, half-open, and what the reads must have to do with; what isn't said matters not.

    Args:
        key: primary key of an API key.
        user: primary key of a user.
        source: of whom it sent something in the span: those people, instead of those who were read.
        exports: only what takes many people away at once: pages of members, lists for notification, the audit log.
        fields: only reads that showed at least one of them.
    """

    since: datetime
    until: datetime
    key: int | None = None
    user: int | None = None
    source: int | None = None
    purpose: str = ""
    segment: UUID | None = None
    exports: bool = False
    fields: frozenset[str] = frozenset()

    def said(self) -> dict[str, object]:
        """For the audit log: what was asked, which names nobody but staff, keys and definitions."""
        told: dict[str, object] = {"since": self.since.isoformat(), "until": self.until.isoformat()}
        for name in ("key", "user", "source", "purpose", "exports"):
            if value := getattr(self, name):
                told[name] = value
        if self.segment:
            told["segment"] = str(self.segment)
        if self.fields:
            told["fields"] = sorted(self.fields)
        return told


@dataclass(slots=True)
class Reads:
    """Reads of one kind by one reader."""

    action: str
    reader: str
    kind: str
    first: datetime
    last: datetime
    entries: int = 0
    rows: int = 0
    fields: set[str] = field(default_factory=set)
    purposes: set[str] = field(default_factory=set)

    @property
    def label(self) -> str:
        return READS[self.action].label

    @property
    def shown(self) -> str:
        """What of people was shown. The name of a field may have a comma in it."""
        return "; ".join(sorted(self.fields))

    @property
    def who(self) -> str:
        """What kind of reader it was, in words."""
        return KINDS[ActorKind(self.kind)]


@dataclass(slots=True)
class Answer:
    """What the log tells.

    Args:
        sure: profile ids of now, of people whose data surely was read; ``possible`` others of whom it can't be excluded.
        gone: people who were read and were erased since: nobody is left to tell.
        unnamed: rows that were shown without it being recorded whose.
        unsolved: pages of which the sum didn't come out; ``unsolved_rows`` people on pages of segments that are gone.
        sent: events that the source sent, where a source was asked about.
    """

    question: Question
    reads: list[Reads] = field(default_factory=list)
    sure: set[int] = field(default_factory=set)
    possible: set[int] = field(default_factory=set)
    gone: int = 0
    gone_possible: int = 0
    unnamed: int = 0
    unsolved: int = 0
    unsolved_rows: int = 0
    sent: int = 0

    @property
    def first(self) -> datetime | None:
        return min((one.first for one in self.reads), default=None)

    @property
    def last(self) -> datetime | None:
        return max((one.last for one in self.reads), default=None)

    @property
    def fields(self) -> list[str]:
        return sorted(set().union(*(one.fields for one in self.reads)))

    @property
    def people(self) -> int:
        """At least so many people."""
        return len(self.sure) + self.gone

    @property
    def people_at_most(self) -> int | None:
        """At most so many; None where reads name nobody, so that there is no bound."""
        if self.unnamed or self.unsolved_rows:
            return None
        return self.people + len(self.possible) + self.gone_possible

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.reads)


@transaction.atomic
def ask(*, question: Question, by: Actor) -> Answer:
    """The answer; that it was asked is on record with the question and the figures.

    Raises:
        DomainError: the span ends before it begins, there are too many entries in it, or looking took too long.
    """
    if question.since >= question.until:
        raise DomainError("bounds_reversed", "The span must end after it begins.", "/until")
    try:
        limit_statements(seconds=SECONDS)
        answer = _from_source(question) if question.source is not None else _from_log(question)
    except OperationalError as slow:
        raise DomainError(
            "breach_too_slow", "Looking took too long. Ask for less time, or for one reader.", "/since"
        ) from slow
    figures = {
        "entries": sum(one.entries for one in answer.reads),
        "people": answer.people,
        "possible": len(answer.possible),
        "unnamed": answer.unnamed,
    }
    record(by=by, action="breach.asked", purpose=question.purpose, detail=question.said() | figures)
    return answer


def deadline(aware_at: datetime) -> datetime:
    """Until when the authority is to be notified: 72 hours after the controller became aware (Art. 33(1) GDPR)."""
    return aware_at + timedelta(hours=HOURS)


# ---- From the log ------------------------------------------------------------------------------------------------


def _entries(question: Question) -> QuerySet[AuditEntry]:
    actions = EXPORTS if question.exports else READS.keys()
    entries = AuditEntry.objects.filter(
        action__in=sorted(actions), recorded_at__gte=question.since, recorded_at__lt=question.until
    )
    if question.key is not None:
        entries = entries.filter(actor_kind=ActorKind.API_KEY, actor_id=str(question.key))
    if question.user is not None:
        entries = entries.filter(actor_kind=ActorKind.USER, actor_id=str(question.user))
    if question.purpose:
        entries = entries.filter(purpose=question.purpose)
    if question.segment is not None:
        entries = entries.filter(object_type="segments.segment", object_id=str(question.segment))
    return entries.order_by("recorded_at")


def _from_log(question: Question) -> Answer:
    entries = _entries(question)
    if entries[MOST_ENTRIES : MOST_ENTRIES + 1].exists():
        raise DomainError("too_many_entries", f"There are more than {MOST_ENTRIES:,} reads in this span.", "/since")
    answer = Answer(question=question)
    by_reader: dict[tuple[str, str, str], Reads] = {}
    named, records = set[UUID](), set[UUID]()
    pages: dict[str, list[AuditEntry]] = defaultdict(list)
    for entry in entries.iterator(chunk_size=2000):
        shown = fields_of(entry.action, entry.detail)
        if question.fields and not question.fields & shown:
            continue
        whose = (entry.action, entry.actor_kind, entry.actor_label)
        reads = by_reader.get(whose)
        if reads is None:
            reads = by_reader[whose] = Reads(*whose[:1], whose[2], whose[1], entry.recorded_at, entry.recorded_at)
        reads.entries += 1
        reads.last = entry.recorded_at
        reads.fields |= shown
        if entry.purpose:
            reads.purposes.add(entry.purpose)
        people = named_in(entry.action, entry.object_id, entry.detail)
        (records if READS[entry.action].whose is Whose.RECORD else named).update(people)
        match READS[entry.action].whose:
            case Whose.MEMBERS:
                pages[entry.object_id].append(entry)
                reads.rows += _count(entry)
            case Whose.NOBODY_NAMED:
                answer.unnamed += _count(entry) or 1
                reads.rows += _count(entry) or 1
            case Whose.OBJECT | Whose.DETAIL | Whose.RECORD if (
                not people
            ):  # of whom nothing is left, or who was not told of
                answer.unnamed += 1
                reads.rows += 1
            case _:
                reads.rows += len(people)
    answer.reads = sorted(by_reader.values(), key=lambda one: (one.first, one.action))
    for sure, gone in (_now_by_uuid(named), _whose_records(records)):
        answer.sure |= sure
        answer.gone += gone
    _add_pages(answer, pages)
    answer.possible -= answer.sure
    return answer


def _count(entry: AuditEntry) -> int:
    count = entry.detail.get("count", 0)
    return int(count) if isinstance(count, int | str) and str(count).isdecimal() else 0


def _add_pages(answer: Answer, pages: dict[str, list[AuditEntry]]) -> None:
    """Whom the pages held, segment by segment."""
    segments = {str(one.uuid): one for one in Segment.objects.filter(uuid__in=_valid(pages))}
    purposes = _Purposes()
    sure: set[int] = set()
    possible: set[int] = set()
    for uuid, entries in pages.items():
        segment = segments.get(uuid)
        if segment is None:  # deleted, and who came and went with it
            answer.unsolved += len(entries)
            answer.unsolved_rows += sum(map(_count, entries))
            continue
        then = Then.load(segment, since=entries[0].recorded_at)
        for entry in entries:
            page = page_of(entry, then, purposes.as_of(entry.purpose, entry.recorded_at))
            sure |= page.sure
            possible |= page.possible
            answer.unsolved += not page.adds_up
    present, gone = who_they_are_now(sure)
    answer.sure |= present
    answer.gone += gone
    present, gone = who_they_are_now(possible - sure)
    answer.possible |= present
    answer.gone_possible += gone


def _valid(texts: Iterable[str]) -> list[UUID]:
    found = []
    for text in texts:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


class _Purposes:
    """Purposes as they were: one that was set up anew since can't be told of."""

    def __init__(self) -> None:
        self._now = {purpose.key: purpose for purpose in Purpose.objects.all()}
        self._changed: dict[str, datetime] = {}
        changes = AuditEntry.objects.filter(action="purpose.changed").order_by("recorded_at")
        by_number = {str(purpose.pk): purpose.key for purpose in self._now.values()}
        for object_id, at, detail in changes.values_list("object_id", "recorded_at", "detail"):
            if object_id in by_number and SETS_UP & detail.get("after", {}).keys():
                self._changed[by_number[object_id]] = at

    def as_of(self, key: str, at: datetime) -> Purpose | None:
        changed = self._changed.get(key)
        return None if changed is not None and changed >= at else self._now.get(key)


# ---- Who they are now --------------------------------------------------------------------------------------------


def who_they_are_now(profile_ids: Collection[int]) -> tuple[set[int], int]:
    """The people by these numbers who exist, those who absorbed them included; and how many lead to nobody any more."""
    into: dict[int, int] = {one: one for one in profile_ids}
    waiting, present = set(profile_ids), set[int]()
    for _ in range(100):  # a chain of merges has an end
        if not waiting:
            break
        present |= _present(waiting)
        absent = waiting - present
        follows = dict(
            Merge.objects.filter(absorbed_id__in=absent, undone_at__isnull=True).values_list(
                "absorbed_id", "survivor_id"
            )
        )
        into = {one: follows.get(now, now) for one, now in into.items()}
        waiting = set(follows.values()) - present
        if not follows:
            break
    ends = set(into.values())
    return ends & present, sum(1 for now in into.values() if now not in present)


def _present(profile_ids: Collection[int]) -> set[int]:
    with bound_cursor() as cursor:
        cursor.execute("SELECT id FROM profiles_profile WHERE id = ANY(%s::bigint[])", [sorted(profile_ids)])
        return {row[0] for row in cursor.fetchall()}


def _now_by_uuid(uuids: Collection[UUID]) -> tuple[set[int], int]:
    present = dict(Profile.objects.filter(uuid__in=uuids).values_list("uuid", "pk"))
    absorbed = dict(
        Merge.objects.filter(absorbed_uuid__in=uuids - present.keys(), undone_at__isnull=True).values_list(
            "absorbed_uuid", "survivor_id"
        )
    )
    followed, gone = who_they_are_now(list(absorbed.values()))
    return set(present.values()) | followed, gone + len(uuids) - len(present) - len(absorbed)


def _whose_records(uuids: Collection[UUID]) -> tuple[set[int], int]:
    """The people whose decisions these are; records are never deleted, so each leads to somebody's number."""
    return who_they_are_now(
        list(ConsentRecord.objects.filter(uuid__in=uuids).values_list("profile_id", flat=True).distinct())
    )


# ---- From a source -----------------------------------------------------------------------------------------------


def _from_source(question: Question) -> Answer:
    """People of whom the source sent something in the span: those a stolen write key, or a site that leaks, concerns."""
    source = Source.objects.filter(pk=question.source or 0).first()
    if source is None:
        raise DomainError("source_unknown", "There is no such source.", "/source")
    answer = Answer(question=question)
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT profile_id, count(*) FROM profiles_event WHERE source_id = %s AND type <> 7"
            " AND received_at >= %s AND received_at < %s GROUP BY profile_id",
            [source.pk, question.since, question.until],
        )
        sent = Counter(dict(cursor.fetchall()))
    answer.sure, answer.sent = set(sent), sent.total()
    return answer


# ---- Whom to notify ----------------------------------------------------------------------------------------------


@transaction.atomic
def people_to_notify(*, question: Question, by: Actor) -> tuple[Answer, Iterator[tuple[str, str, str, str]]]:
    """The answer, and its people: public id, whether it is sure, and the email addresses and phone numbers they are known by.

    Whoever asks may see personal data unmasked: the door has made sure of it. Taking the list away is on record.
    """
    answer = ask(question=question, by=by)
    count = len(answer.sure) + len(answer.possible)
    detail = question.said() | {"count": count}
    record(by=by, action="breach.people_exported", purpose=PRIVACY_RIGHTS, detail=detail)
    return answer, _contacts(answer)


def _contacts(answer: Answer) -> Iterator[tuple[str, str, str, str]]:
    for certainty, ids in (("read", sorted(answer.sure)), ("possibly read", sorted(answer.possible))):
        for start in range(0, len(ids), CHUNK):
            with bound_cursor() as cursor:
                cursor.execute(
                    """
                    SELECT p.uuid::text,
                           coalesce(string_agg(i.value, ' ' ORDER BY i.value) FILTER (WHERE i.namespace = 'email'), ''),
                           coalesce(string_agg(i.value, ' ' ORDER BY i.value) FILTER (WHERE i.namespace = 'phone'), '')
                      FROM profiles_profile p LEFT JOIN profiles_identifier i ON i.profile_id = p.id
                     WHERE p.id = ANY(%s::bigint[]) GROUP BY p.id, p.uuid ORDER BY p.id
                    """,
                    [ids[start : start + CHUNK]],
                )
                found = cursor.fetchall()
            for uuid, emails, phones in found:
                yield uuid, certainty, emails, phones
