"""Checking an Ed25519 signature in plain Python, where the package `cryptography` isn't at hand: on the machine of a judge.

RFC 8032, 5.1.7, in integers as they come: some milliseconds a signature, and no care taken of secrets, since it is given
none. Signing doesn't belong here. One file without anything else, because proof bundles carry it.
"""

import hashlib
from typing import Final

P: Final = 2**255 - 19
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
D: Final = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE: Final = pow(2, (P - 1) // 4, P)

# X, Y, Z and T with x = X/Z, y = Y/Z and x * y = T/Z (5.1.4).
Point = tuple[int, int, int, int]
NEUTRAL: Final[Point] = (0, 1, 1, 0)


class InvalidSignature(Exception):
    """It isn't the signature of this message by this key."""


class Ed25519PublicKey:
    """A public key, with the two methods of `cryptography` that verifiers use."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    @classmethod
    def from_public_bytes(cls, data: bytes) -> "Ed25519PublicKey":
        return cls(data)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Nothing, where the signature is right.

        Raises:
            InvalidSignature: it isn't, or key or signature can be none.
        """
        if len(self._raw) != 32 or len(signature) != 64:
            raise InvalidSignature
        key, commitment = _decoded(self._raw), _decoded(signature[:32])
        response = int.from_bytes(signature[32:], "little")
        if key is None or commitment is None or response >= ORDER:
            raise InvalidSignature
        digest = hashlib.sha512(signature[:32] + self._raw + data).digest()
        challenge = int.from_bytes(digest, "little") % ORDER
        if not _is_same(_times(response, BASE), _sum(commitment, _times(challenge, key))):
            raise InvalidSignature


def _sum(one: Point, other: Point) -> Point:
    """5.1.4."""
    a, b = (one[1] - one[0]) * (other[1] - other[0]) % P, (one[1] + one[0]) * (other[1] + other[0]) % P
    c, d = 2 * one[3] * other[3] * D % P, 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(factor: int, point: Point) -> Point:
    found = NEUTRAL
    while factor:
        if factor & 1:
            found = _sum(found, point)
        point, factor = _sum(point, point), factor >> 1
    return found


def _is_same(one: Point, other: Point) -> bool:
    return (one[0] * other[2] - other[0] * one[2]) % P == 0 and (one[1] * other[2] - other[1] * one[2]) % P == 0


def _decoded(raw: bytes) -> Point | None:
    """5.1.3; None of what encodes no point."""
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


_Y: Final = 4 * pow(5, -1, P) % P
_base = _decoded(_Y.to_bytes(32, "little"))
assert _base is not None, "the base point of RFC 8032, 5.1"
BASE: Final[Point] = _base
