"""What every message must be like, whatever it says: its size, its depth, its text, its numbers.

Pure. What the fields of a message mean is in `cdp.ingestion.wire`.
"""

import re
from typing import Any

import msgspec

from cdp.profiles.values import as_number

EVENT_LIMIT = 32 * 1024
BATCH_LIMIT = 500 * 1024
BATCH_COUNT_LIMIT = 2500
DEPTH_LIMIT = 32

# Numbers that might not fit are rare; only a message in which one could stand is walked value by value.
# Outside of text a number follows one of these four; inside of one a hit costs a walk and nothing else.
COULD_BE_LARGE = re.compile(rb"[:,\[\s]-?(?:\d{16}|\d[\d.]*[eE]\+?\d)")


class Refusal(Exception):
    """Why a message can't be used. ``detail`` never repeats a value."""

    def __init__(self, code: str, detail: str, pointer: str = "") -> None:
        super().__init__(code)
        self.code, self.detail, self.pointer = code, detail, pointer


def check_text_and_depth(raw: bytes) -> None:
    """Nothing, for a message that the database can hold.

    Raises:
        Refusal: nested too deep, or with text that can't be stored.
    """
    # Depth first: what follows walks the value by calling itself.
    if raw.count(b"{") + raw.count(b"[") > DEPTH_LIMIT and _depth(plain(raw)) > DEPTH_LIMIT:
        raise Refusal("too_deep", f"values may be nested {DEPTH_LIMIT} deep")
    if b"\\u0000" in raw and _has_nul(plain(raw)):
        raise Refusal("invalid_text", "text must not contain the NUL character")


def plain(raw: bytes) -> Any:
    """The value, read in full: fields that no message has may hold what can't be read, and then are of no interest."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refusal("invalid_text", "the message is not well-formed JSON text") from None
    except RecursionError:
        raise Refusal("too_deep", f"values may be nested {DEPTH_LIMIT} deep") from None


def _has_nul(value: Any) -> bool:
    # "\\u0000" in a text is a backslash and five characters, and harmless; only decoding tells.
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(k) or _has_nul(v) for k, v in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return deepest


def large_numbers_as_text(value: Any, flags: list[str]) -> Any:
    """The value with every number that can't be compared kept as text instead."""
    if isinstance(value, dict):
        return {k: large_numbers_as_text(v, flags) for k, v in value.items()}
    if isinstance(value, list):
        return [large_numbers_as_text(v, flags) for v in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and as_number(value) is None:
        if "number_too_large" not in flags:
            flags.append("number_too_large")
        return str(value)
    return value
