"""Request bodies for the batch endpoint out of a stream of messages, within its limits.

Knows neither where messages come from nor how a body is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from demo.world import Message, Sent

# The endpoint takes 500 KB and 2,500 messages; a little is left for the envelope.
MAX_BYTES: Final = 480_000
MAX_MESSAGES: Final = 2_500
_OPEN, _CLOSE = b'{"batch":[', b"]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One request: the source it is sent as, its body, and how many messages of the stream had been read by then."""

    source: str
    body: bytes
    messages: int
    read: int
    reached: str  # the timestamp of the last message read


@dataclass(slots=True)
class _Open:
    parts: list[bytes] = field(default_factory=list)
    size: int = 0


def batches(
    stream: Iterable[Sent], *, max_bytes: int = MAX_BYTES, max_messages: int = MAX_MESSAGES, skip: int = 0
) -> Iterator[list[Batch]]:
    """Groups of batches; each group ends where every message read so far is in a batch of this or an earlier group.

    So a sender that remembers `read` of the last group it sent goes on behind it by leaving out (`skip`) that many.
    """
    encode = msgspec.json.Encoder().encode
    waiting: dict[str, _Open] = {}
    read = 0
    reached = ""
    for source, message in stream:
        if read < skip:
            read += 1
            continue
        encoded = encode(message)
        box = waiting.get(source)
        if box is None:
            box = waiting[source] = _Open()
        elif box.size + len(encoded) > max_bytes or len(box.parts) >= max_messages:
            # All sources go out together, so that an order isn't far from the visit that led to it.
            yield _closed(waiting, read, reached)
            waiting = {source: (box := _Open())}
        box.parts.append(encoded)
        box.size += len(encoded) + 1
        read += 1
        reached = _timestamp(message)
    if waiting:
        yield _closed(waiting, read, reached)


def _timestamp(message: Message) -> str:
    return str(message.get("timestamp", ""))


def _closed(waiting: dict[str, _Open], read: int, reached: str) -> list[Batch]:
    return [
        Batch(
            source=source,
            body=b"".join((_OPEN, b",".join(box.parts), _CLOSE)),
            messages=len(box.parts),
            read=read,
            reached=reached,
        )
        for source, box in waiting.items()
    ]
