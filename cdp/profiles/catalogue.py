"""The numbers of event names and traits. A name first seen in an event enters the catalogue by itself.

The numbers are cached per process, and only what is committed: a batch that rolls back must not leave numbers behind.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.db import connection, transaction

from cdp.logs import get_logger
from cdp.profiles.models import EventName, EventType, Trait, TraitCategory
from cdp.profiles.orders import DERIVED_EVENTS, ORDER_EVENTS
from cdp.profiles.sessions import SESSION_STARTED
from cdp.profiles.values import type_of

log = get_logger(__name__)

# A tracker that puts ids into names would fill the catalogue; past this a name is refused and a person must look.
MAX_EVENT_NAMES = 5000
MAX_TRAITS = 2000
EVENT_LABEL_LIMIT, TRAIT_LABEL_LIMIT = 200, 128  # characters, as the columns have them

LIKELY_PERSONAL = re.compile(
    r"(^|[_.])(e?mail|phone|mobile|(first|last|full|sur|given|family|middle)_?name|name|address|street|postal_?code|zip|birth(day|date)?|dob|ssn|passport|iban|ip)($|[_.])",
    re.IGNORECASE,
)
LIKELY_DEMOGRAPHIC = re.compile(
    r"(^|_)(country|city|state|region|language|gender|age|birth(day|date)?|postal_?code|(first|last)_?name|name|email|phone)($|_)",
    re.I,
)
LIKELY_TECHNOGRAPHIC = re.compile(r"(^|_)(device|os|browser|platform|app_version|user_agent)($|_)", re.I)

PLATFORM_NAMES = ORDER_EVENTS | DERIVED_EVENTS | {SESSION_STARTED}

_event_names: dict[str, int] = {}
_traits: dict[str, int] = {}


def forget() -> None:
    """Empties the caches; for tests, and for a process that moves to another database."""
    _event_names.clear()
    _traits.clear()


def in_words(key: str) -> str:
    """``firstName`` as ``first_name``: keys are kept as they come, but read alike."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()


def label_for(name: str, *, limit: int) -> str:
    """The name as a person would write it, cut to fit: words and capitals can be longer than the name was."""
    words = name.replace("_", " ").strip()
    return (words[:1].upper() + words[1:])[:limit]


def event_name_ids(wanted: Mapping[str, EventType]) -> dict[str, int]:
    """Numbers of the given names, new ones entered; a name that found no room is missing from the answer."""
    return _ids(
        wanted.keys(),
        _event_names,
        EventName,
        "name",
        MAX_EVENT_NAMES,
        lambda name: _insert_event_name(name, wanted[name]),
    )


def known_event_names(names: Collection[str] = PLATFORM_NAMES) -> dict[str, int]:
    """Numbers of these names, as far as they have entered the catalogue; of those by which the platform itself knows events, if
    none are given."""
    missing = [name for name in names if name not in _event_names]
    found = {name: _event_names[name] for name in names if name in _event_names}
    if missing:
        learned = dict(EventName.objects.filter(name__in=missing).values_list("name", "pk"))
        transaction.on_commit(lambda: _event_names.update(learned))
        found |= learned
    return found


def trait_ids(wanted: Mapping[str, Any]) -> dict[str, int]:
    """Numbers of the given trait keys, new ones entered with the type of the value they came with.

    A key that comes with None takes a trait away. It enters too, as text: its removal must be known when an older
    value comes late.
    """
    return _ids(wanted.keys(), _traits, Trait, "key", MAX_TRAITS, lambda key: _insert_trait(key, wanted[key]))


def _ids(
    names: Iterable[str], cache: dict[str, int], model: Any, column: str, room: int, insert: Any
) -> dict[str, int]:
    found = {name: cache[name] for name in names if name in cache}
    missing = sorted(set(names) - found.keys())
    if not missing:
        return found
    found |= dict(model.objects.filter(**{f"{column}__in": missing}).values_list(column, "pk"))
    unknown = [name for name in missing if name not in found]  # sorted, so that two consumers wait in one order
    if unknown:
        fitting = unknown[: max(0, room - model.objects.count())]
        if len(fitting) < len(unknown):
            log.error("catalogue_full", catalogue=model._meta.label_lower, left_out=len(unknown) - len(fitting))
        for name in fitting:
            insert(name)
        found |= dict(model.objects.filter(**{f"{column}__in": unknown}).values_list(column, "pk"))
    learned = {name: found[name] for name in missing if name in found}
    transaction.on_commit(lambda: cache.update(learned))
    return found


def _insert_event_name(name: str, kind: EventType) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO profiles_eventname (name, label, type, description, created_at)"
            " VALUES (%s, %s, %s, '', now()) ON CONFLICT (name) DO NOTHING",
            [name, label_for(name, limit=EVENT_LABEL_LIMIT), int(kind)],
        )


def _insert_trait(key: str, value: Any) -> None:
    words = in_words(key)
    if LIKELY_TECHNOGRAPHIC.search(words):
        category = TraitCategory.TECHNOGRAPHIC
    elif LIKELY_DEMOGRAPHIC.search(words):
        category = TraitCategory.DEMOGRAPHIC
    else:
        category = TraitCategory.BEHAVIOURAL
    kind = "country" if words in {"country", "country_code"} else type_of(value)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO profiles_trait (key, label, type, category, is_pii, description, created_at)"
            " VALUES (%s, %s, %s, %s, %s, '', now()) ON CONFLICT (key) DO NOTHING",
            [key, label_for(words, limit=TRAIT_LABEL_LIMIT), kind, category, bool(LIKELY_PERSONAL.search(words))],
        )
