"""Batches stay within the endpoint's limits, and a sender can go on where it stopped."""

import json
from datetime import UTC, datetime

from demo.batches import batches
from demo.shop import messages
from demo.world import Sent

STREAM = list(messages(seed=3, as_of=datetime(2026, 2, 1, tzinfo=UTC), people=400))


def _sent(groups: list) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {"browser": [], "backend": []}
    for group in groups:
        for batch in group:
            found[batch.source] += json.loads(batch.body)["batch"]
    return found


def test_every_body_is_within_500_kb_and_2500_messages() -> None:
    groups = list(batches(STREAM))
    assert len(groups) > 5
    for group in groups:
        for batch in group:
            assert len(batch.body) <= 500_000
            assert len(json.loads(batch.body)["batch"]) == batch.messages <= 2_500
    small = [Sent("backend", {"type": "track", "messageId": str(n)}) for n in range(6_000)]
    assert [batch.messages for group in batches(small) for batch in group] == [2_500, 2_500, 1_000]


def test_nothing_is_lost_doubled_or_reordered_and_each_goes_to_its_own_source() -> None:
    found = _sent(list(batches(STREAM)))
    for source in ("browser", "backend"):
        assert found[source] == [message for of, message in STREAM if of == source]


def test_a_sender_goes_on_behind_the_last_group_it_sent() -> None:
    whole = list(batches(STREAM))
    for stopped_after in (1, 4, len(whole)):
        read = whole[stopped_after - 1][0].read
        assert list(batches(STREAM, skip=read)) == whole[stopped_after:]
    assert whole[-1][0].read == len(STREAM)
