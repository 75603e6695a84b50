"""What the shop's traits mean: their labels, types, categories, and which are personal data.

A trait that isn't listed enters the catalogue by itself when it is first seen.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from django.db import transaction

from cdp.audit.services import record
from cdp.profiles.models import Trait, TraitCategory, TraitType
from demo.loading import LOADER


class Meaning(NamedTuple):
    """One entry of the trait catalogue."""

    label: str
    type: TraitType
    category: TraitCategory
    is_pii: bool = False
    description: str = ""


_TEXT, _DATE = TraitType.TEXT, TraitType.DATE
_DEMOGRAPHIC, _BEHAVIOURAL = TraitCategory.DEMOGRAPHIC, TraitCategory.BEHAVIOURAL
_PSYCHOGRAPHIC, _TECHNOGRAPHIC = TraitCategory.PSYCHOGRAPHIC, TraitCategory.TECHNOGRAPHIC

TRAITS: Final = {
    "first_name": Meaning("First name", _TEXT, _DEMOGRAPHIC, True),
    "last_name": Meaning("Last name", _TEXT, _DEMOGRAPHIC, True),
    "email": Meaning("Email", TraitType.EMAIL, _DEMOGRAPHIC, True),
    "birthday": Meaning("Birthday", _DATE, _DEMOGRAPHIC, True),
    "gender": Meaning("Gender", _TEXT, _DEMOGRAPHIC, False, "As given in the account: female, male or non-binary."),
    "country": Meaning("Country", TraitType.COUNTRY, _DEMOGRAPHIC, False, "ISO 3166-1, two letters."),
    "city": Meaning("City", _TEXT, _DEMOGRAPHIC),
    "postal_code": Meaning("Postal code", _TEXT, _DEMOGRAPHIC, True),
    "language": Meaning("Language", _TEXT, _DEMOGRAPHIC, False, "ISO 639-1, two letters."),
    "customer_since": Meaning("Customer since", _DATE, _BEHAVIOURAL, False, "The day the account was opened."),
    "loyalty_tier": Meaning(
        "Loyalty tier", _TEXT, _BEHAVIOURAL, False, "paper, bronze, silver or gold, by what was spent."
    ),
    "price_sensitivity": Meaning(
        "Price sensitivity", _TEXT, _PSYCHOGRAPHIC, False, "low, medium or high, from the style quiz."
    ),
    "style": Meaning("Style", _TEXT, _PSYCHOGRAPHIC, False, "classic, outdoor, cosy or creative, from the style quiz."),
    "interests": Meaning(
        "Interests", TraitType.LIST, _PSYCHOGRAPHIC, False, "Favourite categories, from the style quiz."
    ),
    "preferred_device": Meaning("Preferred device", _TEXT, _TECHNOGRAPHIC, False, "desktop, mobile or tablet."),
}


@transaction.atomic
def enter_traits() -> int:
    """How many entries the catalogue did not have yet. Those it has stay as somebody may have changed them."""
    known = set(Trait.objects.filter(key__in=TRAITS).values_list("key", flat=True))
    missing = [Trait(key=key, **meaning._asdict()) for key, meaning in TRAITS.items() if key not in known]
    Trait.objects.bulk_create(missing, ignore_conflicts=True)
    if missing:
        record(by=LOADER, action="trait_catalogue.extended", detail={"keys": sorted(trait.key for trait in missing)})
    return len(missing)
