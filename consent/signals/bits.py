"""Bits as text, web-safe base64 and Fibonacci codes. What the bits mean is in `fields` and `tables`.

A string of "0" and "1" is not the fastest representation, but the plainest; signals have some thousand bits, and a limit.
"""

import string
from collections.abc import Collection

from consent.signals.errors import Flaw, SignalError

# RFC 4648, section 5. Neither framework writes "=".
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
_BITS = {character: format(value, "06b") for value, character in enumerate(ALPHABET)}
_CHARACTERS = {bits: character for character, bits in _BITS.items()}

HIGHEST_ID = 0xFFFF  # ids of vendors and sections have 16 bits wherever they have a fixed width
_FIBONACCI = [1, 2]
while _FIBONACCI[-1] <= HIGHEST_ID:
    _FIBONACCI.append(_FIBONACCI[-2] + _FIBONACCI[-1])


def checked_text(text: object, longest: int) -> str:
    """The text, if it is one, not empty and no longer than that many characters.

    Raises:
        SignalError: otherwise; before anything looks at the characters.
    """
    if not isinstance(text, str):
        raise SignalError(Flaw.NOT_TEXT, f"a text was expected; received {type(text).__name__}")
    if not text:
        raise SignalError(Flaw.EMPTY, "a text was expected; received an empty one")
    if len(text) > longest:
        raise SignalError(Flaw.TOO_LONG, f"at most {longest} characters are read; received {len(text)}")
    return text


def to_bits(text: str) -> str:
    try:
        return "".join([_BITS[character] for character in text])
    except KeyError:
        raise SignalError(Flaw.WRONG_CHARACTER, "only A-Z, a-z, 0-9, “-” and “_” stand for bits") from None


def to_text(bits: str) -> str:
    """The bits as web-safe base64; their number must be a multiple of 6."""
    assert len(bits) % 6 == 0, "pad first"
    return "".join([_CHARACTERS[bits[at : at + 6]] for at in range(0, len(bits), 6)])


def padded_length(length: int, *units: int) -> int:
    """The length after padding to a multiple of each unit in turn, and of 6 at last."""
    for unit in (*units, 6):
        length += -length % unit
    return length


def is_padded(bits: str, written: str, lengths: Collection[int]) -> bool:
    """Whether the bits are those that were written, with nothing but zeros after them, up to one of these lengths."""
    return len(bits) in lengths and bits.startswith(written) and "1" not in bits[len(written) :]


class BitReader:
    """Reads bits from left to right, and never past the end."""

    def __init__(self, bits: str) -> None:
        self._bits, self._at = bits, 0

    def take(self, length: int) -> str:
        end = self._at + length
        if end > len(self._bits):
            raise SignalError(Flaw.TRUNCATED, "the text ends within this field")
        taken = self._bits[self._at : end]
        self._at = end
        return taken

    def number(self, length: int) -> int:
        return int(self.take(length), 2) if length else 0

    def fibonacci(self) -> int:
        """A positive number in Fibonacci code, which ends at the first two ones in a row."""
        total, before = 0, "0"
        for worth in _FIBONACCI:
            bit = self.take(1)
            if bit == before == "1":
                return total
            if bit == "1":
                total += worth
            before = bit
        if self.take(1) == before == "1":
            return total
        raise SignalError(Flaw.VALUE_OUT_OF_RANGE, f"numbers go up to {HIGHEST_ID}; received a longer code")


def fibonacci_bits(number: int) -> str:
    """The Fibonacci code of a positive number."""
    assert number > 0, "0 has no Fibonacci code"
    worths = [1, 2]
    while worths[-1] <= number:
        worths.append(worths[-2] + worths[-1])
    bits: list[str] = []
    for worth in reversed(worths):
        if worth <= number:
            number -= worth
            bits.append("1")
        elif bits:
            bits.append("0")
    return "".join(reversed(bits)) + "1"
