"""Which variant of a slot one person is given, and why each one before it isn't theirs.

The order of variants decides: the first that runs now and is for this person; else what the slot says by default.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import DatabaseError, transaction

from cdp.content.documents import Variant, variants_of
from cdp.content.models import Slot
from cdp.database import limit_statements
from cdp.logs import get_logger
from segments.catalogue import catalog_for
from segments.engines import postgres
from segments.lookup import Standing
from segments.models import Segment
from segments.moments import moment_of_judgement
from segments.rules import RuleErrors, depends_on, load, parse

log = get_logger(__name__)

# Somebody waits for a page meanwhile.
RULE_SECONDS = 0.5


class Reason(StrEnum):
    """Why a variant is somebody's, or isn't."""

    EVERYBODY = "everybody"
    MATCHES = "matches"
    NO_MATCH = "no_match"
    NOT_NOW = "not_now"
    UNJUDGED = "unjudged"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """A variant and what came of it."""

    variant: Variant
    reason: Reason

    @property
    def is_theirs(self) -> bool:
        return self.reason in (Reason.EVERYBODY, Reason.MATCHES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What a slot says to somebody; `variant` is None where it is the default."""

    slot: Slot
    variant: Variant | None
    content: Any
    tried: list[Tried]


def segments_asked(slots: Iterable[Slot]) -> frozenset[str]:
    """Keys of the segments that variants of these slots are for."""
    return frozenset(one.asks for slot in slots for one in variants_of(slot.document) if one.kind == "segment")


def decide(slot: Slot, standing: Standing | None, *, at: datetime, all_of_them: bool = False) -> Decision:
    """What the slot says to the person.

    Args:
        standing: read with `segments_asked` of the slot; None of somebody of whom nothing may be known.
        all_of_them: try the variants after theirs, too; for previews.
    """
    tried: list[Tried] = []
    for variant in variants_of(slot.document):
        tried.append(Tried(variant=variant, reason=_reason(slot, variant, standing, at)))
        if tried[-1].is_theirs and not all_of_them:
            break
    theirs = next((one.variant for one in tried if one.is_theirs), None)
    content = theirs.content if theirs else slot.document["default"]
    return Decision(slot=slot, variant=theirs, content=content, tried=tried)


def _reason(slot: Slot, variant: Variant, standing: Standing | None, at: datetime) -> Reason:
    if not variant.holds_at(at):
        return Reason.NOT_NOW
    match variant.kind:
        case "":
            return Reason.EVERYBODY
        case _ if standing is None:
            return Reason.NO_MATCH
        case "segment":
            holds = variant.asks in standing.within
        case "persona":
            holds = variant.asks in standing.personas
        case _:
            return _judged(slot, variant, standing.profile_id)
    return Reason.MATCHES if holds else Reason.NO_MATCH


def _judged(slot: Slot, variant: Variant, profile_id: int) -> Reason:
    """By the engine that judges segments. Where it can't, the variant is nobody's: a page must not wait, nor guess."""
    try:
        with transaction.atomic():
            limit_statements(seconds=RULE_SECONDS)
            parsed = parse(variant.asks)
            known = catalog_for([depends_on(parsed)])
            rule = load(variant.asks, known)
            holds = profile_id in postgres.among(rule, known, as_of=moment_of_judgement(), scope=[profile_id])
    except (RuleErrors, DatabaseError) as error:
        log.warning("slot_rule_not_judged", slot=slot.key, variant=variant.name, reason=type(error).__name__)
        return Reason.UNJUDGED
    return Reason.MATCHES if holds else Reason.NO_MATCH


def gone_segments(slots: Iterable[Slot]) -> frozenset[str]:
    """Keys of segments that variants are for and whose members can't be read any more, so that they are nobody's."""
    asked = segments_asked(slots)
    return asked - frozenset(
        Segment.objects.filter(key__in=asked, status__in=("live", "paused")).values_list("key", flat=True)
    )
