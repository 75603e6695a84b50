"""What stays visible of personal data for somebody who may not see it: enough to tell two people apart, too little to reach one.

Reads nothing. Who may see more is a permission; that they did is in the audit log.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from cdp.profiles.catalogue import in_words

HIDDEN = "••••"
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
# Narrower than for traits: the `name` of an event is a product's or a page's far more often than a person's.
PERSONAL_PROPERTY = re.compile(
    r"(^|[_.])(e?mail|phone|mobile|(first|last|full|sur|given|family|middle)_?name|address|street|postal_?code|zip"
    r"|birth(day|date)?|dob|ssn|passport|iban|ip|user_agent)($|[_.])"
)


def masked_email(value: str) -> str:
    """``e•••@example.com``"""
    local, _, domain = value.partition("@")
    return f"{local[:1]}•••@{domain}"


def masked_phone(value: str) -> str:
    """The country's first digits and the last two."""
    return f"{value[:3]} ••• •• {value[-2:]}" if len(value) > 6 else HIDDEN


def masked_identifier(namespace: str, value: str) -> str:
    """Ids that only our systems know stay readable; what reaches a person does not, in whichever namespace it stands."""
    if EMAIL.fullmatch(value):
        return masked_email(value)
    if in_words(namespace) in {"phone", "mobile"}:
        return masked_phone(value)
    return value


def masked_properties(properties: Mapping[str, Any], *, personal: Collection[str] = ()) -> dict[str, Any]:
    """The properties with personal ones hidden, at any depth; by the catalogue, by their name, or by their shape."""
    return {
        key: HIDDEN if key in personal or PERSONAL_PROPERTY.search(in_words(key)) else _masked(value, personal)
        for key, value in properties.items()
    }


def _masked(value: Any, personal: Collection[str]) -> Any:
    if isinstance(value, str):
        return EMAIL.sub(lambda found: masked_email(found[0]), value)
    if isinstance(value, Mapping):
        return masked_properties(value, personal=personal)
    if isinstance(value, list):
        return [_masked(item, personal) for item in value]
    return value


def display_name(traits: Mapping[str, Any], *, fallback: str, is_masked: bool) -> str:
    """What to call a person on a screen: their name, as initials while masked, else the fallback."""
    by_word = {in_words(key): value for key, value in traits.items() if isinstance(value, str) and value.strip()}
    parts = [by_word[key] for key in ("first_name", "last_name") if key in by_word] or by_word.get("name", "").split()
    if not parts:
        return fallback
    return " ".join(f"{part.strip()[0].upper()}." for part in parts) if is_masked else " ".join(parts)
