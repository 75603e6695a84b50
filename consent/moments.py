"""What somebody permitted at a moment: by all that is known now, or by what was known then.

Two clocks run in each record: when the person decided, and when we learned it. Asked of now, the answer is the projected
state (`consent.models.ConsentState`), which readers use; here it is worked out from the records, so it can be proved.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from django.db.models import Q, QuerySet

from consent.models import ConsentRecord, ConsentState, ConsentStop, Method, Mode, Purpose, Reach
from consent.querysets import stopped_by
from consent.replay import Holding, after, replayed
from consent.stops import held_then, stops_then


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
    records = _counted(ConsentRecord.objects.filter(profile_id=profile_id), at=at, known_at=known_at)
    by_purpose: dict[int, Holding | None] = {}
    for record in records.select_related("notice_version__notice"):
        by_purpose[record.purpose_id] = after(by_purpose.get(record.purpose_id), record)
    held = [_held(purpose, by_purpose.get(purpose.pk), at) for purpose in Purpose.objects.all()]
    return _without_stopped(held, held_then(profile_id, at=at, known_at=known_at))


def held_by_many(
    profile_ids: Collection[int], purpose: Purpose, *, at: datetime, known_at: datetime | None = None
) -> dict[int, Held]:
    """For each of these profiles, what `held_at` tells of this one purpose; two questions, however many they are."""
    records = _counted(
        ConsentRecord.objects.filter(profile_id__in=profile_ids, purpose=purpose), at=at, known_at=known_at
    )
    holding: dict[int, Holding | None] = {}
    for record in records.defer("sealed_evidence"):
        holding[record.profile_id] = after(holding.get(record.profile_id), record)
    held = {one: _held(purpose, holding.get(one), at) for one in profile_ids}
    for stop in stops_then(profile_ids, at=at, known_at=known_at):
        if stop.kind in stopped_by(purpose):
            held[stop.profile_id] = replace(held[stop.profile_id], permits=False, is_stopped=True)
    return held


@dataclass(frozen=True, kw_only=True, slots=True)
class Spell:
    """A time over which a purpose stood the same for somebody; ``since`` None: before anything was on record.

    ``held`` is as of its beginning.
    """

    held: Held
    since: datetime | None
    until: datetime


def spells(*, profile_id: int, until: datetime) -> dict[int, list[Spell]]:
    """By purpose id, what `held_at` tells of all moments up to this one, in order, by all we know."""
    records = ConsentRecord.objects.filter(profile_id=profile_id, reach=Reach.PERSON).order_by("pk")
    by_purpose: dict[int, list[ConsentRecord]] = defaultdict(list)
    for record in records.select_related("notice_version__notice").defer("notice_version__content", "sealed_evidence"):
        by_purpose[record.purpose_id].append(record)
    stops = list(ConsentStop.objects.filter(profile_id=profile_id))
    return {
        purpose.pk: _spells_of(
            purpose,
            by_purpose[purpose.pk],
            [(one.since, one.lifted_at) for one in stops if one.kind in stopped_by(purpose)],
            until,
        )
        for purpose in Purpose.objects.all()
    }


def _spells_of(
    purpose: Purpose,
    records: Sequence[ConsentRecord],
    stops: Sequence[tuple[datetime, datetime | None]],
    until: datetime,
) -> list[Spell]:
    moments = {_counts_from(one) for one in records} | {one.expires_at for one in records}
    moments |= {moment for stop in stops for moment in stop}
    turns = sorted(moment for moment in moments if moment is not None and moment < until)
    found = [Spell(held=_held(purpose, None, until), since=None, until=until)]
    counted: list[ConsentRecord] = []
    coming = sorted(records, key=_counts_from)
    holding: Holding | None = None
    for at in turns:
        added = []
        while coming and _counts_from(coming[0]) <= at:
            added.append(coming.pop(0))
        if added:
            added.sort(key=_number)
            is_in_order = not counted or counted[-1].pk < added[0].pk
            counted = sorted([*counted, *added], key=_number)
            # Which of them holds goes by the order in which they were recorded: one that came late is told with all of them.
            holding = replayed(added if is_in_order else counted, holding if is_in_order else None)
        is_stopped = any(since <= at and (lifted is None or at < lifted) for since, lifted in stops)
        held = _held(purpose, holding, at)
        held = replace(held, permits=False, is_stopped=True) if is_stopped else held
        last = found[-1].held
        if (held.permits, held.standing, held.is_stopped) != (last.permits, last.standing, last.is_stopped):
            found[-1] = replace(found[-1], until=at)
            found.append(Spell(held=held, since=at, until=until))
    return found


def _number(record: ConsentRecord) -> int:
    return record.pk


def unsettled(profile_ids: Collection[int], purpose: Purpose, *, since: datetime, until: datetime) -> set[int]:
    """Those for whom something was recorded, stopped or lifted in the span: within it nobody can say what came first."""
    records = ConsentRecord.objects.filter(profile_id__in=profile_ids, purpose=purpose, reach=Reach.PERSON)
    stops = ConsentStop.objects.filter(
        Q(since__range=(since, until)) | Q(lifted_at__range=(since, until)),
        profile_id__in=profile_ids,
        kind__in=stopped_by(purpose),
    )
    found = set(records.filter(recorded_at__range=(since, until)).values_list("profile_id", flat=True))
    return found | set(stops.values_list("profile_id", flat=True))


def _counts_from(record: ConsentRecord) -> datetime:
    """From when on it counts: `_counted`, of one record."""
    return record.recorded_at if record.method == Method.MERGE else record.collected_at


def _counted(records: QuerySet[ConsentRecord], *, at: datetime, known_at: datetime | None) -> QuerySet[ConsentRecord]:
    """Those of them that count as of the moment, in the order in which they were recorded: so a profile's are numbered, since
    whoever writes them has locked the person.

    What people became by merging or parting counts from when they did, however old the words are that it is dated by: until
    then each had said what they had said.
    """
    became = Q(method=Method.MERGE)
    records = records.filter(Q(became, recorded_at__lte=at) | Q(~became, collected_at__lte=at), reach=Reach.PERSON)
    if known_at is not None:
        records = records.filter(recorded_at__lte=known_at)
    return records.order_by("pk")


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
