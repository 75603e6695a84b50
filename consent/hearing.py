"""From what browsers and consent managers send along to decisions: for the device, and where a law has it so, for the person.

A device says the same with every request, so only what it says otherwise than before becomes a decision. What a signal means is
in `consent.signals`; how decisions are written, in `consent.services`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from cdp.database import bound_cursor
from consent.models import Decision, Method, Purpose, Reach, SignalHeard
from consent.services import Said
from consent.signals.meaning import Capability, Needs, Stance
from consent.signals.strings import Kind, Told

METHODS: Final = {Kind.GPC: Method.GPC, Kind.TCF: Method.SIGNAL, Kind.GPP: Method.SIGNAL}
DECISIONS: Final = {Stance.GRANTED: Decision.GRANTED, Stance.DENIED: Decision.DENIED}
SEC_GPC: Final = "Sec-GPC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One signal as it came with a message, and from which device."""

    profile_id: int
    device_id: int
    # By a key that is secret: then it speaks for the person. A browser's key is public.
    is_trusted: bool
    kind: Kind
    text: str
    told: Told
    at: datetime
    source_id: int | None
    message_id: str


@dataclass(slots=True)
class _Last:
    """What a device said last."""

    digest: bytes
    stances: dict[str, str]
    heard_at: datetime


def said_by_signals(heard: Sequence[Heard]) -> list[Said]:
    """The decisions in what was heard, for `append_consents`; what a device says again gives none. All the people are locked."""
    if not heard:
        return []
    purposes = {
        purpose: Needs(_capabilities(purpose.needs_granted), _capabilities(purpose.needs_undenied))
        for purpose in Purpose.objects.all()
        if purpose.needs_granted or purpose.needs_undenied
    }
    by_them = _fingerprint(purposes)
    last = _last({one.device_id for one in heard})
    changed: set[tuple[int, Kind]] = set()
    said: list[Said] = []
    for one in sorted(heard, key=lambda one: one.at):
        key = one.device_id, one.kind
        digest = hashlib.sha256(by_them + one.text.encode()).digest()
        before = last.get(key)
        if before is not None and (before.digest == digest or (one.at < before.heard_at and one.kind != Kind.GPC)):
            continue
        stances = {purpose.key: one.told.choices.fulfils(needs) for purpose, needs in purposes.items()}
        known = before.stances if before else {}
        for purpose, needs in purposes.items():
            stance = stances[purpose.key]
            if stance is not Stance.UNSAID and known.get(purpose.key) != stance:
                said += _said(one, purpose, stance, is_opt_out=one.told.opt_outs.fulfils(needs) is Stance.DENIED)
        spoken = {name: str(stance) for name, stance in stances.items() if stance is not Stance.UNSAID}
        last[key] = _Last(digest, {**known, **spoken}, one.at)
        changed.add(key)
    _remember({key: last[key] for key in changed})
    return said


def _said(one: Heard, purpose: Purpose, stance: Stance, *, is_opt_out: bool) -> list[Said]:
    """A word for the device, unless the key is secret; and one for the person, if it is, or if it is an opt-out.

    An opt-out by a public key holds for the person, too: it can only take away, and laws of opting out have it so.
    """
    at = one.at
    if stance is Stance.GRANTED and one.told.granted_at is not None:
        # Strings are kept for months: a yes is as old as it says it is, and a no is as new as we hear it.
        at = min(at, one.told.granted_at)
    reasons = {because for need in purpose.needs_granted + purpose.needs_undenied
               for because in one.told.choices.because.get(Capability(need), ())}  # fmt: skip
    evidence = {"signal": SEC_GPC if one.kind == Kind.GPC else one.kind.value, "device": one.device_id}
    if one.kind != Kind.GPC:
        evidence["because"] = sorted(reasons)
    reaches = [Reach.DEVICE] if not one.is_trusted or one.kind == Kind.GPC else []
    if one.is_trusted or is_opt_out:
        reaches.append(Reach.PERSON)
    return [
        Said(
            one.profile_id,
            purpose.pk,
            DECISIONS[stance],
            at,
            METHODS[one.kind],
            reach=reach,
            source_id=one.source_id,
            message_id=one.message_id,
            evidence=evidence,
            # A person who says the same already has said it; each device is on record once.
            is_stamp=reach == Reach.PERSON,
        )
        for reach in reaches
    ]


def _capabilities(names: Sequence[str]) -> frozenset[Capability]:
    return frozenset(Capability(name) for name in names)


def _fingerprint(purposes: Mapping[Purpose, Needs]) -> bytes:
    """Other bytes whenever purposes would make something else of a signal."""
    told = sorted((one.key, sorted(needs.granted), sorted(needs.not_denied)) for one, needs in purposes.items())
    return hashlib.sha256(msgspec.json.encode(told)).digest()


def _last(device_ids: set[int]) -> dict[tuple[int, Kind], _Last]:
    rows = SignalHeard.objects.filter(device_id__in=device_ids)
    return {(row.device_id, Kind(row.kind)): _Last(bytes(row.digest), row.stances, row.heard_at) for row in rows}


def _remember(heard: Mapping[tuple[int, Kind], _Last]) -> None:
    keys = sorted(heard)
    if not keys:
        return
    with bound_cursor() as cursor:
        cursor.execute(
            "INSERT INTO consent_signalheard (device_id, kind, digest, stances, heard_at)"
            " SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bytea[], %s::jsonb[], %s::timestamptz[])"
            " ON CONFLICT (device_id, kind) DO UPDATE"
            "    SET digest = excluded.digest, stances = excluded.stances, heard_at = excluded.heard_at",
            [
                [device_id for device_id, _ in keys],
                [kind.value for _, kind in keys],
                [heard[key].digest for key in keys],
                [msgspec.json.encode(heard[key].stances).decode() for key in keys],
                [heard[key].heard_at for key in keys],
            ],
        )
