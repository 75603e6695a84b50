"""Time stamps of checkpoints (RFC 3161): an authority's word that these very bytes existed at that moment.

The authority sees a hash and nothing else. A stamp may lie in our own database: nobody here can make one, and none is taken
that doesn't lead to a certificate the operator has named. `openssl ts -verify` checks it without us.
"""

import urllib.request
from pathlib import Path
from typing import Final

from cryptography import x509
from rfc3161_client import (
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

SECONDS: Final = 10
MOST_BYTES: Final = 64 * 1024


class StampRefused(OSError):
    """The authority gave none, or what it gave isn't a stamp of these bytes by somebody we trust."""

    strerror = "no valid time stamp"


def stamp(note: bytes, *, url: str, certificates: Path) -> bytes:
    """The authority's answer (a TimeStampResp in DER), checked: nonce, hash, signature, chain, and what the key is for.

    Args:
        certificates: a PEM file with the authority's root, and intermediates it doesn't send along.

    Raises:
        OSError: it couldn't be reached; `StampRefused` where the answer doesn't hold.
    """
    request = TimestampRequestBuilder().data(note).nonce(nonce=True).cert_request(cert_request=True).build()
    asked = urllib.request.Request(  # noqa: S310  # the operator's own setting
        url, data=request.as_bytes(), headers={"Content-Type": "application/timestamp-query"}, method="POST"
    )
    with urllib.request.urlopen(asked, timeout=SECONDS) as answer:  # noqa: S310
        raw: bytes = answer.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise StampRefused
    try:
        response = decode_timestamp_response(raw)
        builder = VerifierBuilder.from_request(request)
        for certificate in x509.load_pem_x509_certificates(certificates.read_bytes()):
            is_root = certificate.issuer == certificate.subject
            builder = (builder.add_root_certificate if is_root else builder.add_intermediate_certificate)(certificate)
        builder.build().verify_message(response, note)
    except (ValueError, VerificationError) as error:
        raise StampRefused from error
    return raw
