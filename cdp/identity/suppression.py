"""People who were erased stay so: identifiers by which nobody is made known anew, kept as keyed digests alone.

A digest is HMAC-SHA-256 over namespace and normalised value, under a key that lies outside the database: with the table and
all addresses of the world, but without that key, nobody can tell who is in it. Who enters identifiers is in `cdp.erasure`.
"""

import hmac
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import DomainError
from cdp.identity.models import Suppression, SuppressionMark
from cdp.identity.normalise import EMAIL, Identifier, Unusable, normalise
from cdp.identity.resolve import Claim, possible
from cdp.vault.ring import VaultUnusable
from cdp.vault.services import ring_of_settings


@dataclass(slots=True)
class Sifted:
    """Claims without the identifiers that are suppressed.

    ``dropped`` numbers those that have none left; ``claims`` are the others, in order, and ``numbers`` which they were.
    ``silenced`` has, by number, what was left out of a claim that goes on.
    """

    claims: list[Claim]
    numbers: list[int]
    dropped: set[int] = field(default_factory=set)
    silenced: dict[int, set[Identifier]] = field(default_factory=dict)


def sift(claims: Sequence[Claim], *, known: Mapping[Identifier, Any] | Set[Identifier]) -> Sifted:
    """The claims without what is suppressed.

    Args:
        known: identifiers that belong to somebody at present. These count whatever is suppressed: of whoever came back by
            their own wish nothing is left out, and for a batch about people who are known nothing is asked.

    Raises:
        cdp.vault.ring.VaultUnusable: identifiers are suppressed, and the key to know them by is not there.
    """
    numbers = list(range(len(claims)))
    unknown = {one for claim in claims for one in possible(claim.identifiers) if one not in known}
    gone = suppressed(unknown)
    if not gone:
        return Sifted(list(claims), numbers)
    out = Sifted([], [])
    for number, claim in enumerate(claims):
        left_out = {one for one in claim.identifiers if _is_gone(one, gone, known)}
        kept = tuple(one for one in claim.identifiers if one not in left_out)
        if not any(one.namespace != "previous_id" for one in kept):
            out.dropped.add(number)
            continue
        if left_out:
            out.silenced[number] = left_out
            claim = replace(claim, identifiers=kept)
        out.claims.append(claim)
        out.numbers.append(number)
    return out


def _is_gone(identifier: Identifier, gone: Set[Identifier], known: Mapping[Identifier, Any] | Set[Identifier]) -> bool:
    """An alias's previous id may stand in either namespace; known in one, it is that one."""
    either = possible([identifier])
    return not gone.isdisjoint(either) and not any(one in known for one in either)


def suppressed(identifiers: Collection[Identifier]) -> set[Identifier]:
    """Those of the identifiers that are suppressed. While nobody is, that is all that is asked of the database.

    Raises:
        cdp.vault.ring.VaultUnusable: see `sift`.
    """
    if not identifiers:
        return set()
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM identity_suppression), (SELECT digest FROM identity_suppressionmark)"
        )
        any_is, mark = cursor.fetchall()[0]
        if not any_is:
            return set()
        _refuse_other_key(mark)
        by_digest = _digests(identifiers)
        cursor.execute("SELECT digest FROM identity_suppression WHERE digest = ANY(%s::bytea[])", [list(by_digest)])
        return {by_digest[bytes(digest)] for (digest,) in cursor.fetchall()}


def suppress(identifiers: Collection[Identifier]) -> int:
    """How many were not suppressed yet. Runs in the transaction of the erasure, whose entry in the audit log says why.

    Raises:
        cdp.vault.ring.VaultUnusable: there is no key to know them by again, or another than before.
    """
    if not identifiers:
        return 0
    with bound_cursor() as cursor:
        cursor.execute(
            "INSERT INTO identity_suppressionmark (id, digest) VALUES (1, %b) ON CONFLICT DO NOTHING", [_mark()]
        )
        cursor.execute("SELECT digest FROM identity_suppressionmark")
        _refuse_other_key(cursor.fetchall()[0][0])
        cursor.execute(
            "INSERT INTO identity_suppression (digest, entered_at)"
            " SELECT d, now() FROM unnest(%s::bytea[]) AS g(d) ORDER BY d ON CONFLICT DO NOTHING",
            [sorted(_digests(identifiers))],
        )
        return cursor.rowcount


@transaction.atomic
def lift(*, namespace: str, value: str, by: Actor) -> bool:
    """Lets somebody come back by this identifier, since they wish it; False when it wasn't suppressed.

    The audit log says that it was done and for which namespace, and not for whom.

    Raises:
        DomainError: it can't be an identifier.
        cdp.vault.ring.VaultUnusable: there is no key to know it by.
    """
    try:
        identifier = normalise(namespace, value)
    except Unusable:
        raise DomainError("identifier_malformed", "This can't be an identifier of anybody.", "/value") from None
    _refuse_other_key(SuppressionMark.objects.values_list("digest", flat=True).first())
    [digest] = _digests([identifier])
    found = Suppression.objects.filter(digest=digest).delete()[0]
    record(
        by=by, action="suppression.lifted", detail={"namespace": identifier.namespace, "was_suppressed": bool(found)}
    )
    return bool(found)


def without_values(said: Any, silenced: Collection[Identifier]) -> Any:
    """The properties, context or traits of a message without the values of these identifiers; an address of email also not
    within a text. What was a mapping or a list stays one."""
    exact = {one.value.casefold() for one in silenced}
    addresses = [one.value.casefold() for one in silenced if one.namespace == EMAIL]
    return _without(said, exact, addresses)


_GONE = object()


def _without(said: Any, exact: Set[str], addresses: Sequence[str]) -> Any:
    if isinstance(said, dict):
        kept = (
            (key, _without(inner, exact, addresses)) for key, inner in said.items() if not _says(key, exact, addresses)
        )
        return {key: inner for key, inner in kept if inner is not _GONE}
    if isinstance(said, list):
        return [inner for one in said if (inner := _without(one, exact, addresses)) is not _GONE]
    return _GONE if _says(said, exact, addresses) else said


def _says(said: Any, exact: Set[str], addresses: Sequence[str]) -> bool:
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return False
    text = str(said).strip().casefold()
    return text in exact or any(address in text for address in addresses)


def _refuse_other_key(mark: bytes | memoryview | None) -> None:
    """
    Raises:
        cdp.vault.ring.VaultUnusable: people were suppressed by another key than the one that is there.
    """
    if mark is not None and not hmac.compare_digest(bytes(mark), _mark()):
        raise VaultUnusable(
            "The file in CDP_VAULT_KEY_FILE isn't the one by which people were suppressed: its lasting secret is another. "
            "Put the old file back, or erased people would come back unnoticed."
        )


def _mark() -> bytes:
    return hmac.digest(ring_of_settings().suppression_key(), b"\0mark", "sha256")


def _digests(identifiers: Collection[Identifier]) -> dict[bytes, Identifier]:
    key = ring_of_settings().suppression_key()
    # No namespace has a NUL, so no two identifiers make the same text.
    return {hmac.digest(key, f"{one.namespace}\0{one.value}".encode(), "sha256"): one for one in identifiers}
