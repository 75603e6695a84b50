"""What somebody permitted at a moment: by all that is known now, or by what was known then.

Two clocks run in each record: when the person decided, and when we learned it. Asked of now, the answer is the projected
state (`consent.models.ConsentState`), which readers use; here it is worked out from the records, so it can be proved.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from consent.models import ConsentRecord, ConsentState, Mode, Purpose, Reach
from consent.replay import Holding, after
from consent.stops import held_then


class Standing(StrEnum):
    """How somebody stands to a purpose. Only `granted` permits one that asks first."""

    GRANTED = "granted"
    EXPIRED = "expired"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What held for a purpose, as it is set up today; ``record`` is the one that decided it, None when there was none.

    ``since`` may be later than the record: what came along with something else repeated it.
    ``is_stopped`` when it was halted for them (`consent.stops`), whatever they had decided.
    """

    purpose: Purpose
    record: ConsentRecord | None
    permits: bool
    standing: Standing
    since: datetime | None
    until: datetime | None
    is_stopped: bool = False


def held_now(*, profile_id: int, now: datetime) -> list[Held]:
    """For each purpose, what holds for this profile: the projection, which readers use."""
    states = {
        state.purpose_id: state
        for state in ConsentState.objects.filter(profile_id=profile_id).select_related("record__notice_version__notice")
    }
    holding = {
        purpose_id: Holding(record=one.record, since=one.collected_at, until=one.expires_at, newest=one.collected_at)
        for purpose_id, one in states.items()
    }
    held = [_held(purpose, holding.get(purpose.pk), now) for purpose in Purpose.objects.all()]
    return _without_stopped(held, held_then(profile_id, at=now, known_at=None))


def held_at(*, profile_id: int, at: datetime, known_at: datetime | None = None) -> list[Held]:
    """For each purpose, what held for this profile.

    Args:
        at: as of when: what was decided later doesn't count, nor does a yes that had ended by then.
        known_at: counting only what we had learned by then; all we know, if nothing is said. What two profiles had said
            before they were merged is each one's own, and stands with the id of each.
    """
    records = ConsentRecord.objects.filter(profile_id=profile_id, reach=Reach.PERSON, collected_at__lte=at)
    if known_at is not None:
        records = records.filter(recorded_at__lte=known_at)
    by_purpose: dict[int, Holding | None] = {}
    # A profile's records are numbered in the order in which they were recorded: whoever writes them has locked the person.
    for record in records.select_related("notice_version__notice").order_by("pk"):
        by_purpose[record.purpose_id] = after(by_purpose.get(record.purpose_id), record)
    held = [_held(purpose, by_purpose.get(purpose.pk), at) for purpose in Purpose.objects.all()]
    return _without_stopped(held, held_then(profile_id, at=at, known_at=known_at))


def _without_stopped(held: list[Held], stopped: Collection[int]) -> list[Held]:
    return [replace(one, permits=False, is_stopped=True) if one.purpose.pk in stopped else one for one in held]


def _held(purpose: Purpose, holds: Holding | None, at: datetime) -> Held:
    standing, since, until, record = Standing.NONE, None, None, None
    if holds is not None:
        record, since, until = holds.record, holds.since, holds.until
        standing = Standing(record.decision)
        if standing == Standing.GRANTED and until is not None and until <= at:
            standing = Standing.EXPIRED
    match purpose.mode:
        case Mode.NOTICE_ONLY:
            permits = True
        case Mode.OPT_OUT:
            permits = standing in (Standing.GRANTED, Standing.EXPIRED, Standing.NONE)
        case _:
            permits = standing == Standing.GRANTED
    return Held(purpose=purpose, record=record, permits=permits, standing=standing, since=since, until=until)
