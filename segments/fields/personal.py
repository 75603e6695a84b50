"""Which fields are personal data, of which only counts are kept and shown.

Which conditions of a rule speak of them is in `segments.personal`; both go by the catalogue and by the names of properties.
"""

from collections.abc import Collection
from typing import Final

from cdp.profiles.catalogue import in_words
from cdp.profiles.masking import PERSONAL_PROPERTY
from cdp.profiles.models import TraitType

# Personal whatever the catalogue says: they reach a person.
PERSONAL_TYPES: Final = frozenset({TraitType.EMAIL.value, TraitType.PHONE.value})


def is_personal_property(name: str, traits: Collection[str]) -> bool:
    """Whether a property of an event is: by its name, or because a trait by that name is.

    Args:
        traits: the keys of the traits that are personal data.
    """
    return name in traits or bool(PERSONAL_PROPERTY.search(in_words(name)))
