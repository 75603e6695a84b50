"""A receipt by ISO/IEC TS 27560:2023 in the terms of the W3C's Data Privacy Vocabulary, as JSON-LD. Pure.

Source: "Consent Records and Receipts as per ISO/IEC TS 27560:2023 using DPV", DPVCG final report of 1 August 2024
(https://w3id.org/dpv/guides/consent-27560): a receipt wraps a record; fields that are mandatory there are here, too.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from cdp.audit.verify import moment_text
from consent.receipts.facts import DECIDED_THEMSELVES, Controller, Facts

RECORD: Final = "https://w3id.org/dpv/schema/dpv-27560#record"
RECEIPT: Final = "https://w3id.org/dpv/schema/dpv-27560#receipt"
CONTEXT: Final = [
    "https://w3id.org/security/data-integrity/v2",
    {
        "dpv": "https://w3id.org/dpv#",
        "pd": "https://w3id.org/dpv/pd#",
        "loc": "https://w3id.org/dpv/loc#",
        "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
        "dct": "http://purl.org/dc/terms/",
        "skos": "http://www.w3.org/2004/02/skos/core#",
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "schema": "https://schema.org/",
    },
]
CONTROLLER: Final = "urn:consent:controller"

STATUS: Final[Mapping[str, str]] = {
    "granted": "dpv:ConsentGiven",
    "denied": "dpv:ConsentRefused",
    "withdrawn": "dpv:ConsentWithdrawn",
    "pending": "dpv:ConsentRequested",
}
BASES: Final[Mapping[str, tuple[str, str]]] = {
    "consent": ("dpv:Consent", "eu-gdpr:A6-1-a"),
    "contract": ("dpv:Contract", "eu-gdpr:A6-1-b"),
    "legal_obligation": ("dpv:LegalObligation", "eu-gdpr:A6-1-c"),
    "vital_interests": ("dpv:VitalInterest", "eu-gdpr:A6-1-d"),
    "public_task": ("dpv:PublicInterest", "eu-gdpr:A6-1-e"),
    "legitimate_interests": ("dpv:LegitimateInterest", "eu-gdpr:A6-1-f"),
}
PURPOSES: Final[Mapping[str, str]] = {
    "marketing": "dpv:DirectMarketing",
    "targeted_ads": "dpv:TargetedAdvertising",
    "ad_measurement": "dpv:Advertising",
    "analytics": "dpv:ServiceUsageAnalytics",
    "personalisation": "dpv:Personalisation",
    "sale": "dpv:SellDataToThirdParties",
    "sharing": "dpv:SellDataToThirdParties",
}
# What a person is reached by is what is processed at least; what else a purpose reads is said in its own words.
DATA: Final[Mapping[str, str]] = {
    "email": "pd:EmailAddress",
    "sms": "pd:TelephoneNumber",
    "phone": "pd:TelephoneNumber",
    "post": "pd:PhysicalAddress",
    "push": "pd:DeviceBased",
    "onsite": "pd:DeviceBased",
    "ads": "pd:DeviceBased",
}
PASSES_ON: Final = frozenset({"sale", "sharing"})


def receipt(facts: Facts, *, created: datetime) -> dict[str, Any]:
    """The receipt, unsigned."""
    return {
        "@context": CONTEXT,
        "@id": f"urn:uuid:{facts.receipt_id}",
        "@type": "dpv:ConsentReceipt",
        "dct:conformsTo": RECEIPT,
        "dct:identifier": facts.receipt_id,
        "dpv:hasIdentifier": facts.receipt_id,
        "dct:created": moment_text(created),
        "dct:publisher": {"@id": CONTROLLER},
        "schema:recipient": "dpv:DataSubject",
        "dpv:hasRecordOfActivity": record(facts),
    }


def record(facts: Facts) -> dict[str, Any]:
    """The record that the receipt is of."""
    return {
        "@id": f"urn:uuid:{facts.record}",
        "@type": "dpv:ConsentRecord",
        "dct:conformsTo": RECORD,
        "dct:identifier": str(facts.record),
        "dpv:hasIdentifier": str(facts.record),
        "dct:created": moment_text(facts.recorded_at),
        "dct:creator": {"@id": CONTROLLER},
        "dct:language": facts.language,
        "dpv:hasDataSubject": {
            "@id": f"urn:consent:person:{facts.person}",
            "@type": "dpv:DataSubject",
            "dpv:hasIdentifier": facts.person,
            **({"skos:note": "decided on one device, and for it alone"} if facts.is_device else {}),
        },
        "dpv:hasEntity": [_controller(facts.controller)],
        "dpv:hasDataController": {"@id": CONTROLLER},
        "dpv:hasJurisdiction": f"loc:{facts.place_of_law}",
        "dpv:hasNotice": _notice(facts),
        "dpv:hasProcess": [_process(facts)],
        "dpv:hasConsentControl": {
            "@type": ["dpv:ProvideConsent", "dpv:WithdrawConsent"],
            "dpv:isExercisedAt": facts.controller.choices_url,
        },
        "dpv:hasRight": [
            {
                "@type": ["dpv:DataSubjectRight", "eu-gdpr:A7-3"],
                "dct:title": "Right to withdraw consent",
                "dpv:isExercisedAt": facts.controller.choices_url,
            }
        ],
        "dpv:hasConsentStatus": _events(facts),
    }


def _controller(controller: Controller) -> dict[str, Any]:
    return {
        "@id": CONTROLLER,
        "@type": ["dpv:Organisation", "dpv:DataController"],
        "dpv:hasName": controller.name,
        "dpv:hasAddress": {
            "@type": "schema:PostalAddress",
            "schema:streetAddress": controller.address,
            "schema:addressCountry": controller.country,
        },
        "dpv:hasContact": {
            "schema:name": controller.contact or controller.name,
            "schema:email": controller.email,
            "schema:telephone": controller.phone,
            "schema:url": controller.url,
        },
    }


def _notice(facts: Facts) -> dict[str, Any]:
    """What was shown, by the hash of its bytes; or that nothing is on record, which is a notice that can't be named."""
    if facts.notice is None:
        return {
            "@type": "dpv:ConsentNotice",
            "schema:url": facts.policy_url,
            "skos:note": "Which words were shown is not on record.",
        }
    told = facts.notice
    return {
        "@id": f"urn:sha256:{told.sha256}",
        "@type": "dpv:ConsentNotice",
        "dpv:hasIdentifier": f"{told.key}/{told.locale}/{told.number}",
        "schema:version": str(told.number),
        "dct:date": moment_text(told.published_at),
        "dct:language": told.locale,
        "schema:sha256": told.sha256,
        "schema:url": facts.policy_url,
        **({"dpv:hasLocation": facts.place} if facts.place else {}),
    }


def _process(facts: Facts) -> dict[str, Any]:
    kinds = sorted({PURPOSES[one] for one in facts.capabilities if one in PURPOSES}) or ["dpv:Purpose"]
    basis, article = BASES[facts.lawful_basis]
    processing = ["dpv:Collect", "dpv:Store", "dpv:Use"]
    processing += ["dpv:Profiling"] if facts.covers_profiling else []
    processing += ["dpv:Share"] if PASSES_ON & set(facts.capabilities) else []
    recipients = [{"@id": CONTROLLER}]
    if PASSES_ON & set(facts.capabilities):
        recipients.append({"@type": "dpv:ThirdParty", "skos:prefLabel": "Those named in the text of the purpose"})  # type: ignore[dict-item]
    return {
        "@type": "dpv:Process",
        "dpv:hasPurpose": [
            {
                "@type": "dpv:Purpose",
                "dct:identifier": facts.purpose_key,
                "skos:broader": kinds,
                "skos:prefLabel": facts.purpose_label,
                "skos:definition": facts.purpose_text,
            }
        ],
        "dpv:hasPersonalData": [
            {
                "@type": "dpv:PersonalData",
                "skos:broader": [DATA.get(facts.channel, "pd:Identifying")],
                "skos:prefLabel": "What this purpose needs, as its text says",
            }
        ],
        "dpv:hasProcessing": processing,
        "dpv:hasDataSource": "dpv:DataSubjectDataSource",
        "dpv:hasLegalBasis": [basis, article],
        "dpv:hasRecipient": recipients,
        "dpv:hasStorageCondition": [
            {"@type": "dpv:StorageLocation", "dpv:hasLocation": f"loc:{facts.controller.country}"},
            {
                "@type": "dpv:StorageDuration",
                "dpv:hasDuration": {
                    "@type": "dpv:UntilEventDuration",
                    "rdf:value": "until this consent ends, or the person asks for erasure",
                },
            },
        ],
    }


def _events(facts: Facts) -> list[dict[str, Any]]:
    """That they were asked, as far as it is on record, and what they decided; and that it has ended, if it has."""
    events: list[dict[str, Any]] = []
    if facts.served_at is not None:
        events.append(
            {
                "@type": ["dpv:ConsentRequested"],
                "dpv:isIndicatedAtTime": moment_text(facts.served_at),
                "dpv:isIndicatedBy": {"@id": CONTROLLER},
                "dpv:hasDuration": {"@type": "dpv:UntilEventDuration", "rdf:value": "until they decide"},
            }
        )
    kind = [STATUS[facts.decision]]
    if facts.decision == "granted" and facts.method in DECIDED_THEMSELVES:
        kind.append("dpv:ExpressedConsent")
    events.append(
        {
            "@type": kind,
            "dpv:isIndicatedAtTime": moment_text(facts.collected_at),
            "dpv:isIndicatedBy": "dpv:DataSubject" if facts.method in DECIDED_THEMSELVES else {"@id": CONTROLLER},
            "dpv:hasIndicationMethod": facts.method,
            "dpv:hasDuration": _duration(facts),
        }
    )
    if facts.has_ended and facts.expires_at is not None:
        events.append(
            {
                "@type": ["dpv:ConsentExpired"],
                "dpv:isIndicatedAtTime": moment_text(facts.expires_at),
                "dpv:isIndicatedBy": {"@id": CONTROLLER},
                "dpv:hasDuration": {"@type": "dpv:EndlessDuration"},
            }
        )
    return events


def _duration(facts: Facts) -> dict[str, str]:
    if facts.expires_at is not None:
        return {"@type": "dpv:UntilTimeDuration", "rdf:value": moment_text(facts.expires_at)}
    if facts.decision == "granted":
        return {"@type": "dpv:UntilEventDuration", "rdf:value": "until it is withdrawn"}
    return {"@type": "dpv:UntilEventDuration", "rdf:value": "until they decide otherwise"}
