"""What a file can say of each person beside who they are: since when they are in, their identifiers, traits and scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cdp.errors import DomainError, DomainErrors, Forbidden
from cdp.profiles.models import Trait, TraitType
from cdp.profiles.querysets import namespaces
from cdp.profiles.score_services import published_scores
from segments.sorting_members import is_personal

MOST_FIELDS: Final = 40
ENTERED_AT: Final = "entered_at"


class Kind(StrEnum):
    """What a field's values are."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    MOMENT = "moment"


TRAIT_KINDS: Final = {TraitType.NUMBER: Kind.NUMBER, TraitType.BOOLEAN: Kind.BOOLEAN}


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """``key`` is ``entered_at``, ``identifier:email``, ``trait:points`` or ``score:rfm.group``; in the file it is the column's name."""

    key: str
    label: str
    kind: Kind = Kind.TEXT
    is_personal: bool = False

    @property
    def of(self) -> str:
        return self.key.partition(":")[0]

    @property
    def name(self) -> str:
        return self.key.partition(":")[2]


def fields_there_are() -> list[Field]:
    """All of them: the moment they entered, then identifiers, traits and scores. Identifiers are personal whatever they are: by one
    of them somebody can be found elsewhere."""
    traits = [
        Field(
            key=f"trait:{one.key}",
            label=one.label,
            kind=TRAIT_KINDS.get(TraitType(one.type), Kind.TEXT),
            is_personal=is_personal(one),
        )
        for one in Trait.objects.order_by("label")
    ]
    scores = [
        Field(
            key=f"score:{kind}.{key}",
            label=f"{kind} {key}".replace("_", " "),
            kind=Kind.NUMBER if "numbers" in says else Kind.TEXT,
        )
        for kind, keys in sorted(published_scores().items())
        for key, says in sorted(keys.items())
    ]
    identifiers = [
        Field(key=f"identifier:{one}", label=one.replace("_", " "), is_personal=True) for one in sorted(namespaces())
    ]
    return [Field(key=ENTERED_AT, label="Entered", kind=Kind.MOMENT), *identifiers, *traits, *scores]


def chosen(keys: Sequence[str], *, may_reveal: bool, pointer: str = "/fields") -> list[Field]:
    """The fields of these keys, in the order in which they are named.

    Raises:
        DomainErrors: one for each that there isn't, or that is named twice.
        Forbidden: one is personal data, and whoever asks may not see any.
    """
    known = {one.key: one for one in fields_there_are()}
    errors: list[DomainError] = []
    for place, key in enumerate(keys):
        if key not in known:
            message = "There is no such field. A field is entered_at, identifier:<namespace>, trait:<key> or score:<kind>.<key>."
            errors.append(DomainError("field_unknown", message, f"{pointer}/{place}"))
        elif key in keys[:place]:
            errors.append(DomainError("field_twice", "This field is named twice.", f"{pointer}/{place}"))
    if len(keys) > MOST_FIELDS:
        errors.append(DomainError("fields_too_many", f"A file has {MOST_FIELDS} fields at most.", pointer))
    if errors:
        raise DomainErrors(errors)
    found = [known[key] for key in keys]
    for place, one in enumerate(found):
        if one.is_personal and not may_reveal:
            raise Forbidden(
                "field_personal",
                "This field is personal data, and you may not see any unmasked.",
                f"{pointer}/{place}",
            )
    return found
