"""Which names identify a person, how they are written alike, and which prove nothing.

Pure. What follows from identifiers found together is in `cdp.identity.resolve`.
"""

import re
from typing import Any, Final, NamedTuple

USER_ID: Final = "user_id"
EMAIL: Final = "email"
ANONYMOUS_ID: Final = "anonymous_id"

MAX_LENGTH: Final = 512
NAMESPACE = re.compile(r"[a-z][a-z0-9_.-]{0,49}")
# Nor is one what a mail program would read as a name and another address, or as several: “x<ann@example.com>”, “a,b@example.com”.
_IN_EMAIL = r'[^@\s<>()\[\]:;,"\\\x00-\x1f\x7f]'
EMAIL_SHAPE = re.compile(rf"{_IN_EMAIL}{{1,64}}@{_IN_EMAIL}+\.{_IN_EMAIL}+")

# Values that broken trackers send for everybody. One of them would weld thousands of people together.
BLOCKED: Final = frozenset(
    {"", "null", "undefined", "none", "nil", "nan", "anonymous", "guest", "unknown", "n/a", "na", "-1", "true", "false",
     "[object object]", "test@test.com", "email@example.com"}
)  # fmt: skip
ONLY_ZEROS = re.compile(r"[0\-.:{}]*")

# How strongly a namespace speaks when identifiers disagree: the first of these wins.
PRIORITY: Final = {USER_ID: 0, EMAIL: 1, ANONYMOUS_ID: 9}
OTHER_PRIORITY: Final = 5
LIMIT: Final = {USER_ID: 1}
OTHER_LIMIT: Final = 5


class Identifier(NamedTuple):
    """A normalised (namespace, value). A tuple, since a batch hashes thousands of them."""

    namespace: str
    value: str


class Unusable(ValueError):
    """The value identifies nobody. ``reason`` is a flag's code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def names_a_person(namespace: str) -> bool:
    """Whether whoever is known by such an identifier is a known person: by anything but a device's own number."""
    return namespace != ANONYMOUS_ID


def priority(identifier: Identifier) -> int:
    return PRIORITY.get(identifier.namespace, OTHER_PRIORITY)


def normalise(namespace: str, value: Any) -> Identifier:
    """The identifier as it is stored.

    Raises:
        Unusable: blocked, too long, not a text or whole number, or of a namespace that can't be.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unusable("identifier_wrong_type")
    if isinstance(value, float):
        if not value.is_integer():
            raise Unusable("identifier_wrong_type")
        value = int(value)
    text = str(value).strip()
    if len(text) > MAX_LENGTH:
        raise Unusable("identifier_too_long")
    if "\x00" in text:
        raise Unusable("identifier_blocked")
    folded = text.lower()
    if folded in BLOCKED or ONLY_ZEROS.fullmatch(folded):
        raise Unusable("identifier_blocked")
    if not NAMESPACE.fullmatch(namespace):
        raise Unusable("identifier_namespace")
    if namespace == EMAIL:
        if not EMAIL_SHAPE.fullmatch(folded):
            raise Unusable("identifier_not_an_email")
        if len(folded) > MAX_LENGTH:  # some letters become two when they are folded
            raise Unusable("identifier_too_long")
        text = folded
    return Identifier(namespace, text)
