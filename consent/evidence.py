"""The personal part of what proves a decision: sealed under the person's own key when it is recorded, opened for who may see it.

Erasing a person destroys the key. The record stays, and with it that somebody decided, when and on which text; what would
tell who it was is gone. Facts that tell nothing personal stand open in `ConsentRecord.evidence`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from cdp.errors import DomainError
from cdp.vault.services import Item, Sealed, open_all, seal
from consent.models import ConsentRecord

MOST_BYTES: Final = 16 * 1024
LONG: Final = 10**18


def check_size(personal: Mapping[str, Any], pointer: str = "/evidence") -> None:
    """
    Raises:
        DomainError: it is too large, or can't be written down. Whoever has screenshots keeps them, and names them here.
    """
    message = "Evidence has text, and numbers of up to 18 digits; write a longer one as text."
    try:
        size = len(msgspec.json.encode(personal))
    except (OverflowError, UnicodeEncodeError, ValueError):
        raise DomainError("evidence_malformed", message, pointer) from None
    if _has_long_number(personal):
        raise DomainError("evidence_malformed", message, pointer)
    if size > MOST_BYTES:
        raise DomainError("evidence_too_large", f"Evidence has at most {MOST_BYTES // 1024} KB as JSON.", pointer)


def _has_long_number(value: Any) -> bool:
    """Whether there is one that not every reader of JSON can read."""
    if isinstance(value, Mapping):
        return any(map(_has_long_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_long_number, value))
    return isinstance(value, int) and abs(value) >= LONG


def sealed(items: Sequence[tuple[int, UUID, Mapping[str, Any]]]) -> list[bytes | None]:
    """For each (profile id, uuid of the record, what is personal) the sealed bytes; None where there is nothing.

    Raises:
        cdp.vault.ring.VaultUnusable: there is something to seal and no key.
    """
    found = iter(seal([Item(who, uuid, msgspec.json.encode(personal)) for who, uuid, personal in items if personal]))
    return [next(found) if personal else None for _, _, personal in items]


def opened(records: Iterable[ConsentRecord]) -> dict[int, dict[str, Any] | None]:
    """Record -> what was sealed with it, None once the key is destroyed. Records with nothing sealed are left out.

    Raises:
        cdp.vault.sealing.Unopenable: a record doesn't hold what was sealed for it.
        cdp.vault.ring.VaultUnusable: the master key isn't there.
    """
    holding = [record for record in records if record.sealed_evidence is not None]
    texts = open_all([Sealed(one.profile_id, one.uuid, bytes(one.sealed_evidence or b"")) for one in holding])
    return {
        record.pk: None if text is None else msgspec.json.decode(text, type=dict[str, Any])
        for record, text in zip(holding, texts, strict=True)
    }
