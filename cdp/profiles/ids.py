"""Identifiers that are made by us."""

import os
import time
import uuid


def uuid7() -> uuid.UUID:
    """A UUIDv7 (RFC 9562 section 5.7): ordered by millisecond, so that an index on it grows at its end.

    PostgreSQL makes its own only from version 18; the platform runs on 15 too.
    """
    unix_ms = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (unix_ms & (2**48 - 1)) << 80
    value |= 0x7 << 76 | (random >> 68) << 64
    value |= 0b10 << 62 | random & (2**62 - 1)
    return uuid.UUID(int=value)
