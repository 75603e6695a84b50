"""Taking a tracking request in: is it from somebody who may send, is it JSON, is it small enough; then it is kept.

What its messages mean is found out later, by the consumer. Nothing here reads a person's data beyond finding the
ends of messages.
"""

import zlib
from dataclasses import dataclass
from datetime import datetime

import msgspec

from cdp.errors import DomainError
from cdp.ingestion import inbox
from cdp.ingestion.keys import Sender, key_in_header, sender_of
from cdp.ingestion.wire import BATCH_COUNT_LIMIT, BATCH_LIMIT, EVENT_LIMIT, envelope_decoder

ENDPOINTS = ("identify", "track", "page", "screen", "group", "alias", "batch")


class KeyInBody(msgspec.Struct, rename="camel"):
    """All that is read of a lone message before it is kept."""

    write_key: str | None = None


key_decoder = msgspec.json.Decoder(KeyInBody)


class NotAllowed(DomainError):
    status = 401


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
    return plain


def peek(endpoint: str, body: bytes) -> Peeked:
    """The write key in the body, if any, and how many messages there are.

    Raises:
        DomainError: too large, or not JSON of the right shape.
    """
    if endpoint == "batch":
        if len(body) > BATCH_LIMIT:
            raise DomainError("batch_too_large", f"A batch may have {BATCH_LIMIT} bytes; this one has {len(body)}.")
    elif len(body) > EVENT_LIMIT:
        raise DomainError("event_too_large", f"An event may have {EVENT_LIMIT} bytes; this one has {len(body)}.")
    try:
        if endpoint == "batch":
            envelope = envelope_decoder.decode(body)
            if len(envelope.batch) > BATCH_COUNT_LIMIT:
                raise DomainError(
                    "batch_too_long", f"A batch may have {BATCH_COUNT_LIMIT} events; this one has {len(envelope.batch)}.", "/batch"
                )
            return Peeked(envelope.write_key, len(envelope.batch))
        return Peeked(key_decoder.decode(body).write_key, 1)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        raise DomainError("invalid_json", f"{text}.", path.rstrip("`").removeprefix("$").replace(".", "/")) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DomainError("invalid_json", "The body is not valid JSON in UTF-8.") from None
    except RecursionError:
        raise DomainError("invalid_json", "The JSON is nested too deep.") from None


def authenticate(*, authorization: str, in_body: str | None) -> Sender:
    """Who sends.

    Raises:
        NotAllowed: no write key, or one that nobody has.
    """
    key = (key_in_header(authorization) if authorization else None) or in_body
    if not key:
        raise NotAllowed("write_key_missing", "Send the write key by HTTP Basic, as Bearer, or as writeKey in the body.")
    sender = sender_of(key) or (sender_of(in_body) if in_body and in_body != key else None)
    if sender is None:
        raise NotAllowed("write_key_unknown", "This write key is unknown or was revoked.")
    return sender


def accept(*, endpoint: str, body: bytes, authorization: str = "", received_at: datetime) -> Sender:
    """The sender of a request that is now durable in the inbox.

    Raises:
        DomainError: with the answer for the client; nothing was kept.
    """
    peeked = peek(endpoint, body)
    sender = authenticate(authorization=authorization, in_body=peeked.write_key)
    if peeked.message_count:
        inbox.put(
            source_id=sender.source_id, endpoint=endpoint, body=body, message_count=peeked.message_count, received_at=received_at
        )
    return sender
