"""What somebody permitted at a moment: by all that is known now, or by what was known then.

Two clocks run in each record: when the person decided, and when we learned it. Asked of now, the answer is the projected
state (`consent.models.ConsentState`), which readers use; here it is worked out from the records, so it can be proved.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, IntegerField, Value, When

from consent.models import ConsentRecord, Decision, Mode, Purpose, Reach


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What held for a purpose, as it is set up today; ``record`` is the one that decided it, None when there was none."""

    purpose: Purpose
    record: ConsentRecord | None
    permits: bool


def held_at(*, profile_id: int, at: datetime, known_at: datetime | None = None) -> list[Held]:
    """For each purpose, what held for this profile.

    Args:
        at: as of when: what was decided later doesn't count, nor does a yes that had ended by then.
        known_at: counting only what we had learned by then; all we know, if nothing is said. What two profiles had said
            before they were merged is each one's own, and stands with the id of each.
    """
    records = ConsentRecord.objects.filter(profile_id=profile_id, reach=Reach.PERSON, collected_at__lte=at)
    records = records.exclude(decision=Decision.PENDING)
    if known_at is not None:
        records = records.filter(recorded_at__lte=known_at)
    # Of two at one moment the stricter, as in the projection.
    is_yes = Case(When(decision=Decision.GRANTED, then=Value(1)), default=Value(0), output_field=IntegerField())
    newest = (
        records.annotate(is_yes=is_yes)
        .select_related("notice_version__notice")
        .order_by("purpose_id", "-collected_at", "is_yes", "-pk")
        .distinct("purpose_id")
    )
    by_purpose = {record.purpose_id: record for record in newest}
    return [_held(purpose, by_purpose.get(purpose.pk), at) for purpose in Purpose.objects.all()]


def _held(purpose: Purpose, record: ConsentRecord | None, at: datetime) -> Held:
    match purpose.mode:
        case Mode.NOTICE_ONLY:
            permits = True
        case Mode.OPT_OUT:
            permits = record is None or record.decision == Decision.GRANTED
        case _:
            permits = (
                record is not None
                and record.decision == Decision.GRANTED
                and (record.expires_at is None or record.expires_at > at)
            )
    return Held(purpose=purpose, record=record, permits=permits)
