"""Reading the trail of decisions: filtered, newest first, page by page. Who may read it, and how it looks, is the console's."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.lookups import GreaterThan

from cdp.audit.verify import moment_text
from cdp.database import bound_cursor
from cdp.profiles.models import Profile
from cdp.spreadsheet import lines
from consent.models import ConsentRecord, Method

PAGE: Final = 50
CHUNK: Final = 2000
# A record that reaches us later than this after the decision is marked: until then we couldn't know.
LATE: Final = timedelta(days=1)
# The same as a condition; the index of late records has it in these words.
CAME_LATE: Final = GreaterThan(F("recorded_at") - F("collected_at"), LATE)
# Transactions that overlap give numbers in another order than moments, and clocks are set.
SLACK: Final = timedelta(hours=1)
# What these write down was known before, under another number or on another record.
KNOWN_BEFORE: Final = (Method.MERGE, Method.REPEATED, Method.INHERITED)
COLUMNS: Final = (
    "record", "person", "profile", "purpose", "decision", "method", "reach", "source", "jurisdiction", "notice", "locale",
    "version", "sha256", "collected_at", "recorded_at", "expires_at",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which records; None asks for nothing. ``since`` and ``until`` are of when people decided, half-open."""

    profile_ids: Collection[int] | None = None
    purpose_id: int | None = None
    decision: str | None = None
    method: str | None = None
    source_id: int | None = None
    jurisdiction: str | None = None
    version_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    only_late: bool = False

    @property
    def named(self) -> list[str]:
        """By what it is filtered, without by which value: what may stand in the audit log of whoever was looked for."""
        return [one.name for one in fields(self) if getattr(self, one.name) not in (None, False)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """``older`` is where the next page begins; None on the last one."""

    records: list[ConsentRecord]
    older: int | None


def records_of(wanted: Wanted) -> QuerySet[ConsentRecord]:
    """Them, in the order in which we learned them, newest first."""
    records = ConsentRecord.objects.order_by("-pk")
    exactly = {
        "purpose_id": wanted.purpose_id,
        "decision": wanted.decision,
        "method": wanted.method,
        "source_id": wanted.source_id,
        "jurisdiction": wanted.jurisdiction,
        "notice_version_id": wanted.version_id,
        "collected_at__gte": wanted.since,
        "collected_at__lt": wanted.until,
    }
    records = records.filter(**{name: value for name, value in exactly.items() if value is not None})
    if wanted.profile_ids is not None:
        records = records.filter(profile_id__in=list(wanted.profile_ids))
    if wanted.only_late:
        records = records.filter(CAME_LATE).exclude(method__in=KNOWN_BEFORE)
    return records


def page_of(wanted: Wanted, *, before: int | None = None) -> Page:
    """One page; it costs the same however far back it lies, and however long ago the span of time is.

    Args:
        before: the `older` of the page before.
    """
    found: list[ConsentRecord] = []
    for records in _stretches(wanted):
        records = _with_words(with_person(records))
        if before is not None:
            records = records.filter(pk__lt=before)
        found += records[: PAGE + 1 - len(found)]
        if len(found) > PAGE:
            break
    return Page(records=found[:PAGE], older=found[PAGE - 1].pk if len(found) > PAGE else None)


def _stretches(wanted: Wanted) -> Iterator[QuerySet[ConsentRecord]]:
    """The records in stretches of their numbers, one below the other; together they are all of them.

    What was decided in a span was learned from its beginning on, and soon after its end, or late. So below the numbers that
    were given by then all are looked through, and above only those that came late, which have an index of their own.
    """
    records = records_of(wanted)
    if wanted.since is not None:
        records = records.filter(pk__gte=first_learned(wanted.since - SLACK))
    if wanted.until is not None:
        above = first_learned(wanted.until + LATE + SLACK)
        yield records.filter(CAME_LATE, pk__gte=above)
        records = records.filter(pk__lt=above)
    yield records


# Numbers are given in the order in which records are made, so the first one of a moment is found as in a dictionary.
FIRST_LEARNED: Final = """
    WITH RECURSIVE seek(low, high) AS (
        SELECT coalesce(min(id), 0), coalesce(max(id), -1) + 1 FROM consent_consentrecord
         UNION ALL
        SELECT CASE WHEN probe.recorded_at < %(at)s THEN probe.id + 1 ELSE low END,
               CASE WHEN probe.recorded_at < %(at)s THEN high ELSE (low + high) / 2 END
          FROM seek, LATERAL (SELECT r.id, r.recorded_at FROM consent_consentrecord r
                               WHERE r.id >= (seek.low + seek.high) / 2 ORDER BY r.id LIMIT 1) AS probe
         WHERE low < high
    )
    SELECT low FROM seek WHERE low >= high LIMIT 1
"""


def first_learned(at: datetime) -> int:
    """The number of the first record that was learned at the moment or later, give or take what transactions overlap."""
    with bound_cursor() as cursor:
        cursor.execute(FIRST_LEARNED, {"at": at})
        return int(cursor.fetchall()[0][0])


def with_person(records: QuerySet[ConsentRecord]) -> QuerySet[ConsentRecord]:
    """With ``person_uuid``: None of a profile that was merged away or erased."""
    whose = Profile.objects.filter(pk=OuterRef("profile_id")).order_by().values("uuid")
    return records.annotate(person_uuid=Subquery(whose))


def _with_words(records: QuerySet[ConsentRecord]) -> QuerySet[ConsentRecord]:
    """With what it was decided for and on which version, but for the text of that: it may be long, and isn't shown."""
    return records.select_related("purpose", "notice_version__notice").defer("notice_version__content")


def is_late(record: ConsentRecord) -> bool:
    """Whether it reached us long after the decision, so that we could not know it when it was made."""
    return record.recorded_at - record.collected_at > LATE and record.method not in KNOWN_BEFORE


def life_of(record: ConsentRecord) -> list[ConsentRecord]:
    """Everything on record of the same profile and purpose, in the order in which we learned it."""
    return list(
        ConsentRecord.objects.filter(profile_id=record.profile_id, purpose_id=record.purpose_id)
        .select_related("notice_version__notice")
        .order_by("pk")
    )


def csv_lines(wanted: Wanted) -> Iterator[str]:
    """The records as CSV, line by line, in bounded memory. People stand in it by our ids alone."""
    return lines(COLUMNS, _rows(wanted))


def _rows(wanted: Wanted) -> Iterator[Sequence[str]]:
    records = _with_words(with_person(records_of(wanted)))
    for one in records.iterator(chunk_size=CHUNK):
        version = one.notice_version
        person: UUID | None = one.person_uuid  # type: ignore[attr-defined]  # annotated above
        yield (
            str(one.uuid), str(person or ""), str(one.profile_id), one.purpose.key, one.decision, one.method, one.reach,
            str(one.source_id or ""), one.jurisdiction,
            version.notice.key if version else "", version.locale if version else "",
            str(version.number) if version else "", version.sha256 if version else "",
            moment_text(one.collected_at), moment_text(one.recorded_at),
            moment_text(one.expires_at) if one.expires_at else "",
        )  # fmt: skip
