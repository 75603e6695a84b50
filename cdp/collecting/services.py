"""Recording what other systems say that people decided: all of it or none, and nothing twice.

What may be said, and in which words, is for the doors: `cdp.collecting.api` and `cdp.collecting.files`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.collecting.people import locked
from cdp.errors import DomainError, DomainErrors
from cdp.identity import ledger
from cdp.profiles.models import Profile
from consent.models import ConsentRecord, Decision, Method, Purpose, Reach
from consent.reliance import tell_of_decisions
from consent.services import NOES, Said, Shown, append_consents

NOTHING_SHOWN = Shown()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One decision of one person, named by an identifier (namespace:value)."""

    user: str
    purpose: Purpose
    decision: Decision
    collected_at: datetime
    method: Method
    shown: Shown = NOTHING_SHOWN
    jurisdiction: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    personal: Mapping[str, Any] = field(default_factory=dict)
    by_guardian: bool = False
    # Where it stands in the input.
    pointer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of a choice: whose it is, and the record it made, or had made before."""

    uuid: UUID
    record: ConsentRecord
    is_repeat: bool


class UnknownPeople(DomainErrors):
    """Nobody is known by some of the identifiers, and nobody was to be made."""

    status = 404


@transaction.atomic
def collect(*, choices: Sequence[Choice], by: Actor, create: bool = False) -> list[Recorded]:
    """What became of each choice. It holds from the next read on, and segments follow at once.

    The same decision at the same moment by the same method is no second record, so sending something again is harmless.

    Args:
        create: make profiles for people who aren't known.

    Raises:
        UnknownPeople: with the place of each; nothing was recorded.
        cdp.vault.ring.VaultUnusable: there is something personal, and no key to seal it by.
    """
    done = collect_known(choices=choices, by=by, create=create)
    unknown = [choice for choice, one in zip(choices, done, strict=True) if one is None]
    if unknown:
        raise UnknownPeople([_unknown(choice, create=create) for choice in unknown])
    return [one for one in done if one is not None]


@transaction.atomic
def collect_known(*, choices: Sequence[Choice], by: Actor, create: bool) -> list[Recorded | None]:
    """The same, with None for people who aren't known: the others' decisions are recorded."""
    people = locked([choice.user for choice in choices], create=create, now=timezone.now(), by=by)
    named = [(people.by_name[choice.user], choice) for choice in choices]
    said = [(profile_id, choice) for profile_id, choice in named if profile_id is not None]
    before = recorded_of(said)
    new = list({_key(*one): one for one in said if _key(*one) not in before}.values())
    tell_of_decisions(append_consents(said=[_said(*one) for one in new], by=by))
    after = recorded_of(said) if new else before
    uuids = dict(Profile.objects.filter(pk__in={one for one, _ in said}).values_list("pk", "uuid"))
    return [
        None
        if profile_id is None
        else Recorded(
            uuid=uuids[profile_id],
            record=after[_key(profile_id, choice)],
            is_repeat=_key(profile_id, choice) in before,
        )
        for profile_id, choice in named
    ]


Key = tuple[int, int, bool, str, datetime]


def _key(profile_id: int, choice: Choice) -> Key:
    return profile_id, choice.purpose.pk, choice.decision in NOES, choice.method, choice.collected_at


def recorded_of(said: Sequence[tuple[int, Choice]]) -> dict[Key, ConsentRecord]:
    """The record of each (profile id, choice) that is on record: under the person, or who was merged into them."""
    inside = ledger.insides({profile_id for profile_id, _ in said})
    found = ConsentRecord.objects.filter(
        profile_id__in=inside,
        reach__in=Reach.values,
        purpose__in={choice.purpose.pk for _, choice in said},
        collected_at__in={choice.collected_at for _, choice in said},
        method__in={choice.method for _, choice in said},
    )
    records: dict[Key, ConsentRecord] = {}
    for record in found.order_by("-pk"):
        # A yes may have been recorded as pending, or refused for the person's age: it was said all the same.
        was_no = record.decision in NOES and "refused" not in record.evidence
        records[inside[record.profile_id], record.purpose_id, was_no, record.method, record.collected_at] = record
    return records


def _said(profile_id: int, choice: Choice) -> Said:
    return Said(
        profile_id,
        choice.purpose.pk,
        choice.decision,
        choice.collected_at,
        choice.method,
        evidence=choice.evidence,
        personal=choice.personal,
        notice_version_id=choice.shown.version_id,
        served_id=choice.shown.served_id,
        jurisdiction=choice.jurisdiction,
        by_guardian=choice.by_guardian,
    )


def _unknown(choice: Choice, *, create: bool) -> DomainError:
    advice = (
        "Nobody can be known by this identifier." if create else "Nobody is known by it. Ask to create who is unknown."
    )
    return DomainError("profile_not_found", advice, f"{choice.pointer}/user")
