"""Whatever comes gets a documented answer: never a 500, never a stuck consumer, and what came after it is processed."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.errors import DomainError
from cdp.ingestion.accept import accept
from cdp.ingestion.models import InboxMessage, Quarantined
from cdp.pipeline import Report, process_batch
from cdp.profiles import catalogue
from cdp.profiles.models import Event, Identifier, Profile, Trait, TraitValue
from tests.factories import Tracker, person, track, tracker
from tests.harness.hostile import HOSTILE, is_text
from tests.integration.books import assert_nobody_is_orphaned, assert_totals_equal_events

GOOD = {"type": "track", "event": "Good", "userId": "good"}


@pytest.fixture
def shop(db: None) -> Tracker:
    return tracker()


def send(shop: Tracker, body: bytes, endpoint: str = "batch") -> int:
    """The status of the answer; any other error than a refusal would be a 500."""
    try:
        accept(endpoint=endpoint, body=body, authorization=f"Bearer {shop.key}", received_at=datetime.now(UTC))
    except DomainError as refused:
        return refused.status
    return 200


def work_off(shop: Tracker) -> Report:
    """What came of all that waited, and of a good message after it. Each is stored, a repeat, or quarantined."""
    assert send(shop, msgspec.json.encode({"batch": [GOOD]})) == 200
    total = Report()
    for _ in range(50):
        report = process_batch()
        total += report
        if not report.requests:
            break
    assert not InboxMessage.objects.exists(), "the consumer is stuck"
    assert total.messages == total.stored + total.repeats + total.quarantined
    assert Event.objects.order_by("-received_at").first().message_id.startswith("inbox-")  # type: ignore[union-attr]
    return total


def one(rest: bytes = b"", around: bytes = b"") -> bytes:
    """A batch of one track call, with more to say of it, or of the batch."""
    return b'{"batch":[{"type":"track","event":"e","userId":"u"' + rest + b"}]" + around + b"}"


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


RAW = {
    "invalid JSON": (b'{"batch":[{"event":}]}', 400),
    "nothing": (b"", 400),
    "not an object": (b"[1,2]", 400),
    "a NUL byte": (one(b',"name":"a\x00b"'), 400),
    "an escaped NUL": (one(b',"name":"a\\u0000b"'), 200),
    "half a character": (one(b',"name":"a\\ud800b"'), 200),
    "nested 20,000 deep": (b'{"batch":[' + b"[" * 20_000 + b"]" * 20_000 + b"]}", 400),
    "nested 700 deep": (one(b',"properties":' + nested(700)), None),
    "nested 40 deep": (one(b',"properties":' + nested(40)), 200),
    "a shared context nested 700 deep": (one(around=b',"context":' + nested(700)), None),
    "a shared NUL": (one(around=b',"context":{"a":"\\u0000"}'), 200),
    "a shared number out of range": (one(around=b',"context":{"a":1e400}'), 200),
    "invalid UTF-8 inside": (one(b',"name":"\xff\xfe"'), 200),
    "invalid UTF-8 around": (one(around=b',"context":{"a":"\xff"}'), 200),
    "1e400": (one(b',"properties":{"x":1e400}'), 200),
    "NaN": (one(b',"properties":{"x":NaN}'), 400),
    "a number of 400 digits": (one(b',"properties":{"revenue":' + b"9" * 400 + b"}"), 200),
    "a number of 5,000 digits": (one(b',"properties":{"x":' + b"9" * 5000 + b"}"), 200),
    "an id of 400 digits": (one(b',"anonymousId":' + b"9" * 400), 200),
    "an id of 5,000 digits": (one(b',"anonymousId":' + b"9" * 5000), 200),
    "year 1": (one(b',"timestamp":"0001-01-01T00:00:00Z"'), 200),
    "year 9999": (one(b',"timestamp":"9999-12-31T23:59:59Z"'), 200),
    "made in year 9999, sent in year 1": (
        one(b',"timestamp":"9999-12-31T23:59:59Z","sentAt":"0001-01-01T00:00:00Z"'),
        200,
    ),
    "an empty batch": (b'{"batch":[]}', 200),
    "no objects": (b'{"batch":[null,1,"x",[],true,{}]}', 200),
    "equal names": (one(b',"type":"page","userId":"v"', b',"batch":[{"type":"page","userId":"u"}]'), 200),
    "a huge key": (one(b',"type":"identify","traits":{"' + b"k" * 30_000 + b'":1}'), 200),
    "an empty key": (one(b',"type":"identify","traits":{"":1}'), 200),
}


@pytest.mark.parametrize("name", RAW)
def test_hostile_bytes_get_an_answer_and_stop_nobody(shop: Tracker, name: str) -> None:
    body, expected = RAW[name]
    status = send(shop, body)
    # How deep is too deep to take apart depends on how deep the server itself stands; both answers are documented.
    assert status == expected if expected else status in (200, 400)
    work_off(shop)


@pytest.mark.parametrize("name", RAW)
def test_the_same_bytes_over_http_are_never_a_server_error(client: Client, shop: Tracker, name: str) -> None:
    body, _ = RAW[name]
    headers = {"Authorization": f"Bearer {shop.key}"}
    for call in ("batch", "track", "identify"):
        response = client.post(f"/v1/{call}", body, content_type="application/json", headers=headers)
        assert response.status_code in (200, 400)
        assert response.status_code == 200 or (response.json()["code"] and response.json()["message"])
    work_off(shop)


# ---- Each field with each type -------------------------------------------------------------------------------

FIELDS = (
    "type", "event", "messageId", "userId", "anonymousId", "previousId", "groupId", "name", "category", "properties", "traits",
    "context", "integrations", "timestamp", "originalTimestamp", "sentAt", "writeKey", "channel", "version",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 10**400, -(10**400), 1.5, 1e300, -0.0, "", " ", "x", "null", "x" * 5000, "\u202e\ufeff\U0010ffff",
    [], [1], [[[]]], {}, {"a": {"b": []}}, {"": 0}, [None], "2024-02-30", "9999-12-31T23:59:59.999999Z",
)  # fmt: skip


def test_each_field_may_be_of_any_type(shop: Tracker) -> None:
    """Every combination in one backlog: each message is stored or quarantined with a code, none is lost."""
    calls = [
        GOOD | {"type": kind, field: value}
        for field in FIELDS
        for value in VALUES
        for kind in ("track", "identify", "alias")
    ]
    for start in range(0, len(calls), 500):
        assert send(shop, json.dumps({"batch": calls[start : start + 500]}).encode()) == 200
    report = work_off(shop)
    assert report.messages == len(calls) + 1
    assert report.repeats < 40, "only those that give one message id"
    assert all(len(code) > 3 for code in Quarantined.objects.values_list("code", flat=True))
    assert_totals_equal_events()
    assert_nobody_is_orphaned()


def test_each_part_of_a_context_may_be_of_any_type(shop: Tracker) -> None:
    parts = ("traits", "externalIds", "consent", "campaign", "device", "ip", "page", "userAgent", "timezone", "groupId")
    inner = [{"externalIds": [{"type": "crm", "id": value}, {"type": value, "id": "x"}, value]} for value in VALUES]
    inner += [{"consent": {"categoryPreferences": value}} for value in VALUES]
    inner += [{"consent": {"categoryPreferences": {"analytics": value, "": True, "x" * 300: True}}} for value in VALUES]
    inner += [{"traits": {"email": value}} for value in VALUES]
    contexts = [{part: value} for part in parts for value in VALUES] + inner
    calls = [
        GOOD | {"event": event, "context": c}
        for c in contexts
        for event in ("Good", "Segment Consent Preference Updated")
    ]
    assert send(shop, json.dumps({"batch": calls}).encode()) == 200
    assert work_off(shop).quarantined == 0
    assert Event.objects.count() == len(calls) + 1


# ---- Hostile text --------------------------------------------------------------------------------------------

ATTACKS = [
    "'; DROP TABLE profiles_event; --", "\" OR 1=1 --", "{}", "{1,2}", '{"a"}', "\\", "\\\\", "\\N", "\\.", "\t", "a\tb\nc\rd", "NULL",
    "%s", "%(id)s", "{0}", "${jndi:ldap://x}", "<script>alert(1)</script>", "../../etc/passwd", "\u202eevil",
    "ﷺ" * 50, "e\u0301" * 60, "👩‍👩‍👧‍👦" * 20, "\ufeff", "\u200b", "İ", "ß", "ſ", "ǆ", "\U0001f1e8\U0001f1ed", "\ufffe", "\x7f",
    "\x1b[31m", "\x85", "\u2028",
    "0", "00", "1e5", "Infinity", "NaN", "true", "[]", "-", "--", "a" * 512, "a" * 513, "é" * 512, " " * 300, "__proto__", "constructor",
]  # fmt: skip
FIVE_HUNDRED = [*dict.fromkeys([*ATTACKS, *(one for one in HOSTILE if is_text(one) and len(one) <= 150)])][:500]


def test_hostile_text_is_kept_as_it_came_in_every_field(shop: Tracker) -> None:
    assert len(FIVE_HUNDRED) == 500
    for start in range(0, 500, 25):  # escaped, they are large
        calls = [
            call
            for number, text in enumerate(FIVE_HUNDRED[start : start + 25], start)
            for call in (
                {"type": "track", "event": f"e {text}"[:200], "userId": f"u{number}", "messageId": f"t{number} {text}"[:99],
                 "properties": {text: text, "list": [text], "nested": {text: {text: text}}}, "context": {text: text}},
                {"type": "identify", "userId": f"u{number} {text}", "anonymousId": text,
                 "traits": {f"t {text}"[:128]: text, "tags": [text]}},
                {"type": "group", "userId": f"u{number}", "groupId": text, "traits": {text: text}},
                {"type": "page", "userId": f"u{number}", "name": text, "category": text},
            )
        ]  # fmt: skip
        assert send(shop, json.dumps({"batch": calls}).encode()) == 200
        assert send(shop, json.dumps({"batch": calls}, ensure_ascii=False).encode()) == 200
    work_off(shop)
    assert not Quarantined.objects.filter(code="unstorable").exists()
    for number, text in enumerate(FIVE_HUNDRED):
        tracked = Event.objects.filter(type=1, message_id=f"t{number} {text}"[:99]).first()
        assert tracked is not None and tracked.properties[text] == text and tracked.context == {text: text}
    assert {value.raw for value in TraitValue.objects.filter(trait__key__startswith="t ")} <= set(FIVE_HUNDRED)
    assert_totals_equal_events()
    assert_nobody_is_orphaned()


def test_texts_differ_only_where_they_differ(shop: Tracker) -> None:
    """No two ids are confounded by case, accents, or forms of one letter."""
    ids = ["ann", "Ann", "ånn", "a\u030ann", "ann\u200b", "аnn"]  # the last begins with a Cyrillic letter
    send(shop, json.dumps({"batch": [GOOD | {"userId": one} for one in ids]}).encode())
    work_off(shop)
    assert set(Identifier.objects.values_list("value", flat=True)) == {*ids, "good"}


# ---- Random JSON ---------------------------------------------------------------------------------------------

WORDS = st.sampled_from([*ATTACKS[:12], "a", "user", "email", "a@b.ch", "2024-01-01T00:00:00Z", "analytics"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(), inner, max_size=4),
    max_leaves=8,
)
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "identify", "page", "group", "alias"]) | ANYTHING},
    optional={field: ANYTHING for field in FIELDS if field != "type"} | {"userId": WORDS | ANYTHING},
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    batch=st.lists(MESSAGES | ANYTHING, max_size=8),
    around=st.dictionaries(st.sampled_from(["context", "sentAt"]), ANYTHING),
)
def test_random_json_is_stored_or_quarantined(django_db_blocker: Any, batch: list[Any], around: dict[str, Any]) -> None:
    with django_db_blocker.unblock(), transaction.atomic():
        catalogue.forget()
        shop = tracker()
        assert send(shop, json.dumps({"batch": batch} | around).encode()) == 200
        assert work_off(shop).messages == len(batch) + 1
        assert not Quarantined.objects.filter(code="unstorable").exists()
        assert_totals_equal_events()
        assert_nobody_is_orphaned()
        transaction.set_rollback(True)
    catalogue.forget()


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["batch", "track", "alias"]), st.binary(max_size=80))
def test_random_bytes_get_an_answer(django_db_blocker: Any, endpoint: str, body: bytes) -> None:
    with django_db_blocker.unblock(), transaction.atomic():
        shop = tracker()
        assert send(shop, body, endpoint) in (200, 400)
        transaction.set_rollback(True)


# ---- What breaks only when it is stored ----------------------------------------------------------------------


def test_a_message_that_cannot_be_stored_is_found_and_the_others_are_kept(
    shop: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever slips through all checks: the batch is halved until the one is found."""
    from cdp.profiles import store

    real = store.copy_events

    def choosy(rows: Any) -> None:
        if any(row.properties.get("poison") for row in rows):
            raise ValueError("can't be written")
        real(rows)

    monkeypatch.setattr(store, "copy_events", choosy)
    shop.send(*(track("Looked", f"u{n}", properties={"poison": n in (3, 17)}) for n in range(40)), {"type": "buy"})
    assert work_off(shop).quarantined == 3
    assert Event.objects.count() == 39
    assert set(Quarantined.objects.values_list("code", "endpoint")) == {
        ("unstorable", "batch"),
        ("unknown_type", "batch"),
    }
    assert not Profile.objects.filter(identifiers__value="u3").exists()
    assert_totals_equal_events()


def test_a_key_too_long_for_a_trait_costs_the_trait_and_not_the_person(shop: Tracker) -> None:
    shop.send({"type": "identify", "userId": "ann", "traits": {"k" * 129: 1, "": 2, "city": "Bern"}})
    work_off(shop)
    assert person("ann").traits == {"city": "Bern"}
    assert Event.objects.get(profile_id=person("ann").pk).flags == ["trait_key_length"]
    assert not Trait.objects.filter(key="").exists()
