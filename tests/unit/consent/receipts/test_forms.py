"""Receipts against the fields that their specifications demand, and their signatures against published values.

The schemas below are written from the texts: of ISO/IEC TS 27560:2023 the mandatory fields as the DPV guide lists them
(https://w3id.org/dpv/guides/consent-27560, 1 August 2024), of Kantara's KI-CR v1.1.0 sections 4.3 to 4.6. Where a field is
optional in the text and always known here, the schema demands it all the same.
"""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jsonschema
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cdp.audit.signing import Signer
from cdp.audit.verify import Key
from consent.receipts import dpv, kantara
from consent.receipts.facts import Controller, Facts, Told
from consent.receipts.signing import base58, did_key, hashed, jws, unbase58, with_proof

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CONTROLLER = Controller(
    name="Paper Boat Goods", contact="Data protection officer", address="1 Quay Street, Galway", country="IE",
    email="privacy@boat.example", phone="+353 91 000 000", url="https://boat.example",
    privacy_url="https://boat.example/privacy", choices_url="https://boat.example/choices",
)  # fmt: skip
TOLD = Told(
    key="banner", number=3, locale="de", sha256="ab" * 32, published_at=NOW - timedelta(days=40),
    link="https://boat.example/datenschutz",
)  # fmt: skip
FACTS = Facts(
    record=UUID("b9c1b2f0-51c5-4e9e-8d3f-0d53b1c2a001"), person="0192f6d4-0000-7000-8000-000000000001", is_device=False,
    decision="granted", method="form", collected_at=NOW - timedelta(days=10, microseconds=-7),
    recorded_at=NOW - timedelta(days=9), expires_at=NOW + timedelta(days=355), has_ended=False, jurisdiction="DE",
    purpose_key="marketing_email", purpose_label="Marketing email", purpose_text="We send you news and offers by email.",
    lawful_basis="consent", channel="email", capabilities=("marketing",), covers_profiling=False, notice=TOLD,
    served_at=NOW - timedelta(days=10, seconds=20), place="https://boat.example/join", controller=CONTROLLER,
)  # fmt: skip
EVERY_KIND = [
    FACTS,
    replace(FACTS, notice=None, served_at=None, place="", jurisdiction="", expires_at=None),
    replace(FACTS, method="import", capabilities=("sale", "sharing"), channel=""),
    replace(FACTS, lawful_basis="legitimate_interests", method="merge", is_device=True, covers_profiling=True),
    replace(FACTS, has_ended=True, expires_at=NOW - timedelta(days=1)),
    replace(FACTS, capabilities=("analytics",), channel="onsite", person="profile-12"),
]

# ---- ISO/IEC TS 27560 in DPV ---------------------------------------------------------------------------------------

MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
SAID = {"type": "string", "minLength": 1}
DURATION = {
    "type": "object",
    "required": ["@type"],
    "properties": {
        "@type": {
            "enum": [
                f"dpv:{one}Duration" for one in ("Temporal", "UntilTime", "UntilEvent", "FixedOccurrences", "Endless")
            ]
        },
        "rdf:value": SAID,
    },
}
STATUSES = ["ConsentRequested", "ConsentGiven", "ConsentRefused", "ConsentWithdrawn", "ConsentExpired"]
RECORD = {
    "type": "object",
    "required": [
        "@id", "@type", "dct:conformsTo", "dct:identifier", "dct:created", "dct:language", "dpv:hasDataSubject",
        "dpv:hasEntity", "dpv:hasDataController", "dpv:hasJurisdiction", "dpv:hasNotice", "dpv:hasProcess",
        "dpv:hasConsentControl", "dpv:hasConsentStatus",
    ],
    "properties": {
        "dct:conformsTo": {"const": "https://w3id.org/dpv/schema/dpv-27560#record"},
        "dct:created": MOMENT,
        "dct:language": SAID,
        "dpv:hasDataSubject": {"type": "object", "required": ["@id", "dpv:hasIdentifier"]},
        "dpv:hasJurisdiction": {"type": "string", "pattern": "^loc:[A-Z]{2}(-[A-Z0-9]{1,3})?$"},
        "dpv:hasEntity": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["@id", "@type", "dpv:hasName", "dpv:hasAddress", "dpv:hasContact"],
                "properties": {"dpv:hasName": SAID},
            },
        },
        "dpv:hasNotice": {"type": "object", "required": ["@type", "schema:url"], "properties": {"schema:url": SAID}},
        "dpv:hasProcess": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": [
                    "dpv:hasPurpose", "dpv:hasPersonalData", "dpv:hasProcessing", "dpv:hasLegalBasis", "dpv:hasRecipient",
                    "dpv:hasDataSource", "dpv:hasStorageCondition",
                ],
                "properties": {
                    "dpv:hasPurpose": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "object", "required": ["skos:broader", "skos:prefLabel", "skos:definition"]},
                    },
                    "dpv:hasStorageCondition": {
                        "type": "array",
                        "allOf": [
                            {"contains": {"properties": {"@type": {"const": "dpv:StorageLocation"}}, "required": ["dpv:hasLocation"]}},
                            {"contains": {"properties": {"@type": {"const": "dpv:StorageDuration"}, "dpv:hasDuration": DURATION},
                                          "required": ["dpv:hasDuration"]}},
                        ],
                    },
                },
            },
        },
        "dpv:hasConsentControl": {
            "type": "object",
            "required": ["@type", "dpv:isExercisedAt"],
            "properties": {"@type": {"type": "array", "contains": {"const": "dpv:WithdrawConsent"}}, "dpv:isExercisedAt": SAID},
        },
        "dpv:hasConsentStatus": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["@type", "dpv:isIndicatedAtTime", "dpv:isIndicatedBy", "dpv:hasDuration"],
                "properties": {
                    "@type": {"type": "array", "contains": {"enum": [f"dpv:{one}" for one in STATUSES]}},
                    "dpv:isIndicatedAtTime": MOMENT,
                    "dpv:hasDuration": DURATION,
                },
            },
        },
    },
}  # fmt: skip
RECEIPT = {
    "type": "object",
    "required": [
        "@context",
        "@id",
        "@type",
        "dct:conformsTo",
        "dpv:hasIdentifier",
        "dct:created",
        "dpv:hasRecordOfActivity",
    ],
    "properties": {
        "@type": {"const": "dpv:ConsentReceipt"},
        "dct:conformsTo": {"const": "https://w3id.org/dpv/schema/dpv-27560#receipt"},
        "dct:created": MOMENT,
        "dpv:hasRecordOfActivity": RECORD,
    },
}


@pytest.mark.parametrize("decision", ["granted", "denied", "withdrawn", "pending"])
@pytest.mark.parametrize("number", range(len(EVERY_KIND)))
def test_every_receipt_has_what_27560_demands(number: int, decision: str) -> None:
    facts = replace(EVERY_KIND[number], decision=decision)
    jsonschema.validate(dpv.receipt(facts, created=NOW), RECEIPT)


def test_every_prefix_of_a_receipt_is_in_its_context() -> None:
    """Else a reader of JSON-LD would take the word for nothing."""
    declared = set(dpv.CONTEXT[1]) | {"urn", "https"}  # type: ignore[arg-type]

    def prefixes(value: Any) -> set[str]:
        if isinstance(value, dict):
            return {one for key in value if ":" in key for one in [key.partition(":")[0]]} | {
                one for key, inner in value.items() if key != "@context" for one in prefixes(inner)
            }
        if isinstance(value, list):
            return {one for inner in value for one in prefixes(inner)}
        text = str(value)
        return (
            {text.partition(":")[0]}
            if ":" in text and " " not in text and text.partition(":")[2][:1].isalpha()
            else set()
        )

    for facts in EVERY_KIND:
        assert prefixes(dpv.receipt(facts, created=NOW)) <= declared


def test_it_says_when_they_were_asked_what_they_decided_and_until_when() -> None:
    asked, given = dpv.record(FACTS)["dpv:hasConsentStatus"]
    assert (
        asked["@type"] == ["dpv:ConsentRequested"] and asked["dpv:isIndicatedAtTime"] == "2026-11-12T11:59:40.000000Z"
    )
    assert given["@type"] == ["dpv:ConsentGiven", "dpv:ExpressedConsent"]
    assert given["dpv:hasDuration"] == {"@type": "dpv:UntilTimeDuration", "rdf:value": "2027-11-12T12:00:00.000000Z"}
    assert given["dpv:isIndicatedBy"] == "dpv:DataSubject"
    ended = dpv.record(EVERY_KIND[4])["dpv:hasConsentStatus"][-1]
    assert ended["@type"] == ["dpv:ConsentExpired"]


def test_what_was_not_their_own_act_is_not_said_to_be() -> None:
    [brought] = dpv.record(replace(FACTS, method="import", served_at=None))["dpv:hasConsentStatus"]
    assert brought["@type"] == ["dpv:ConsentGiven"] and brought["dpv:isIndicatedBy"] == {"@id": dpv.CONTROLLER}


def test_a_receipt_names_the_words_by_their_hash_or_says_that_none_are_known() -> None:
    assert dpv.record(FACTS)["dpv:hasNotice"]["@id"] == "urn:sha256:" + "ab" * 32
    assert "not on record" in dpv.record(EVERY_KIND[1])["dpv:hasNotice"]["skos:note"]


# ---- Kantara -------------------------------------------------------------------------------------------------------

PURPOSE = {
    "type": "object",
    "required": ["purpose", "purposeCategory", "consentType", "piiCategory", "primaryPurpose", "termination", "thirdPartyDisclosure"],
    "properties": {
        "purpose": SAID,
        "purposeCategory": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": r"^\d+ - "}},
        "consentType": SAID,  # 4.5.6
        "piiCategory": {"type": "array", "minItems": 1, "items": SAID},
        "primaryPurpose": {"type": "boolean"},
        "termination": SAID,  # 4.5.9
        "thirdPartyDisclosure": {"type": "boolean"},
        "thirdPartyName": SAID,
    },
    # 4.5.11: who it is, if it goes to anybody
    "if": {"properties": {"thirdPartyDisclosure": {"const": True}}},
    "then": {"required": ["thirdPartyName"]},
    "additionalProperties": False,
}  # fmt: skip
KANTARA = {
    "type": "object",
    "required": [
        "version", "jurisdiction", "consentTimestamp", "collectionMethod", "consentReceiptID", "piiPrincipalId",
        "piiControllers", "policyUrl", "services", "sensitive", "spiCat", "language",
    ],
    "properties": {
        "version": {"const": "KI-CR-v1.1.0"},  # 4.3.1
        "jurisdiction": SAID,  # 4.3.2
        "consentTimestamp": {"type": "integer", "minimum": 0},  # 4.3.3
        "collectionMethod": SAID,
        "consentReceiptID": SAID,  # 4.3.5
        "publicKey": SAID,
        "language": SAID,
        "piiPrincipalId": SAID,  # 4.4.1
        "piiControllers": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["piiController", "contact", "address", "email", "phone"],
                "properties": {
                    "piiController": SAID, "onBehalf": {"type": "boolean"}, "contact": SAID, "email": SAID, "phone": SAID,
                    "address": {"type": "object", "required": ["streetAddress", "addressCountry"]},  # 4.4.6
                    "piiControllerUrl": {"type": "string"},
                },
                "additionalProperties": False,
            },
        },
        "policyUrl": {"type": "string", "pattern": "^https://"},  # 4.4.10
        "services": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["service", "purposes"],
                "properties": {"service": SAID, "purposes": {"type": "array", "minItems": 1, "items": PURPOSE}},
                "additionalProperties": False,
            },
        },
        "sensitive": {"type": "boolean"},
        "spiCat": {"type": "array"},
    },
    "additionalProperties": False,
}  # fmt: skip


@pytest.mark.parametrize("number", range(len(EVERY_KIND)))
def test_every_receipt_has_what_kantara_demands(number: int) -> None:
    jsonschema.validate(kantara.receipt(EVERY_KIND[number], public_key="did:key:z6Mk"), KANTARA)


def test_a_kantara_receipt_is_of_a_yes() -> None:
    for decision in ("denied", "withdrawn", "pending"):
        with pytest.raises(ValueError, match="a consent that was given"):
            kantara.receipt(replace(FACTS, decision=decision))


def test_only_what_they_did_themselves_on_consent_is_explicit() -> None:
    def kind(facts: Facts) -> str:
        said: str = kantara.receipt(facts)["services"][0]["purposes"][0]["consentType"]
        return said

    assert kind(FACTS) == "EXPLICIT"
    assert "import" in kind(replace(FACTS, method="import"))
    assert "legitimate interests" in kind(replace(FACTS, lawful_basis="legitimate_interests"))


def test_it_names_the_policy_that_was_linked_then_and_where_to_end_it() -> None:
    receipt = kantara.receipt(FACTS)
    assert receipt["policyUrl"] == "https://boat.example/datenschutz"
    assert receipt["consentTimestamp"] == int(datetime(2026, 11, 12, 12, tzinfo=UTC).timestamp())
    assert "2027-11-12" in receipt["services"][0]["purposes"][0]["termination"]
    assert CONTROLLER.choices_url in receipt["services"][0]["purposes"][0]["termination"]
    assert kantara.receipt(replace(FACTS, notice=None))["policyUrl"] == CONTROLLER.privacy_url


# ---- Signatures ----------------------------------------------------------------------------------------------------


def signer(private: bytes) -> Signer:
    return Signer(name="test.example/audit", private=Ed25519PrivateKey.from_private_bytes(private))


def test_a_key_names_itself_as_published() -> None:
    """The key of the example in 1EdTech's Open Badges 3.0, and the way back."""
    public = bytes.fromhex("4bdeafde2ea8beefadd8c699b5c7e0704cf51154d52e17b20b71337ca04cc5a5")
    assert did_key(Key(name="x", public=public)) == "did:key:z6MkjZRZv3aez3r18pB1RBFJR1kwUVJ5jHt92JmQwXbd5hwi"
    assert unbase58("z6MkjZRZv3aez3r18pB1RBFJR1kwUVJ5jHt92JmQwXbd5hwi") == b"\xed\x01" + public
    assert unbase58(base58(b"\0\0\x01")) == b"\0\0\x01"
    for bad in ("6Mk", "z0OIl"):
        with pytest.raises(ValueError, match="base58btc"):
            unbase58(bad)


def test_a_jws_is_signed_as_rfc_8037_has_it() -> None:
    """RFC 8037, A.4: that key over that text; and ours, checked by hand."""
    private = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    one = signer(private)
    assert one.private.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc") == base64.urlsafe_b64decode(
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg=="
    )
    token = jws(kantara.receipt(FACTS, public_key=did_key(one.key)), signer=one)
    said, _, signature = token.rpartition(".")
    Ed25519PublicKey.from_public_bytes(one.key.public).verify(base64.urlsafe_b64decode(signature + "=="), said.encode())
    header, payload = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in said.split("."))
    assert (header["alg"], header["kid"]) == ("EdDSA", payload["publicKey"])
    jsonschema.validate(payload, KANTARA)


def test_a_proof_is_over_all_of_the_receipt() -> None:
    one = signer(bytes(range(32)))
    signed = with_proof(dpv.receipt(FACTS, created=NOW), signer=one, created=NOW)
    jsonschema.validate(signed, RECEIPT)
    verify(signed, one.key)
    assert signed["proof"]["@context"] == signed["@context"]
    signed["dpv:hasRecordOfActivity"]["dpv:hasConsentStatus"][-1]["@type"] = ["dpv:ConsentGiven"]
    with pytest.raises(InvalidSignature):
        verify(signed, one.key)


def verify(signed: dict[str, Any], key: Key) -> None:
    """As a reader does: by the key that the proof names."""
    document = {name: value for name, value in signed.items() if name != "proof"}
    proof = {name: value for name, value in signed["proof"].items() if name != "proofValue"}
    name = proof["verificationMethod"].partition("#")[2]
    assert unbase58(name) == b"\xed\x01" + key.public
    signature = unbase58(signed["proof"]["proofValue"])
    Ed25519PublicKey.from_public_bytes(unbase58(name)[2:]).verify(signature, hashed(document, proof))
