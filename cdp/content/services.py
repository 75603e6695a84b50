"""Making, changing and deleting slots. Each change is a version, and on record in the same transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.content.documents import Check, read_document
from cdp.content.models import Slot, SlotVersion
from cdp.errors import Conflict, DomainError, DomainErrors
from segments.models import READABLE, Persona
from segments.rules import RuleErrors, depends_on
from segments.sharing import load_for, visible_segments

LONGEST_NAME: Final = 150
LONGEST_KEY: Final = 64
FIELDS: Final = ("name", "description", "is_live", "is_public", "starts_at", "ends_at", "document")


def check_for(user: User) -> Check:
    """What a variant may ask of people when this user writes it: nothing that they may not see."""

    def check(kind: str, asks: Any, at: str) -> None:
        if kind == "rule":
            try:
                rule = load_for(user, asks)
            except RuleErrors as errors:
                raise DomainErrors([DomainError(e.code, e.message, at + e.pointer) for e in errors.errors]) from None
            if depends_on(rule).rankings:
                said = "A slot's rule can't compare a person with everybody: make a segment of it, and name that."
                raise DomainError("rule_ranks", said, at)
            return
        if not isinstance(asks, str):
            raise DomainError("key_malformed", f"Name a {kind} by its key.", at)
        if kind == "segment" and not visible_segments(user).filter(key=asks, status__in=READABLE).exists():
            raise DomainError("segment_unknown", "There is no live or paused segment of this key.", at)
        if kind == "persona" and not Persona.objects.filter(key=asks, is_active=True).exists():
            raise DomainError("persona_unknown", "There is no active persona of this key.", at)

    return check


@transaction.atomic
def create_slot(
    *,
    key: str,
    name: str,
    document: Any,
    by: Actor,
    user: User,
    description: str = "",
    is_live: bool = False,
    is_public: bool = False,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Slot:
    """The new slot.

    Args:
        user: who makes it; variants ask only what they may see.

    Raises:
        DomainErrors: all that is wrong with it.
        Conflict: the key is taken.
    """
    try:
        validate_slug(key)
    except ValidationError:
        raise DomainError("key_malformed", "A key has letters, digits, hyphens and underscores.", "/key") from None
    if len(key) > LONGEST_KEY:
        raise DomainError("key_malformed", f"A key has {LONGEST_KEY} characters at most.", "/key")
    given = {"name": name, "description": description, "is_live": is_live, "is_public": is_public}
    given |= {"starts_at": starts_at, "ends_at": ends_at, "document": document}
    read = _read(given, user)
    if Slot.objects.filter(key=key).exists():
        raise Conflict("key_taken", "Another slot has this key.", "/key")
    slot = Slot.objects.create(key=key, **read)
    _keep_version(slot, by)
    record(by=by, action="slot.created", object=slot, detail={"key": key, "version": 1, **_told(read)})
    return slot


@transaction.atomic
def change_slot(*, slot: Slot, changes: Mapping[str, Any], by: Actor, user: User, base: int | None = None) -> Slot:
    """The slot as it is now, in a new version; as it was, where nothing differs.

    Args:
        changes: some of `FIELDS`; what isn't named stays.
        base: the version that was changed; None, whichever is the newest.

    Raises:
        DomainErrors: all that is wrong with it.
        Conflict: somebody saved another version since the base.
    """
    slot = Slot.objects.select_for_update().get(pk=slot.pk)
    if base is not None and base != slot.version:
        said = f"Somebody saved version {slot.version} meanwhile; look at it before yours replaces it."
        raise Conflict("saved_meanwhile", said, "/version")
    held = {field: getattr(slot, field) for field in FIELDS}
    read = _read({**held, **{field: changes[field] for field in FIELDS if field in changes}}, user)
    differing = {field: read[field] for field in FIELDS if read[field] != held[field]}
    if not differing:
        return slot
    for field, value in differing.items():
        setattr(slot, field, value)
    slot.version += 1
    slot.changed_at = timezone.now()
    slot.save(update_fields=[*differing, "version", "changed_at"])
    _keep_version(slot, by)
    record(
        by=by, action="slot.changed", object=slot, detail={"key": slot.key, "version": slot.version, **_told(differing)}
    )
    return slot


@transaction.atomic
def delete_slot(*, slot: Slot, by: Actor) -> None:
    """Pages that ask for it are answered as if it had never been."""
    record(by=by, action="slot.deleted", object=slot, detail={"key": slot.key, "version": slot.version})
    slot.delete()


def _read(given: Mapping[str, Any], user: User) -> dict[str, Any]:
    wrong: list[DomainError] = []
    name = str(given["name"]).strip()
    if not name or len(name) > LONGEST_NAME:
        wrong.append(DomainError("name_malformed", f"A name has 1 to {LONGEST_NAME} characters.", "/name"))
    if given["starts_at"] and given["ends_at"] and given["starts_at"] >= given["ends_at"]:
        wrong.append(DomainError("ends_before_it_begins", "The slot ends before it begins.", "/ends_at"))
    try:
        document = read_document(given["document"], check=check_for(user))
    except DomainErrors as errors:
        wrong.extend(errors.errors)
    if wrong:
        raise DomainErrors(wrong)
    return {**given, "name": name, "document": document}


def _body(slot: Slot) -> dict[str, Any]:
    times = {side: moment.isoformat() if (moment := getattr(slot, side)) else None for side in ("starts_at", "ends_at")}
    plain = {field: getattr(slot, field) for field in FIELDS if field not in times}
    return {**plain, **times}


def _keep_version(slot: Slot, by: Actor) -> None:
    SlotVersion.objects.create(slot=slot, number=slot.version, body=_body(slot), created_by=by.label[:150])


def _told(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the log says of a change: which variants there are and for whom; their content is in the version."""
    told = {
        field: value.isoformat() if isinstance(value, datetime) else value
        for field, value in changes.items()
        if field not in ("document", "description")
    }
    if "document" in changes:
        told["variants"] = [
            {"name": one["name"], "for": next(iter(one["when"])) if one["when"] else "everybody"}
            for one in changes["document"]["variants"]
        ]
    return told
