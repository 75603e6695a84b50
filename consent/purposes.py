"""How purposes lie beneath each other, and how many people permit each now. Deciding and reading people is elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import Count, Q
from django.db.models.functions import Now

from cdp.database import bound_cursor
from cdp.profiles.models import Profile
from consent.models import ConsentState, Decision, Mode, Purpose, Reach


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """A purpose in its place: ``depth`` 0 lies beneath nothing."""

    purpose: Purpose
    depth: int


def tree(purposes: Iterable[Purpose]) -> list[Branch]:
    """All of them, each after what it lies beneath, in the order given among those beside it.

    One whose parent isn't among them, or that lies in a circle, stands at the top: none is left out.
    """
    given = list(purposes)
    beneath: dict[int | None, list[Purpose]] = {}
    known = {one.pk for one in given}
    for one in given:
        beneath.setdefault(one.parent_id if one.parent_id in known else None, []).append(one)
    found: list[Branch] = []
    seen: set[int] = set()

    def grow(purpose: Purpose, depth: int) -> None:
        if purpose.pk in seen:
            return
        seen.add(purpose.pk)
        found.append(Branch(purpose=purpose, depth=depth))
        for child in beneath.get(purpose.pk, ()):
            grow(child, depth + 1)

    for one in beneath.get(None, ()):
        grow(one, 0)
    for one in given:  # what a circle keeps from the top
        grow(one, 0)
    return found


def lies_beneath(purpose_id: int, parents: Mapping[int, int | None]) -> set[int]:
    """The keys of all purposes beneath this one, however deep, and its own: none of them can become its parent."""
    found, waiting = {purpose_id}, [purpose_id]
    while waiting:
        one = waiting.pop()
        children = [child for child, parent in parents.items() if parent == one and child not in found]
        found.update(children)
        waiting += children
    return found


def permitting(purposes: Sequence[Purpose]) -> dict[int, int | None]:
    """How many people permit each now, by its key; None of what is decided on each device, and never of a person."""
    states = ConsentState.objects.filter(purpose__in=purposes).order_by().values("purpose_id")
    goes_on = Q(expires_at__isnull=True) | Q(expires_at__gt=Now())
    yes = Count("decision", filter=goes_on & Q(decision=Decision.GRANTED))
    no = Count("decision", filter=~Q(decision=Decision.GRANTED))
    counted = {
        row["purpose_id"]: {"yes": int(row["yes"]), "no": int(row["no"])} for row in states.annotate(yes=yes, no=no)
    }
    everybody = Profile.objects.count() if any(one.mode != Mode.OPT_IN for one in purposes) else 0
    halted = _halted()
    return {
        one.pk: _permitting(one, counted.get(one.pk, {"yes": 0, "no": 0}), everybody, halted.get(one.pk, 0))
        for one in purposes
    }


def _permitting(purpose: Purpose, counted: Mapping[str, int], everybody: int, halted: int) -> int | None:
    if purpose.reach == Reach.DEVICE:
        return None
    match purpose.mode:
        case Mode.NOTICE_ONLY:
            return everybody - halted
        case Mode.OPT_OUT:
            return everybody - counted["no"] - halted
        case _:
            return counted["yes"] - halted


# Whoever is stopped by two kinds is one.
HALTED: Final = """
    SELECT x.purpose_id, count(*)
      FROM (SELECT DISTINCT purpose_id, profile_id FROM consent_stopped) AS x
      JOIN consent_purpose p ON p.id = x.purpose_id
      JOIN profiles_profile f ON f.id = x.profile_id
      LEFT JOIN consent_consentstate s ON s.purpose_id = x.purpose_id AND s.profile_id = x.profile_id
     WHERE CASE p.mode WHEN 'notice_only' THEN true
                       WHEN 'opt_out' THEN s.decision IS NULL OR s.decision = 'granted'
                       ELSE s.decision = 'granted' AND (s.expires_at IS NULL OR s.expires_at > statement_timestamp()) END
     GROUP BY x.purpose_id
"""


def _halted() -> dict[int, int]:
    """Purpose -> how many would permit it by what they decided, and are stopped."""
    with bound_cursor() as cursor:
        cursor.execute(HALTED)
        return dict(cursor.fetchall())
