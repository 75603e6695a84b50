"""What somebody chose in their preference centre, against what they had chosen before: only what differs is recorded.

How the page looks is in `cdp.pages.preferences`; what a decision does is in `consent.services`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from django.db import transaction

from cdp.audit.actors import Actor
from cdp.profiles.models import Profile
from consent.choices import Choice
from consent.models import Decision, Method, Purpose
from consent.services import Shown, record_decisions

BY: Final = Actor.system("preference centre")


class Outcome(StrEnum):
    """What became of one choice, to be told in words."""

    GRANTED = "granted"
    RENEWED = "renewed"
    LINK_SENT = "link_sent"
    NO_ADDRESS = "no_address"  # it waits to be confirmed, and nobody knows where to send the link
    WITHDRAWN = "withdrawn"
    DENIED = "denied"
    BENEATH = "beneath"  # a yes that a no above it doesn't let stand


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    purpose: Purpose
    outcome: Outcome


def noes(choices: Sequence[Choice]) -> dict[int, bool]:
    """What “no to everything” says."""
    return {choice.purpose.pk: False for choice in choices if choice.purpose.is_theirs}


@transaction.atomic
def decide(
    *,
    person: Profile,
    choices: Sequence[Choice],
    wanted: Mapping[int, bool],
    renewed: Collection[int] = (),
    at: datetime,
    shown: Shown,
    told: Collection[int],
    language: str,
    through: str = "",
) -> list[Change]:
    """What changed, in the order of the page.

    Args:
        wanted: purpose -> yes or no, of those that they answered otherwise than the page showed it.
        renewed: purposes whose yes is to begin anew. A no to the same purpose counts more.
        shown: what they were shown; it told of the purposes ``told``, and of the others nothing.
        through: what the link says of itself. Of one that staff had in their hands the records say so.

    Raises:
        NotFound: they were merged into somebody meanwhile; look again who they are.
    """
    changes: list[Change] = []
    decisions: dict[Purpose, Decision] = {}
    noes_standing, noes_new = set[int](), set[int]()
    can_be_reached = person.identifiers.filter(namespace="email").exists()
    for choice in choices:  # parents first
        purpose, want = choice.purpose, wanted.get(choice.purpose.pk)
        if not purpose.is_theirs:
            continue
        outcome: Outcome | None = None
        is_beneath_new_no = purpose.parent_id in noes_new
        if want is False or is_beneath_new_no:
            noes_standing.add(purpose.pk)
            if choice.answer is not False:
                noes_new.add(purpose.pk)
                if not is_beneath_new_no:  # else the no above is carried down to it
                    decisions[purpose] = Decision.DENIED
            if want is not False and (want or choice.answer is not False):
                outcome = Outcome.BENEATH
            elif choice.answer is not False:
                outcome = Outcome.WITHDRAWN if choice.answer else Outcome.DENIED
        elif want or (purpose.pk in renewed and choice.answer):
            if purpose.parent_id in noes_standing:
                outcome = Outcome.BENEATH
                noes_standing.add(purpose.pk)
            elif choice.answer is not True or purpose.pk in renewed:
                decisions[purpose] = Decision.GRANTED
                outcome = _of_yes(choice, can_be_reached)
        elif choice.answer is False:
            noes_standing.add(purpose.pk)
        if outcome is not None:
            changes.append(Change(purpose=purpose, outcome=outcome))
    evidence = {"language": language, **({"link": through} if through else {})}
    for some, seen in _by_telling(decisions, told, shown):
        record_decisions(
            profile=person,
            decisions=some,
            method=Method.PREFERENCE_CENTRE,
            at=at,
            by=BY,
            shown=seen,
            evidence=evidence,
        )
    return changes


def _of_yes(choice: Choice, can_be_reached: bool) -> Outcome:
    if choice.purpose.needs_double_opt_in:
        return Outcome.LINK_SENT if can_be_reached else Outcome.NO_ADDRESS
    return Outcome.RENEWED if choice.answer is True else Outcome.GRANTED


def _by_telling(
    decisions: Mapping[Purpose, Decision], told: Collection[int], shown: Shown
) -> list[tuple[dict[Purpose, Decision], Shown]]:
    """The decisions on what the notice told of, and those on what the purpose's own words did."""
    of_notice = {purpose: decision for purpose, decision in decisions.items() if purpose.pk in told}
    others = {purpose: decision for purpose, decision in decisions.items() if purpose.pk not in told}
    return [(some, seen) for some, seen in ((of_notice, shown), (others, Shown())) if some]
