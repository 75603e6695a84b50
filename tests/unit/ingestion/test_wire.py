"""From bytes to typed messages: what each field may be, what becomes of it, and what can't be used."""

import contextlib
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.identity.normalise import Identifier
from cdp.ingestion.limits import Refusal
from cdp.ingestion.wire import Message, read, read_shared, rejoin, split
from cdp.profiles.models import EventType

RECEIVED = datetime(2026, 3, 1, 12, tzinfo=UTC)
TRACK = {"type": "track", "event": "Looked", "userId": "ann", "messageId": "m1"}


def message(
    call: object, *, endpoint: str = "batch", is_trusted: bool = True, around: dict[str, Any] | None = None
) -> Message:
    raw = call if isinstance(call, bytes) else json.dumps(call).encode()
    shared = read_shared(json.dumps(around).encode() if around else b"")
    return read(
        raw, endpoint=endpoint, source_id=1, is_trusted=is_trusted, received_at=RECEIVED, fallback_id="f", shared=shared
    )  # fmt: skip


def refusal(call: object, **more: Any) -> tuple[str, str]:
    with pytest.raises(Refusal) as refused:
        message(call, **more)
    return refused.value.code, refused.value.pointer


# ---- Kinds and names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "name"),
    [
        ({"type": "track", "event": " Looked "}, EventType.TRACK, "Looked"),
        ({"type": "TRACK", "event": "Looked"}, EventType.TRACK, "Looked"),
        ({"type": "page", "name": "Home", "category": "Docs"}, EventType.PAGE, "Page Viewed"),
        ({"type": "screen"}, EventType.SCREEN, "Screen Viewed"),
        ({"type": "identify"}, EventType.IDENTIFY, "Identified"),
        ({"type": "group", "groupId": "g"}, EventType.GROUP, "Grouped"),
        ({"type": "alias", "previousId": "x"}, EventType.ALIAS, "Aliased"),
    ],
)
def test_each_call_is_an_event_with_a_name(call: dict[str, Any], kind: EventType, name: str) -> None:
    read_message = message(call | {"userId": "ann"})
    assert (read_message.type, read_message.name) == (kind, name)


def test_the_address_says_what_a_lone_call_is_whatever_its_body_claims() -> None:
    assert message({"type": "page", "event": "Looked", "userId": "ann"}, endpoint="track").type == EventType.TRACK


def test_page_and_group_keep_their_own_words_as_properties() -> None:
    page = message({"type": "page", "userId": "ann", "name": "Home", "category": "Docs", "properties": {"name": "own"}})
    assert page.properties == {"name": "own", "category": "Docs"}
    assert message({"type": "group", "userId": "ann", "groupId": 7, "traits": {"size": 3}}).properties == {
        "groupId": "7",
        "size": 3,
    }


def test_explicit_nulls_mean_absent() -> None:
    fields = ("userId", "messageId", "event", "name", "category", "properties", "traits", "context", "timestamp", "sentAt",
              "originalTimestamp", "groupId", "previousId", "integrations")  # fmt: skip
    kept = message({"type": "identify", **dict.fromkeys(fields), "anonymousId": "x"})
    assert kept.identifiers == [Identifier("anonymous_id", "x")]
    assert (kept.properties, kept.context, kept.traits, kept.occurred_at) == ({}, {}, {}, RECEIVED)


# ---- What can't be used --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"type": "buy"}, "unknown_type", "/type"),
        ({"type": None}, "unknown_type", "/type"),
        ({"type": 7}, "wrong_type", "/type"),
        ({"event": None}, "no_event_name", "/event"),
        ({"event": "  "}, "no_event_name", "/event"),
        ({"event": "x" * 201}, "event_name_too_long", "/event"),
        ({"userId": None}, "no_identifier", "/userId"),
        ({"userId": "undefined"}, "no_identifier", "/userId"),
        ({"messageId": "x" * 100}, "message_id_too_long", "/messageId"),
        ({"timestamp": "yesterday"}, "invalid_timestamp", "/timestamp"),
        ({"sentAt": "now"}, "invalid_timestamp", "/sentAt"),
        ({"timestamp": 1e300}, "invalid_timestamp", "/timestamp"),
        ({"timestamp": 10**300}, "invalid_timestamp", "/timestamp"),
        ({"timestamp": "0001-01-01T00:00:00Z"}, "timestamp_out_of_range", "/timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "invalid_timestamp", "/timestamp"),
        ({"timestamp": "9999-12-31T23:59:59Z"}, "timestamp_out_of_range", "/timestamp"),
        ({"timestamp": "9999-12-31T23:59:59-14:00"}, "invalid_timestamp", "/timestamp"),
        ({"timestamp": "1969-12-31T23:59:59Z"}, "timestamp_out_of_range", "/timestamp"),
        ({"timestamp": "2026-03-02T12:00:01Z"}, "timestamp_out_of_range", "/timestamp"),
        ({"timestamp": "9999-12-31T00:00:00Z", "sentAt": "0001-01-02T00:00:00Z"}, "timestamp_out_of_range", "/sentAt"),
        ({"properties": []}, "wrong_type", "/properties"),
        ({"context": "x"}, "wrong_type", "/context"),
        ({"userId": {"id": 1}}, "wrong_type", "/userId"),
        ({"userId": True}, "wrong_type", "/userId"),
        ({"properties": {"x": "a\x00b"}}, "invalid_text", ""),
        ({"properties": {"a\x00b": 1}}, "invalid_text", ""),
        ({"anything": "a\x00b"}, "invalid_text", ""),
        ({"properties": {"x": "y" * 33_000}}, "event_too_large", ""),
        ({"type": "alias"}, "no_previous_id", "/previousId"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(change: dict[str, Any], code: str, pointer: str) -> None:
    assert refusal(TRACK | change) == (code, pointer)


def test_a_browsers_events_are_of_the_last_months() -> None:
    """Its key is public, and each month of events is a partition of its own."""
    young, old = RECEIVED - timedelta(days=400), RECEIVED - timedelta(days=400, milliseconds=1)
    for field in ("timestamp", "originalTimestamp"):
        assert message(TRACK | {field: young.isoformat()}, is_trusted=False).occurred_at == young
        assert message(TRACK | {field: old.isoformat()}).occurred_at == old
        with pytest.raises(Refusal) as refused:
            message(TRACK | {field: old.isoformat()}, is_trusted=False)
        assert (refused.value.code, refused.value.pointer) == ("timestamp_out_of_range", "/timestamp")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"7", "wrong_type"),
        (b"null", "wrong_type"),
        (b"[]", "wrong_type"),
        (b'"text"', "wrong_type"),
        (b'{"type":"track","event":"\xff","userId":"ann"}', "invalid_text"),
        (b'{"type":"track","event":"Looked","userId":"ann","x":"\xff\\u0000"}', "invalid_text"),
        (b'{"type":"track","event":"Looked","userId":"ann","properties":{"x":1e400}}', "number_out_of_range"),
        (b'{"type":"track","event":"Looked","userId":"ann","properties":{"x":' + b"9" * 5000 + b"}}", "number_out_of_range"),
        (b'{"type":"track","event":"Looked","userId":"ann","properties":' + b'{"x":' * 40 + b"1" + b"}" * 41, "too_deep"),
        (b'{"type":"track","event":"Looked","userId":"ann","x":' + b"[" * 800 + b'"\\u0000"' + b"]" * 800 + b"}", "too_deep"),
        (b'{"type":"track","event":"Looked","userId":"ann","x":' + b"[" * 9000 + b"]" * 9000 + b"}", "too_deep"),
    ],
)  # fmt: skip
def test_bytes_that_hold_no_message_are_refused(raw: bytes, code: str) -> None:
    assert refusal(raw)[0] == code


@pytest.mark.parametrize("raw", [r'{"x":"\\u0000"}', r'{"x":"C:\\u0000\\dir"}'])
def test_a_backslash_before_u0000_is_just_text(raw: str) -> None:
    body = f'{{"type":"track","event":"Looked","userId":"ann","properties":{raw}}}'.encode()
    assert message(body).properties == json.loads(raw)


# ---- Numbers and money ---------------------------------------------------------------------------------------


def test_numbers_that_cannot_be_compared_are_kept_as_text_and_flagged() -> None:
    kept = message(
        TRACK | {"properties": {"big": 10**400, "fine": 10**14, "list": [1e16, 2], "deep": {"n": -(10**30)}}}
    )
    assert kept.properties == {"big": str(10**400), "fine": 10**14, "list": ["1e+16", 2], "deep": {"n": str(-(10**30))}}
    assert kept.flags == ["number_too_large"]


def test_numbers_that_fit_stay_numbers() -> None:
    properties = {"a": 999_999_999_999_999, "b": 1e14, "c": -0.0001, "text": "12345678901234567890"}
    kept = message(TRACK | {"properties": properties})
    assert kept.properties == properties and kept.flags == []


@pytest.mark.parametrize(
    ("properties", "amount", "currency", "flags"),
    [
        ({"revenue": 12.5, "currency": "chf"}, "12.5", "CHF", []),
        ({"revenue": None, "total": 7}, "7", None, []),
        ({"total": 7, "value": 3}, "7", None, []),
        ({"value": -3}, "-3", None, []),
        ({"revenue": 5, "currency": "francs"}, "5", "XXX", ["currency_unknown"]),
        ({"revenue": 5, "currency": 756}, "5", "XXX", ["currency_unknown"]),
        ({"revenue": "12.50"}, None, None, ["amount_not_a_number"]),
        ({"revenue": True}, None, None, ["amount_not_a_number"]),
        ({"price": 5}, None, None, []),
    ],
)
def test_the_amount_is_revenue_else_total_else_value(
    properties: dict[str, Any], amount: str | None, currency: str | None, flags: list[str]
) -> None:
    read_message = message(TRACK | {"properties": properties})
    assert (read_message.amount, read_message.currency) == (None if amount is None else Decimal(amount), currency)
    assert read_message.flags == flags


# ---- Time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "occurred"),
    [
        ({}, RECEIVED),
        ({"timestamp": "2026-02-28T10:00:00Z"}, datetime(2026, 2, 28, 10, tzinfo=UTC)),
        ({"timestamp": "2026-02-28T10:00:00"}, datetime(2026, 2, 28, 10, tzinfo=UTC)),
        ({"timestamp": "2026-02-28T10:00:00+02:00"}, datetime(2026, 2, 28, 8, tzinfo=UTC)),
        ({"timestamp": 1772272800}, datetime(2026, 2, 28, 10, tzinfo=UTC)),
        ({"timestamp": 1772272800000}, datetime(2026, 2, 28, 10, tzinfo=UTC)),
        # A clock 3 hours ahead: sent at 15:00 by it, received at 12:00, so 5 minutes before are 11:55.
        ({"timestamp": "2026-03-01T14:55:00Z", "sentAt": "2026-03-01T15:00:00Z"}, RECEIVED - timedelta(minutes=5)),
        # A clock 10 years behind.
        ({"timestamp": "2016-03-01T11:55:00Z", "sentAt": "2016-03-01T12:00:00Z"}, RECEIVED - timedelta(minutes=5)),
        ({"originalTimestamp": "2026-03-01T14:55:00Z", "timestamp": "2020-01-01T00:00:00Z", "sentAt": "2026-03-01T15:00:00Z"},
         RECEIVED - timedelta(minutes=5)),
        ({"sentAt": "2026-03-01T15:00:00Z"}, RECEIVED),
    ],
)  # fmt: skip
def test_the_senders_clock_is_corrected_by_what_it_said_when_sending(times: dict[str, Any], occurred: datetime) -> None:
    assert message(TRACK | times).occurred_at == occurred


def test_all_four_times_are_kept() -> None:
    kept = message(TRACK | {"timestamp": "2026-03-01T14:55:00Z", "sentAt": "2026-03-01T15:00:00Z"})
    assert kept.original_timestamp == datetime(2026, 3, 1, 14, 55, tzinfo=UTC)
    assert (kept.sent_at, kept.received_at) == (datetime(2026, 3, 1, 15, tzinfo=UTC), RECEIVED)


# ---- The batch around it -------------------------------------------------------------------------------------


def test_what_a_batch_says_of_all_is_overruled_by_what_an_item_says() -> None:
    around = {"context": {"ip": "10.0.0.1", "locale": "de"}, "sentAt": "2026-03-01T15:00:00Z"}
    kept = message(TRACK | {"context": {"locale": "fr"}, "timestamp": "2026-03-01T14:00:00Z"}, around=around)
    assert kept.context == {"ip": "10.0.0.1", "locale": "fr"}
    assert kept.occurred_at == RECEIVED - timedelta(hours=1)


@pytest.mark.parametrize(
    ("around", "code", "pointer"),
    [
        ({"context": []}, "wrong_type", "/context"),
        ({"context": {"x": "\x00"}}, "invalid_text", ""),
        ({"context": {"x": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}, "too_deep", ""),
        ({"sentAt": {}}, "wrong_type", "/sentAt"),
        ({"sentAt": "soon"}, "invalid_timestamp", "/sentAt"),
    ],
)
def test_a_shared_part_that_cannot_be_used_is_named(around: dict[str, Any], code: str, pointer: str) -> None:
    assert refusal(TRACK, around=around) == (code, pointer)


def test_a_split_batch_can_be_put_together_again() -> None:
    body = b'{"batch":[{"a":1}, {"b" : 2}],"context":{"x":1},"sentAt":"s","writeKey":"k"}'
    items, shared = split("batch", body)
    assert items == [b'{"a":1}', b'{"b" : 2}']
    again = split("batch", rejoin(items[1], shared))
    assert again == ([b'{"b" : 2}'], shared)
    assert split("batch", rejoin(b"{}", b"")) == ([b"{}"], b"")
    assert split("track", body) == ([body], b"")


# ---- Who, and what they allow --------------------------------------------------------------------------------


def test_a_server_may_name_people_in_more_ways_than_a_browser() -> None:
    call = {
        "type": "identify", "userId": "ann", "anonymousId": "x", "traits": {"email": "A@b.ch"},
        "context": {"externalIds": [{"type": "CRM", "id": "7"}, {"type": 5, "id": "x"}, "junk", {"type": "phone"}]},
    }  # fmt: skip
    assert message(call).identifiers == [
        Identifier("user_id", "ann"), Identifier("email", "a@b.ch"), Identifier("crm", "7"), Identifier("anonymous_id", "x"),
    ]  # fmt: skip
    assert message(call, is_trusted=False).identifiers == [
        Identifier("user_id", "ann"),
        Identifier("anonymous_id", "x"),
    ]


def test_an_external_id_cannot_pose_as_an_alias() -> None:
    call = TRACK | {"context": {"externalIds": [{"type": "previous_id", "id": "bob"}]}}
    kept = message(call)
    assert kept.identifiers == [Identifier("user_id", "ann")] and kept.flags == ["identifier_namespace"]


@pytest.mark.parametrize(
    ("consent", "consents", "flags"),
    [
        ({"categoryPreferences": {"analytics": True, "sms": False}}, {"analytics": True, "sms": False}, []),
        ({"categoryPreferences": {"analytics": "true"}}, {}, ["consent_malformed"]),
        ({"categoryPreferences": {"analytics": 1, "sms": False}}, {"sms": False}, ["consent_malformed"]),
        ({"categoryPreferences": {"analytics": None}}, {}, ["consent_malformed"]),
        ({"categoryPreferences": ["analytics"]}, {}, ["consent_malformed"]),
        ({"categoryPreferences": None}, {}, ["consent_malformed"]),
        ({}, {}, ["consent_malformed"]),
        (True, {}, ["consent_malformed"]),
        ("granted", {}, ["consent_malformed"]),
        (None, {}, []),
    ],
)
def test_only_true_is_a_yes(consent: object, consents: dict[str, bool], flags: list[str]) -> None:
    kept = message(TRACK | {"context": {"consent": consent}})
    assert (kept.consents, kept.flags) == (consents, flags)


def test_a_trait_with_an_unusable_name_is_flagged() -> None:
    assert message({"type": "identify", "userId": "ann", "traits": {"x" * 129: 1}}).flags == ["trait_key_length"]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
FIELDS = ("type", "messageId", "userId", "anonymousId", "previousId", "groupId", "event", "name", "category", "properties",
          "traits", "context", "timestamp", "originalTimestamp", "sentAt", "integrations")  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(FIELDS), ANY_JSON), st.sampled_from(["batch", "track", "identify", "page", "alias"])
)
def test_any_json_is_a_message_or_a_refusal(fields: dict[str, Any], endpoint: str) -> None:
    try:
        kept = message(TRACK | fields, endpoint=endpoint)
    except Refusal:
        return
    assert kept.identifiers and kept.name and kept.message_id


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_refusal(raw: bytes) -> None:
    with contextlib.suppress(Refusal):
        message(raw)
