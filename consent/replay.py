"""What holds after a row of records: the rule by which the projection is kept (`consent.services`), told once more over records.

Pure. It proves what held at a moment (`consent.moments`), and finds whose word is whose when two people part (`consent.merging`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from consent.models import ConsentRecord, Decision, Method

NEWEST = "newest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What holds for a profile and a purpose.

    Args:
        since: a no that is newer ends it.
        newest: a yes must be newer to take its place. Later than ``since`` where a yes stands for several people who became one:
            then any of them may have said no in between, but none of them a yes that outlasts another's.
    """

    record: ConsentRecord
    since: datetime
    until: datetime | None
    newest: datetime

    @property
    def is_yes(self) -> bool:
        return self.record.decision == Decision.GRANTED


def newest_of(record: ConsentRecord, since: datetime) -> datetime:
    """When the newest word was said of those that a record of people who became one, or parted, stands for."""
    told = record.evidence.get(NEWEST) if record.method == Method.MERGE else None
    return max(since, datetime.fromisoformat(told)) if told else since


def after(held: Holding | None, record: ConsentRecord) -> Holding | None:
    """What holds once this one is recorded too.

    The newest decision holds, of two at one moment the stricter. What people became by merging or parting stands in place of
    all that was recorded before; pending there means that nothing of it is their own word.
    """
    at, is_yes = record.collected_at, record.decision == Decision.GRANTED
    own = Holding(record=record, since=at, until=record.expires_at, newest=newest_of(record, at))
    if record.method == Method.MERGE:
        return None if record.decision == Decision.PENDING else own
    if record.decision == Decision.PENDING:
        return held
    if held is None:
        return own
    if record.method == Method.REPEATED:
        return replace(held, since=max(at, held.since), newest=max(at, held.newest))
    if is_yes:
        return own if at > (held.newest if held.is_yes else held.since) else held
    if at < held.since:
        return held
    return replace(own, since=max(at, held.newest), newest=max(at, held.newest)) if held.is_yes else own


def replayed(records: Iterable[ConsentRecord], held: Holding | None = None) -> Holding | None:
    """What holds after all of these, of one profile and purpose, in the order in which they were recorded.

    Args:
        held: what held before them.
    """
    for record in records:
        held = after(held, record)
    return held
