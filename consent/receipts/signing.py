"""Receipts with a signature, where their form has a place for one: a Data Integrity proof, or a JSON Web Signature. Pure.

Sources: W3C Data Integrity EdDSA Cryptosuites v1.0 (15 May 2025), 3.3 eddsa-jcs-2022, and RFC 8785 for its bytes; RFC 7515 and
RFC 8037 for JWS by Ed25519; the did:key method for naming a key by itself.
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import rfc8785

from cdp.audit.signing import Signer
from cdp.audit.verify import Key, moment_text

ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ED25519_PUB: Final = b"\xed\x01"  # multicodec


def base58(raw: bytes) -> str:
    """Multibase's base58btc: the prefix z, then the digits."""
    number, digits = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = ALPHABET[digit] + digits
    return "z" + ALPHABET[0] * (len(raw) - len(raw.lstrip(b"\0"))) + digits


def unbase58(text: str) -> bytes:
    """
    Raises:
        ValueError: it isn't base58btc.
    """
    if not text.startswith("z") or not set(text[1:]) <= set(ALPHABET):
        raise ValueError("it isn't written in base58btc")
    number = 0
    for digit in text[1:]:
        number = number * 58 + ALPHABET.index(digit)
    zeros = len(text[1:]) - len(text[1:].lstrip(ALPHABET[0]))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


def did_key(key: Key) -> str:
    """The key as a name that says it: did:key:z6Mk…"""
    return f"did:key:{base58(ED25519_PUB + key.public)}"


def with_proof(document: Mapping[str, Any], *, signer: Signer, created: datetime) -> dict[str, Any]:
    """The JSON-LD document with its proof (Data Integrity, eddsa-jcs-2022)."""
    name = did_key(signer.key)
    proof: dict[str, Any] = {
        "@context": document["@context"],
        "type": "DataIntegrityProof",
        "cryptosuite": "eddsa-jcs-2022",
        "created": moment_text(created.replace(microsecond=0)).replace(".000000", ""),
        "verificationMethod": f"{name}#{name.removeprefix('did:key:')}",
        "proofPurpose": "assertionMethod",
    }
    signature = signer.private.sign(hashed(document, proof))
    return {**document, "proof": {**proof, "proofValue": base58(signature)}}


def hashed(document: Mapping[str, Any], proof: Mapping[str, Any]) -> bytes:
    """What is signed: the hash of the proof without its value, then that of the document without its proof (3.3.4)."""
    return hashlib.sha256(rfc8785.dumps(dict(proof))).digest() + hashlib.sha256(rfc8785.dumps(dict(document))).digest()


def jws(payload: Mapping[str, Any], *, signer: Signer) -> str:
    """The payload as a compact JWS by EdDSA, its bytes canonical."""
    header = {"alg": "EdDSA", "kid": did_key(signer.key), "typ": "JWT"}
    said = f"{_base64url(rfc8785.dumps(header))}.{_base64url(rfc8785.dumps(dict(payload)))}"
    return f"{said}.{_base64url(signer.private.sign(said.encode()))}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
