"""Where people are, so whose law protects them, and what it asks before a yes of somebody of their age counts.

What the laws say is in `consent.law`; what is recorded of a yes that doesn't count yet, in `consent.services`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec
from django.conf import settings

from cdp.database import bound_cursor
from cdp.profiles.values import as_moment
from consent.law import AgeBand, Law, Laws, UnknownAge, age, age_band, asked, demands, law_for, load, shipped
from consent.law import Capability as LawCapability
from consent.law.demands import Asked
from consent.law.places import COUNTRIES, REGIONS, is_place
from consent.models import Channel, Purpose
from consent.signals.meaning import Capability

EU: Final = "EU"
"""Somewhere under the GDPR: what is recorded when nobody knows where."""

# What laws ask of the things that signals speak of. What is missing has no rule of its own beyond the age of consent.
LAWS_SAY: Final = {
    Capability.TARGETED_ADS: LawCapability.TARGETED_ADS,
    Capability.AD_MEASUREMENT: LawCapability.ANALYTICS_COOKIES,
    Capability.ANALYTICS: LawCapability.ANALYTICS_COOKIES,
    Capability.DEVICE_STORAGE: LawCapability.ANALYTICS_COOKIES,
    Capability.SALE: LawCapability.SALE,
    Capability.SHARING: LawCapability.SHARING,
}
BY_TEXT: Final = frozenset({Channel.SMS, Channel.PHONE})
# The clock of the place furthest behind ours: who isn't of age everywhere on earth isn't of age.
LAST_TO_TURN: Final = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one person: a country, or a region where its law is its own; "" where nobody knows.

    ``is_assumed`` where they haven't said it themselves: the place is what the workspace says of everybody.
    """

    place: str = ""
    born: date | None = None
    is_assumed: bool = False


def known_of(profile_ids: Collection[int]) -> dict[int, Known]:
    """Of each of these people, by their traits; else by what the workspace says of everybody."""
    names = [*settings.COUNTRY_TRAITS, *settings.REGION_TRAITS, *settings.BIRTH_DATE_TRAITS]
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT p.id, t.said FROM profiles_profile p LEFT JOIN LATERAL ("
            "  SELECT jsonb_object_agg(k, coalesce(p.traits->k, p.traits->'address'->k))::text AS said FROM unnest(%s::text[]) AS g(k)"
            "   WHERE p.traits->k IS NOT NULL OR p.traits->'address'->k IS NOT NULL) t ON true"
            " WHERE p.id = ANY(%s::bigint[])",
            [names, sorted(set(profile_ids))],
        )
        rows = cursor.fetchall()
    return {one: _read(msgspec.json.decode(said, type=dict[str, Any]) if said else {}) for one, said in rows}


def _read(said: dict[str, Any]) -> Known:
    country, region = _text(said, settings.COUNTRY_TRAITS), _text(said, settings.REGION_TRAITS)
    place = _place(country.upper(), region.upper())
    return Known(place or settings.DEFAULT_JURISDICTION, _born(said), is_assumed=not place)


def _text(said: dict[str, Any], names: Collection[str]) -> str:
    return next((said[name].strip() for name in names if isinstance(said.get(name), str)), "")


def _place(country: str, region: str) -> str:
    if country not in COUNTRIES:
        return ""
    code = region if region.startswith(f"{country}-") else f"{country}-{region}"
    return code if code in REGIONS.get(country, ()) else country


def _born(said: dict[str, Any]) -> date | None:
    moment = as_moment(_text(said, settings.BIRTH_DATE_TRAITS))
    return None if moment is None else moment.date()


def is_jurisdiction(code: str) -> bool:
    return code == EU or is_place(code)


def law_at(place: str, on: date) -> Law:
    """The law there on that day; of nowhere, or of anywhere in the EU, the strictest that may apply."""
    laws = _laws(settings.LAW_DIR)
    if place == EU:
        return laws.at(_under_gdpr(laws), on)
    return law_for(place.partition("-")[0] or None, place or None, on, laws=laws)


@lru_cache(maxsize=2)
def _laws(folder: str) -> Laws:
    return load(Path(folder)) if folder else shipped()


@lru_cache(maxsize=2)
def _under_gdpr(laws: Laws) -> tuple[str, ...]:
    return tuple(
        sorted({place for statute, one in laws.territories() if statute.key == "gdpr" for place in one.span.places})
    )


def asked_first(purpose: Purpose, known: Known, decided_at: datetime) -> tuple[Asked, str]:
    """What must be so before a yes to this purpose counts, and by which law.

    Who they were when they decided counts: nobody's yes as a child becomes one of an adult by itself.
    """
    on = (decided_at - LAST_TO_TURN).date()
    law = law_at(known.place, on)
    named = law.key if len(law.keys) == 1 else "strictest"
    unknown_age = UnknownAge.AS_CHILD if settings.UNKNOWN_AGE == "child" else UnknownAge.AS_ADULT
    if age(known.born, on) is None and unknown_age is UnknownAge.AS_ADULT:
        return Asked.PERSONS_YES, named
    answers = [asked(demands(law, one), known.born, on, unknown_age=unknown_age) for one in _subject_to(purpose)]
    if age_band(law, known.born, on) in (AgeBand.GUARDIAN_NEEDED, AgeBand.UNKNOWN):
        answers.append(Asked.GUARDIANS_YES)
    return max(answers, default=Asked.PERSONS_YES), named


def _subject_to(purpose: Purpose) -> set[LawCapability]:
    found = {LAWS_SAY[Capability(one)] for one in [*purpose.needs_granted, *purpose.needs_undenied] if one in LAWS_SAY}
    if Capability.MARKETING in purpose.needs_granted or purpose.channel in (Channel.EMAIL, *BY_TEXT):
        found.add(LawCapability.MARKETING_SMS if purpose.channel in BY_TEXT else LawCapability.MARKETING_EMAIL)
    return found
