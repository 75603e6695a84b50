"""Taking a tracking request in: is it from somebody who may send, is it JSON, is it small enough; then it is kept.

What its messages mean is found out later, by the consumer. Nothing here reads a person's data beyond finding the
ends of messages.
"""

import re
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec

from cdp.errors import DomainError, Forbidden
from cdp.ingestion import inbox
from cdp.ingestion.keys import Sender, key_in_header, sender_of
from cdp.ingestion.limits import BATCH_COUNT_LIMIT, BATCH_LIMIT, EVENT_LIMIT

ENDPOINTS = ("identify", "track", "page", "screen", "group", "alias", "batch")
RETRY_AFTER_SECONDS = 10


class KeyInBody(msgspec.Struct, rename="camel"):
    """All that is read of a lone message before it is kept."""

    write_key: msgspec.Raw = msgspec.Raw(b"null")


class BatchInBody(msgspec.Struct, rename="camel"):
    """All that is read of a batch before it is kept. Whatever else is wrong with it is a matter of quarantine."""

    batch: list[msgspec.Raw]
    write_key: msgspec.Raw = msgspec.Raw(b"null")


key_decoder = msgspec.json.Decoder(KeyInBody)
batch_decoder = msgspec.json.Decoder(BatchInBody)
text_decoder = msgspec.json.Decoder(str)

# One escape after the other, so that the backslash of `\\\\ud800` is not taken for the beginning of `\\ud800`.
ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
Shape = TypeVar("Shape", KeyInBody, BatchInBody)


class NotAllowed(DomainError):
    status = 401


class Busy(DomainError):
    """Nothing is wrong with the request; it must come again later."""

    status = 429


@dataclass(frozen=True, slots=True)
class Peeked:
    write_key: str | None
    message_count: int


def gunzip(body: bytes) -> bytes:
    """The body unpacked, or refused once it grows past what a batch may have: a bomb is never unpacked whole."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, BATCH_LIMIT + 1)
    except zlib.error:
        raise DomainError("invalid_gzip", "The body says it is gzip but can't be unpacked.") from None
    if len(plain) > BATCH_LIMIT:
        raise DomainError("batch_too_large", f"A request may have {BATCH_LIMIT} bytes unpacked.")
    if not unpacker.eof:
        raise DomainError("invalid_gzip", "The gzip body ends too early.")
    if unpacker.unused_data:
        # A second part would be dropped without a word.
        raise DomainError("invalid_gzip", "The gzip body goes on after its end; pack it in one part.")
    return plain


def peek(endpoint: str, body: bytes) -> Peeked:
    """The write key in the body, if any, and how many messages there are.

    Raises:
        DomainError: too large, or not JSON of the right shape.
    """
    if endpoint != "batch":
        if len(body) > EVENT_LIMIT:
            raise DomainError("event_too_large", f"An event may have {EVENT_LIMIT} bytes; this one has {len(body)}.")
        return Peeked(_text(_decoded(key_decoder, body).write_key), 1)
    if len(body) > BATCH_LIMIT:
        raise DomainError("batch_too_large", f"A batch may have {BATCH_LIMIT} bytes; this one has {len(body)}.")
    batch = _decoded(batch_decoder, body)
    if len(batch.batch) > BATCH_COUNT_LIMIT:
        message = f"A batch may have {BATCH_COUNT_LIMIT} events; this one has {len(batch.batch)}."
        raise DomainError("batch_too_long", message, "/batch")
    return Peeked(_text(batch.write_key), len(batch.batch))


def _decoded(decoder: "msgspec.json.Decoder[Shape]", body: bytes) -> Shape:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        raise DomainError("invalid_json", f"{text}.", path.rstrip("`").removeprefix("$").replace(".", "/")) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DomainError("invalid_json", "The body is not valid JSON in UTF-8.") from None
    except RecursionError:
        raise DomainError("invalid_json", "The JSON is nested too deep.") from None


def _text(raw: msgspec.Raw) -> str | None:
    """A write key of another type than text is none."""
    try:
        return text_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def mended(body: bytes) -> bytes:
    """The body with every escape of half a character (a lone surrogate) as the replacement character U+FFFD.

    Libraries send them for bytes that were no text. One such message must not cost the others of its batch.
    """
    return ESCAPE.sub(lambda escape: rb"\ufffd" if escape["half"] else escape[0], body)


def authenticate(*, authorization: str, in_body: str | None) -> Sender:
    """Who sends.

    Raises:
        NotAllowed: no write key, or one that nobody has.
    """
    key = (key_in_header(authorization) if authorization else None) or in_body
    if not key:
        raise NotAllowed(
            "write_key_missing", "Send the write key by HTTP Basic, as Bearer, or as writeKey in the body."
        )
    sender = sender_of(key) or (sender_of(in_body) if in_body and in_body != key else None)
    if sender is None:
        raise NotAllowed("write_key_unknown", "This write key is unknown or was revoked.")
    return sender


def accept(
    *, endpoint: str, body: bytes, authorization: str = "", origin: str = "", received_at: datetime, asks: int = 0
) -> Sender:
    """The sender of a request that is now durable in the inbox.

    Args:
        origin: the page that sends, when a browser says so.
        asks: what the browser asks for by its headers, as `consent_words.Asks`.

    Raises:
        DomainError: with the answer for the client; nothing was kept.
    """
    try:
        peeked = peek(endpoint, body)
    except DomainError:
        if (whole := mended(body)) == body:
            raise
        body, peeked = whole, peek(endpoint, whole)
    sender = authenticate(authorization=authorization, in_body=peeked.write_key)
    if not sender.may_send_from(origin):
        raise Forbidden("origin_not_allowed", "The source of this write key doesn't allow pages of this origin.")
    if peeked.message_count:
        if inbox.gauge.is_full():
            raise Busy("inbox_full", "More events wait than can be kept; send this again later.")
        inbox.put(
            source_id=sender.source_id,
            endpoint=endpoint,
            body=body,
            message_count=peeked.message_count,
            received_at=received_at,
            asks=asks,
        )
    return sender
