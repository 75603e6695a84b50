"""From the bytes of a tracking request to messages whose every field has the type it should have.

Pure: no database, no clock. What can't be used is a `Refusal` with code and pointer, so that it can be quarantined.
The wire format is the one that Segment's and RudderStack's client libraries speak.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from cdp.identity.normalise import ANONYMOUS_ID, EMAIL, USER_ID, Identifier, Unusable, normalise, priority
from cdp.identity.resolve import Claim
from cdp.ingestion.consent_words import Asks, ConsentString, choices, strings
from cdp.ingestion.limits import (
    COULD_BE_LARGE,
    DEPTH_LIMIT,
    EVENT_LIMIT,
    Refusal,
    check_text_and_depth,
    large_numbers_as_text,
)
from cdp.profiles.models import EventType
from cdp.profiles.orders import order_key
from cdp.profiles.values import NO_CURRENCY, as_currency, as_number

MESSAGE_ID_LIMIT = 100
NAME_LIMIT = 200
TRAIT_KEY_LIMIT = 128
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
# A browser's key is public: whoever has it could else have a partition made for each month since then.
BROWSER_AGE_LIMIT = timedelta(days=400)
AHEAD_LIMIT = timedelta(hours=24)
CONSENT_EVENT = "Segment Consent Preference Updated"

TYPES = {
    "track": EventType.TRACK,
    "page": EventType.PAGE,
    "screen": EventType.SCREEN,
    "identify": EventType.IDENTIFY,
    "group": EventType.GROUP,
    "alias": EventType.ALIAS,
}
FIXED_NAMES = {
    EventType.PAGE: "Page Viewed",
    EventType.SCREEN: "Screen Viewed",
    EventType.IDENTIFY: "Identified",
    EventType.GROUP: "Grouped",
    EventType.ALIAS: "Aliased",
}


class Call(msgspec.Struct, rename="camel"):
    """One message as the libraries send it; explicit nulls come and mean absent."""

    type: str | None = None
    message_id: str | None = None
    user_id: str | int | float | None = None
    anonymous_id: str | int | float | None = None
    previous_id: str | int | float | None = None
    group_id: str | int | float | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    timestamp: str | int | float | None = None
    original_timestamp: str | int | float | None = None
    sent_at: str | int | float | None = None


class Envelope(msgspec.Struct, rename="camel"):
    """A batch, each part as it came: what is wrong with a shared part is wrong with each item."""

    batch: list[msgspec.Raw]
    context: msgspec.Raw = msgspec.Raw(b"null")
    sent_at: msgspec.Raw = msgspec.Raw(b"null")


class SharedParts(msgspec.Struct, rename="camel"):
    """What a batch says about all of its items."""

    context: dict[str, Any] | None = None
    sent_at: str | int | float | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """What a batch says about all of its items, read once for all."""

    context: dict[str, Any] = field(default_factory=dict)
    sent_at: datetime | None = None
    flags: tuple[str, ...] = ()
    raw: bytes = b""


NOTHING_SHARED = Shared()

Shape = TypeVar("Shape", Call, SharedParts)

call_decoder = msgspec.json.Decoder(Call)
envelope_decoder = msgspec.json.Decoder(Envelope)
shared_decoder = msgspec.json.Decoder(SharedParts)


@dataclass(slots=True)
class Message:
    """A message that can be stored."""

    source_id: int
    is_trusted: bool
    type: EventType
    name: str
    message_id: str
    digest: bytes
    identifiers: list[Identifier]
    occurred_at: datetime
    received_at: datetime
    sent_at: datetime | None
    original_timestamp: datetime | None
    amount: Decimal | None
    currency: str | None
    properties: dict[str, Any]
    context: dict[str, Any]
    traits: dict[str, Any]
    consents: dict[str, bool]
    # What they were shown before they decided, as the message has it.
    served: UUID | None = None
    # Sec-GPC: 1 came with the request.
    opts_out: bool = False
    consent_strings: tuple[ConsentString, ...] = ()
    order_key: str | None = None
    is_alias: bool = False
    flags: list[str] = field(default_factory=list)
    # As it came, in case that it can't be stored.
    endpoint: str = "batch"
    raw: bytes = b""
    shared: bytes = b""
    asks: int = 0


def split(endpoint: str, body: bytes) -> tuple[list[bytes], bytes]:
    """The messages of a request's body, and what their batch says of all of them ("" for nothing), each as it came.

    Raises:
        Refusal: it is not JSON, or nested beyond reason. Accepting has made sure of both.
    """
    if endpoint != "batch":
        return [body], b""
    try:
        envelope = envelope_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal("invalid_text", "the request is not well-formed JSON text") from None
    context, sent_at = bytes(envelope.context), bytes(envelope.sent_at)
    shared = b"" if context == sent_at == b"null" else b'{"context":%b,"sentAt":%b}' % (context, sent_at)
    return [bytes(item) for item in envelope.batch], shared


def rejoin(raw: bytes, shared: bytes) -> bytes:
    """A batch of this one message, with what its batch said of all."""
    return joined([raw], shared)


def joined(items: Sequence[bytes], shared: bytes) -> bytes:
    """A batch of these messages, with what its batch says of all of them: what `split` takes apart."""
    return b'{"batch":[%b]%b}' % (b",".join(items), b"," + shared[1:-1] if shared else b"")


def named_in(raw: bytes, *, endpoint: str, is_trusted: bool, shared: bytes) -> Claim | None:
    """Whom a message names, also one that can't be used; None where it names nobody in a way that could be told.

    Of a message that can be used it says what `read` finds.
    """
    try:
        said, around = (_mapping(msgspec.json.decode(text or b"{}")) for text in (raw, shared))
        context, traits = _mapping(around.get("context")) | _mapping(said.get("context")), _mapping(said.get("traits"))
        if COULD_BE_LARGE.search(raw) or COULD_BE_LARGE.search(shared):
            context, traits = large_numbers_as_text(context, []), large_numbers_as_text(traits, [])
        kind = TYPES.get(str(said.get("type")).lower() if endpoint == "batch" else endpoint, EventType.IDENTIFY)
        call = Call(
            user_id=said.get("userId"), anonymous_id=said.get("anonymousId"), previous_id=said.get("previousId")
        )
        found = _identifiers(call, kind, context, traits, is_trusted=is_trusted, flags=[])
    except (Refusal, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Claim(tuple(found), is_trusted, is_alias=kind == EventType.ALIAS)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def read_shared(shared: bytes) -> Shared:
    """What the batch says of all its messages, typed.

    Raises:
        Refusal: it can't be used, and so none of them can.
    """
    if not shared:
        return NOTHING_SHARED
    parts = _decode(shared, shared_decoder)
    check_text_and_depth(shared)
    flags: list[str] = []
    context = parts.context or {}
    if COULD_BE_LARGE.search(shared):
        context = large_numbers_as_text(context, flags)
    return Shared(context, _moment(parts.sent_at, "/sentAt"), tuple(flags), shared)


def read(
    raw: bytes,
    *,
    endpoint: str,
    source_id: int,
    is_trusted: bool,
    received_at: datetime,
    fallback_id: str,
    shared: Shared = NOTHING_SHARED,
    asks: int = 0,
) -> Message:
    """The message, typed and corrected for the sender's clock.

    Args:
        fallback_id: the message id for a sender that gave none; must be the same when the same bytes are read again.
        asks: what the browser asked for with the request, as `consent_words.Asks`.

    Raises:
        Refusal: it can't be used.
    """
    if len(raw) > EVENT_LIMIT:
        raise Refusal("event_too_large", f"an event may have {EVENT_LIMIT} bytes; this one has {len(raw)}")
    call = _decode(raw, call_decoder)
    kind = TYPES.get((call.type or "").lower()) if endpoint == "batch" else TYPES.get(endpoint)
    if kind is None:
        raise Refusal("unknown_type", f"type must be one of {', '.join(TYPES)}", "/type")
    flags: list[str] = []
    context = call.context or {}
    traits = call.traits or {}
    properties = traits if kind in (EventType.IDENTIFY, EventType.GROUP) else (call.properties or {})
    check_text_and_depth(raw)
    if COULD_BE_LARGE.search(raw):
        properties = large_numbers_as_text(properties, flags)
        context = large_numbers_as_text(context, flags)
        traits = properties if properties and kind in (EventType.IDENTIFY, EventType.GROUP) else traits
    if shared.context:
        context = {**shared.context, **context}
        flags += [flag for flag in shared.flags if flag not in flags]
    if kind == EventType.IDENTIFY and any(not 0 < len(key) <= TRAIT_KEY_LIMIT for key in traits):
        flags.append("trait_key_length")
    if kind == EventType.GROUP and call.group_id is not None:
        properties = {**properties, "groupId": str(call.group_id)}
    if kind in (EventType.PAGE, EventType.SCREEN):
        named = {"name": call.name, "category": call.category}
        properties = {**properties, **{k: v for k, v in named.items() if v is not None and k not in properties}}

    sent_at = _moment(call.sent_at, "/sentAt") or shared.sent_at
    original = _moment(call.original_timestamp, "/originalTimestamp") or _moment(call.timestamp, "/timestamp")
    message_id = call.message_id or fallback_id
    if len(message_id) >= MESSAGE_ID_LIMIT:
        raise Refusal("message_id_too_long", f"a messageId has less than {MESSAGE_ID_LIMIT} characters", "/messageId")
    if asks & Asks.NO_TRACKING:
        flags.append("do_not_track")
    amount, currency = _money(properties, flags) if kind == EventType.TRACK else (None, None)
    return Message(
        source_id=source_id,
        is_trusted=is_trusted,
        type=kind,
        name=_name(call, kind),
        message_id=message_id,
        # No sender can write a NUL, so nobody can use up an id that a message without one will be given.
        digest=hashlib.sha256((message_id if call.message_id else f"\0{message_id}").encode()).digest(),
        identifiers=_identifiers(call, kind, context, traits, is_trusted=is_trusted, flags=flags),
        occurred_at=_corrected(original, sent_at, received_at, is_trusted=is_trusted),
        received_at=received_at,
        sent_at=sent_at,
        original_timestamp=original,
        amount=amount,
        currency=currency,
        properties=properties,
        context=context,
        traits=traits if kind == EventType.IDENTIFY else {},
        consents=(consents := choices(context, flags)),
        served=_served(context, flags) if consents else None,
        opts_out=bool(asks & Asks.OPT_OUT),
        consent_strings=strings(context, received_at, flags),
        order_key=(
            order_key(call.event or "", properties, own=f"{source_id}~{message_id}", flags=flags)
            if kind == EventType.TRACK
            else None
        ),
        is_alias=kind == EventType.ALIAS,
        flags=flags,
        endpoint=endpoint,
        raw=raw,
        shared=shared.raw,
        asks=asks,
    )


def _decode(raw: bytes, decoder: "msgspec.json.Decoder[Shape]") -> Shape:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        pointer = path.rstrip("`").removeprefix("$").replace("[...]", "").replace(".", "/")
        code = "number_out_of_range" if "out of range" in text else "wrong_type"
        raise Refusal(code, text[:200], pointer) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refusal("invalid_text", "the message is not well-formed JSON text") from None
    except RecursionError:
        raise Refusal("too_deep", f"values may be nested {DEPTH_LIMIT} deep") from None


def _name(call: Call, kind: EventType) -> str:
    if kind != EventType.TRACK:
        return FIXED_NAMES[kind]
    name = (call.event or "").strip()
    if not name:
        raise Refusal("no_event_name", "a track call needs the name of its event", "/event")
    if len(name) > NAME_LIMIT:
        raise Refusal("event_name_too_long", f"an event name has at most {NAME_LIMIT} characters", "/event")
    return name


def _moment(value: str | int | float | None, pointer: str) -> datetime | None:
    """ISO 8601, or seconds or milliseconds since 1970 (told apart at 10^11: year 5138 in seconds)."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        return datetime.fromtimestamp(value / 1000 if abs(value) >= 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        raise Refusal("invalid_timestamp", "a moment is written as in 2026-11-21T08:00:00.000Z", pointer) from None


def _corrected(
    original: datetime | None, sent_at: datetime | None, received_at: datetime, *, is_trusted: bool
) -> datetime:
    """When it happened by our clock: the sender's clock may be wrong, but wrong by the same amount at both moments."""
    moment = original or received_at
    try:
        if original is not None and sent_at is not None:
            moment = received_at - (sent_at - original)
    except OverflowError:
        raise Refusal(
            "timestamp_out_of_range", "the moment can't be corrected for the sender's clock", "/sentAt"
        ) from None
    if not EARLIEST <= moment <= received_at + AHEAD_LIMIT:
        raise Refusal("timestamp_out_of_range", "an event lies between 1970 and a day from now", "/timestamp")
    if not is_trusted and moment < received_at - BROWSER_AGE_LIMIT:
        raise Refusal(
            "timestamp_out_of_range", f"a browser's event is at most {BROWSER_AGE_LIMIT.days} days old", "/timestamp"
        )
    return moment


def _identifiers(
    call: Call, kind: EventType, context: dict[str, Any], traits: dict[str, Any], *, is_trusted: bool, flags: list[str]
) -> list[Identifier]:
    """Who it is about, the strongest first. A browser's key is public: only its own two identifiers are believed."""
    found: list[tuple[str, Any]] = [(USER_ID, call.user_id)]
    if is_trusted:
        inner = context.get("traits")
        email = traits.get("email") if kind == EventType.IDENTIFY else None
        found.append((EMAIL, email or (inner.get("email") if isinstance(inner, dict) else None)))
        external = context.get("externalIds")
        found += [
            (item["type"].lower(), item.get("id"))
            for item in (external if isinstance(external, list) else ())
            if isinstance(item, dict) and isinstance(item.get("type"), str)
        ]
    found.append((ANONYMOUS_ID, call.anonymous_id))
    usable: list[Identifier] = []
    for namespace, value in found:
        if value is None:
            continue
        try:
            if namespace == "previous_id":
                raise Unusable("identifier_namespace")  # a word of alias calls, not a kind of identifier
            identifier = normalise(namespace, value)
        except Unusable as reason:
            flags.append(reason.reason)
            continue
        if identifier not in usable:
            usable.append(identifier)
    if kind == EventType.ALIAS:
        # Which namespace the previous id belongs to is only known by looking: resolve tries both.
        try:
            usable.append(normalise("previous_id", call.previous_id))
        except Unusable:
            raise Refusal("no_previous_id", "an alias call needs previousId and userId", "/previousId") from None
    if not any(i.namespace != "previous_id" for i in usable):
        raise Refusal("no_identifier", "userId or anonymousId must say whom the message is about", "/userId")
    usable.sort(key=priority)
    return usable


def _money(properties: dict[str, Any], flags: list[str]) -> tuple[Decimal | None, str | None]:
    """The event's amount by the public e-commerce spec: revenue, else total, else value; and its currency."""
    for key in ("revenue", "total", "value"):
        if key in properties and properties[key] is not None:
            amount = as_number(properties[key])
            if amount is None:
                flags.append("amount_not_a_number")
                return None, None
            break
    else:
        return None, None
    currency = as_currency(properties.get("currency"))
    if currency == NO_CURRENCY:
        flags.append("currency_unknown")
    return amount, currency


def _served(context: dict[str, Any], flags: list[str]) -> UUID | None:
    """The id under which a notice was shown before this was chosen. What is no id links to nothing, and is flagged."""
    given = context["consent"].get("served")
    if given is None:
        return None
    try:
        return UUID(given)
    except (ValueError, TypeError, AttributeError):
        flags.append("served_malformed")
        return None
