"""Google Consent Mode v2: what we tell Google's tags, worked out from what is permitted. An export; nothing is read from it.

Sources: Google, "Consent mode reference" (support.google.com/tagmanager/answer/13802165) for the types and what they are for;
"Implement TCF strings" (developers.google.com/tag-platform/security/guides) for what purposes 1, 3, 4 and 7 of the TCF decide.
"""

from collections.abc import Mapping
from enum import StrEnum

from consent.signals.meaning import Capability as C
from consent.signals.meaning import Meaning, Needs, Stance


class ConsentType(StrEnum):
    AD_STORAGE = "ad_storage"
    AD_USER_DATA = "ad_user_data"
    AD_PERSONALIZATION = "ad_personalization"
    ANALYTICS_STORAGE = "analytics_storage"
    FUNCTIONALITY_STORAGE = "functionality_storage"
    PERSONALIZATION_STORAGE = "personalization_storage"
    SECURITY_STORAGE = "security_storage"


# Stricter than Google's own reading of the TCF in two things. Storage for advertising needs an advertising purpose, too: our
# capabilities may come from a banner that asks about storage as such. And who opted out of sale or sharing has no data sent
# to Google for advertising.
NEEDS: Mapping[ConsentType, Needs] = {
    ConsentType.AD_STORAGE: Needs(frozenset({C.DEVICE_STORAGE, C.AD_MEASUREMENT})),
    ConsentType.AD_USER_DATA: Needs(frozenset({C.DEVICE_STORAGE, C.AD_MEASUREMENT}), frozenset({C.SALE, C.SHARING})),
    ConsentType.AD_PERSONALIZATION: Needs(frozenset({C.TARGETED_ADS}), frozenset({C.SALE, C.SHARING})),
    ConsentType.ANALYTICS_STORAGE: Needs(frozenset({C.DEVICE_STORAGE, C.ANALYTICS})),
    ConsentType.FUNCTIONALITY_STORAGE: Needs(frozenset({C.DEVICE_STORAGE})),
    ConsentType.PERSONALIZATION_STORAGE: Needs(frozenset({C.DEVICE_STORAGE, C.PERSONALISATION})),
}
# Log-ins, protection from fraud: strictly necessary, which needs no consent (Directive 2002/58/EC, Art. 5(3)).
ALWAYS_GRANTED = frozenset({ConsentType.SECURITY_STORAGE})


def export(permitted: Meaning) -> dict[str, str]:
    """A value for each consent type, in the order of Google's reference: "granted", or "denied", also for what is unknown.

    Args:
        permitted: what holds now; from signals, or from the state of a person's consents put in these words.
    """
    return {str(kind): _value(kind, permitted) for kind in ConsentType}


def _value(kind: ConsentType, permitted: Meaning) -> str:
    if kind in ALWAYS_GRANTED or permitted.fulfils(NEEDS[kind]) is Stance.GRANTED:
        return "granted"
    return "denied"
