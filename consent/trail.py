"""Reading the trail of decisions: filtered, newest first, page by page. Who may read it, and how it looks, is the console's."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import F, OuterRef, QuerySet, Subquery

from cdp.audit.verify import moment_text
from cdp.profiles.models import Profile
from cdp.spreadsheet import lines
from consent.models import ConsentRecord, Method

PAGE: Final = 50
CHUNK: Final = 2000
# A record that reaches us later than this after the decision is marked: until then we couldn't know.
LATE: Final = timedelta(days=1)
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
        records = records.filter(recorded_at__gt=F("collected_at") + LATE).exclude(method__in=KNOWN_BEFORE)
    return records


def page_of(wanted: Wanted, *, before: int | None = None) -> Page:
    """One page; it costs the same however far back it lies.

    Args:
        before: the `older` of the page before.
    """
    records = with_person(records_of(wanted)).select_related("purpose", "notice_version__notice")
    if before is not None:
        records = records.filter(pk__lt=before)
    found = list(records[: PAGE + 1])
    return Page(records=found[:PAGE], older=found[PAGE - 1].pk if len(found) > PAGE else None)


def with_person(records: QuerySet[ConsentRecord]) -> QuerySet[ConsentRecord]:
    """With ``person_uuid``: None of a profile that was merged away or erased."""
    whose = Profile.objects.filter(pk=OuterRef("profile_id")).values("uuid")
    return records.annotate(person_uuid=Subquery(whose))


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
    records = with_person(records_of(wanted)).select_related("purpose", "notice_version__notice")
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
