"""Whom a message names, also when it can't be used: the same as reading it finds, where it can be read."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.identity.normalise import Identifier
from cdp.ingestion.limits import Refusal
from cdp.ingestion.wire import joined, named_in, read, read_shared, split

NOW = datetime(2026, 6, 1, tzinfo=UTC)
IDS = st.sampled_from(
    [None, "ann", " Ann ", 7, 7.0, 7.5, 10**17, 1e20, "", "null", True, "x" * 600, {"a": 1}, "a\u0000b"]
)
EMAILS = st.sampled_from([None, "ann@b.ch", " ANN@b.ch", "nobody", 3])
PEOPLE = st.fixed_dictionaries(
    {},
    optional={
        "traits": st.fixed_dictionaries({"email": EMAILS}),
        "externalIds": st.lists(st.fixed_dictionaries({"type": st.sampled_from(["crm", "CRM", "previous_id", 3]), "id": IDS}), max_size=2),
    },
)  # fmt: skip
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "identify", "alias", "page", "IDENTIFY"])},
    optional={
        "userId": IDS,
        "anonymousId": IDS,
        "previousId": IDS,
        "event": st.just("Bought"),
        "traits": st.fixed_dictionaries({"email": EMAILS}),
        "context": PEOPLE,
    },
)


def named(message: Any, *, shared: bytes = b"", is_trusted: bool = True) -> list[Identifier] | None:
    claim = named_in(msgspec.json.encode(message), endpoint="batch", is_trusted=is_trusted, shared=shared)
    return None if claim is None else list(claim.identifiers)


@given(message=MESSAGES, around=st.none() | PEOPLE, is_trusted=st.booleans())
def test_of_what_can_be_read_it_says_what_reading_finds(message: Any, around: Any, is_trusted: bool) -> None:
    shared = b"" if around is None else b'{"context":%b,"sentAt":null}' % msgspec.json.encode(around)
    raw = msgspec.json.encode(message)
    try:
        found = read(
            raw,
            endpoint="batch",
            source_id=1,
            is_trusted=is_trusted,
            received_at=NOW,
            fallback_id="x",
            shared=read_shared(shared),
        )
    except Refusal:
        named(message, shared=shared, is_trusted=is_trusted)  # whatever it says, it says something
        return
    claim = named_in(raw, endpoint="batch", is_trusted=is_trusted, shared=shared)
    assert claim is not None
    assert (list(claim.identifiers), claim.is_trusted) == (found.identifiers, is_trusted)
    assert claim.is_alias == found.is_alias


@pytest.mark.parametrize(
    "message",
    [
        {"type": "trick", "userId": "ann"},
        {"type": "track", "userId": "ann", "event": 7},
        {"type": "track", "userId": "ann", "context": "wrong", "timestamp": []},
        {"userId": "ann", "traits": [1]},
        {"type": "track", "userId": "ann", "event": "Bought", "timestamp": "yesterday"},
    ],
)
def test_what_is_wrong_elsewhere_in_a_message_hides_nobody(message: Any) -> None:
    assert named(message) == [("user_id", "ann")]


@pytest.mark.parametrize("raw", [b"", b"{", b"7", b'"ann"', b"[]", b"\xff", b'{"userId":null}', b"[" * 5000])
def test_what_names_nobody_is_nobodys(raw: bytes) -> None:
    assert named_in(raw, endpoint="batch", is_trusted=True, shared=b"") is None


def test_a_request_is_put_together_again_as_it_was_taken_apart() -> None:
    body = b'{"batch":[{"a":1},{"b":2}],"context":{"c":3},"sentAt":"2026-06-01"}'
    items, around = split("batch", body)
    assert split("batch", joined(items, around)) == (items, around)
    assert split("batch", joined(items[:1], b"")) == (items[:1], b"")
