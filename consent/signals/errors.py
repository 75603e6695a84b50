"""The one error that reading a signal raises, and its codes.

What a string said is never in the text of an error: it is about one person, and whoever sent it may have made it up.
"""

from enum import StrEnum


class Flaw(StrEnum):
    """Why a signal can't be used. Stable; callers may count them and show them."""

    NOT_TEXT = "signal_not_text"
    EMPTY = "signal_empty"
    TOO_LONG = "signal_too_long"
    WRONG_CHARACTER = "signal_wrong_character"
    TRUNCATED = "signal_truncated"
    NOT_CANONICAL = "signal_not_canonical"  # encoding what was decoded doesn't give the same bits
    VALUE_OUT_OF_RANGE = "signal_value_out_of_range"
    WRONG_VERSION = "signal_wrong_version"
    WRONG_SEGMENT = "signal_wrong_segment"
    WRONG_SECTIONS = "signal_wrong_sections"
    IMPLAUSIBLE_TIME = "signal_implausible_time"
    NOT_ALLOWED = "signal_not_allowed"  # well-formed, but says what its own rules forbid


class SignalError(ValueError):
    """A signal that can't be used; it means nothing.

    Args:
        code: stable and documented.
        message: what was expected and what came, without the string or a part of it.
        pointer: JSON pointer (RFC 6901) to the place: "/core/VendorConsent", "/sections/8"; "" for the whole.
    """

    def __init__(self, code: Flaw, message: str, pointer: str = "") -> None:
        super().__init__(f"{pointer}: {message}" if pointer else message)
        self.code, self.message, self.pointer = code, message, pointer

    def under(self, pointer: str) -> "SignalError":
        """The same error, told by whoever holds the part in question."""
        return SignalError(self.code, self.message, pointer + self.pointer)
