"""What holds after a row of records: the rule by which the projection is kept (`consent.services`), told once more over records.

Pure. It proves what held at a moment (`consent.moments`), and finds whose word is whose when two people part (`consent.merging`).
"""

from collections.abc import Iterable

from consent.models import ConsentRecord, Decision, Method


def after(held: ConsentRecord | None, record: ConsentRecord) -> ConsentRecord | None:
    """What holds once this one is recorded too.

    The newest decision holds, of two at one moment the stricter. What people became by merging or parting stands in place of
    all that was recorded before; pending there means that nothing of it is their own word.
    """
    if record.method == Method.MERGE:
        return None if record.decision == Decision.PENDING else record
    if record.decision == Decision.PENDING:
        return held
    if held is None or record.collected_at > held.collected_at:
        return record
    is_no = record.decision != Decision.GRANTED
    return record if is_no and record.collected_at == held.collected_at else held


def replayed(records: Iterable[ConsentRecord]) -> ConsentRecord | None:
    """What holds after all of these, of one profile and purpose, in the order in which they were recorded."""
    held = None
    for record in records:
        held = after(held, record)
    return held
