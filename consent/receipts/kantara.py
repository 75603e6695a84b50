"""A receipt by the Kantara Initiative's Consent Receipt Specification, v1.1.0 of 20 February 2018, as JSON. Pure.

Section numbers are those of https://kantarainitiative.org/file-downloads/consent-receipt-specification-v1-1-0/.
"""

from collections.abc import Mapping
from typing import Any, Final

from consent.receipts.facts import DECIDED_THEMSELVES, Facts

VERSION: Final = "KI-CR-v1.1.0"  # 4.3.1
# Appendix A, by what signals and laws call them.
CATEGORIES: Final[Mapping[str, str]] = {
    "personalisation": "5 - Personalized Experience",
    "marketing": "6 - Marketing",
    "sale": "9 - Sharing for Marketing",
    "sharing": "9 - Sharing for Marketing",
    "targeted_ads": "6 - Marketing",
    "ad_measurement": "16 - Improve Performance",
    "analytics": "16 - Improve Performance",
}
DATA: Final[Mapping[str, str]] = {
    "email": "2 - Contact",
    "sms": "2 - Contact",
    "phone": "2 - Contact",
    "post": "2 - Contact",
}
METHODS: Final[Mapping[str, str]] = {
    "banner": "Choice in a banner, nothing ticked beforehand",
    "preference_centre": "Choice in the preference centre",
    "form": "Choice in a form",
    "double_opt_in": "Choice in a form, confirmed by a link that was sent to them",
    "privacy_request": "Request to us, whose sender was verified",
}
PASSES_ON: Final = frozenset({"sale", "sharing"})


def receipt(facts: Facts, *, public_key: str = "") -> dict[str, Any]:
    """The receipt, unsigned.

    Args:
        public_key: the controller's key (4.3.6), by which a signed form of this receipt is checked.

    Raises:
        ValueError: it is no yes; this form can say nothing else.
    """
    if facts.decision != "granted":
        raise ValueError("a receipt of this form is of a consent that was given")
    # Each category of what was consented to, in the order of the list.
    categories = sorted({CATEGORIES[one] for one in facts.capabilities if one in CATEGORIES})
    passes_on = bool(PASSES_ON & set(facts.capabilities))
    controller = facts.controller
    return {
        "version": VERSION,
        "jurisdiction": facts.place_of_law,
        "consentTimestamp": int(facts.collected_at.timestamp()),  # 4.3.3: whole seconds
        "collectionMethod": _method(facts.method),
        "consentReceiptID": facts.receipt_id,
        **({"publicKey": public_key} if public_key else {}),
        "language": facts.language,
        "piiPrincipalId": facts.person,
        "piiControllers": [
            {
                "piiController": controller.name,
                "onBehalf": False,
                "contact": controller.contact or controller.name,
                "address": {  # 4.4.6: as https://schema.org/PostalAddress
                    "streetAddress": controller.address,
                    "addressCountry": controller.country,
                },
                "email": controller.email,
                "phone": controller.phone,
                "piiControllerUrl": controller.url,
            }
        ],
        "policyUrl": facts.policy_url,
        "services": [
            {
                "service": facts.purpose_label,
                "purposes": [
                    {
                        "purpose": facts.purpose_text,
                        "purposeCategory": categories or ["1 - Core Function"],
                        "consentType": _type(facts),
                        "piiCategory": [DATA.get(facts.channel, "1 - Biographical")],
                        "primaryPurpose": False,
                        "termination": _termination(facts),
                        "thirdPartyDisclosure": passes_on,
                        **({"thirdPartyName": "Those named in the text of the purpose"} if passes_on else {}),
                    }
                ],
            }
        ],
        "sensitive": False,
        "spiCat": [],
    }


def _method(method: str) -> str:
    return METHODS.get(method, f"Brought to us: {method.replace('_', ' ')}")


def _type(facts: Facts) -> str:
    """4.5.6: how it was given, where that was not by the person's own act, or is no consent by law."""
    if facts.lawful_basis == "consent" and facts.method in DECIDED_THEMSELVES:
        return "EXPLICIT"
    return f"{_method(facts.method)}; legal basis: {facts.lawful_basis.replace('_', ' ')}"


def _termination(facts: Facts) -> str:
    """4.5.9: the conditions, and where to end it."""
    until = f"on {facts.expires_at:%Y-%m-%d}, or earlier " if facts.expires_at else ""
    return f"It ends {until}when it is withdrawn at {facts.controller.choices_url}"
