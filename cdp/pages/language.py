"""In which language somebody is spoken to: what they chose on the page, what their profile says, what their browser asks for.

The words themselves are in `locale/`; a language is added by its catalogue there and by naming it in `LANGUAGES`.
"""

from collections.abc import Iterable
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language_from_request, get_supported_language_variant

from cdp.profiles.models import Profile

# Traits in which sources commonly keep it.
TRAITS: Final = ("language", "locale")


def spoken(tags: Iterable[Any]) -> str:
    """The first of these that we speak (`de-CH` is content with `de`); else the first that we speak at all."""
    for tag in tags:
        if not isinstance(tag, str) or not 0 < len(tag) <= 35:
            continue
        try:
            return get_supported_language_variant(tag.replace("_", "-").lower())
        except LookupError:
            continue
    return settings.LANGUAGE_CODE


def asked_for(request: HttpRequest) -> str:
    """By the page's own switch, or by the browser."""
    return spoken((request.GET.get("lang"), get_language_from_request(request)))


def of_person(person: Profile, *, rather: str = "") -> str:
    """For a message, which no browser asks for.

    Args:
        rather: the language of the page on which they did what the message is about.
    """
    return spoken((rather, *(person.traits.get(trait) for trait in TRAITS)))
