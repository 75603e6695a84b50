"""Signatures as Standard Webhooks 1.0.0 has them, so that receivers verify them by its libraries. Pure: bytes in, text out.

What is signed is ``id.timestamp.body``: with HMAC-SHA256 by a shared secret (``v1``), with Ed25519 by a key pair (``v1a``).
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

HMAC: Final = "v1"
ED25519: Final = "v1a"
SECRET_BYTES: Final = 32
"""The specification asks for 24 to 64."""


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """One secret, opened."""

    kind: str
    secret: bytes


def new_secret(kind: str) -> bytes:
    if kind == HMAC:
        return os.urandom(SECRET_BYTES)
    return Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def shared_text(secret: bytes) -> str:
    """How a shared secret is given to the receiver."""
    return f"whsec_{_base64(secret)}"


def public_text(secret: bytes) -> str:
    """How the public half of a key pair is given to the receiver."""
    public = Ed25519PrivateKey.from_private_bytes(secret).public_key()
    return f"whpk_{_base64(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}"


def headers(*, event_id: str, timestamp: int, body: bytes, keys: Sequence[SigningKey]) -> dict[str, str]:
    """The headers by which a receiver knows who sent the body, when, and whether it has seen it before."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(key, signed) for key in keys),
    }


def _signature(key: SigningKey, signed: bytes) -> str:
    if key.kind == HMAC:
        made = hmac.new(key.secret, signed, hashlib.sha256).digest()
    else:
        made = Ed25519PrivateKey.from_private_bytes(key.secret).sign(signed)
    return f"{key.kind},{_base64(made)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
