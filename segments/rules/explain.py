"""Why a rule is true of a person, or isn't: each group and condition with its verdict, as a tree.

Verdicts are the reference engine's; what was found where a condition looks is in `segments.rules.findings`. Where the facts
come from, who may see them, and how they are shown don't belong here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import segments.rules.findings_ranks
import segments.rules.findings_standing  # noqa: F401  (both say what is found of their leaves)
from segments.rules.algebra import depends_on
from segments.rules.describe import describe
from segments.rules.errors import Path, RuleError, pointer
from segments.rules.evaluate import Occurrence, evaluate
from segments.rules.findings import Case, Finding, has_history, look, turn
from segments.rules.foresight import foresee
from segments.rules.nodes import All, Any, Compared, Everyone, InSegment, Leaf, Not, Ranked, Rule


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """A condition or a group of a rule, with its verdict.

    `wanted` is the verdict that serves the rule: false for what stands under a negation, or under three. `told` is the
    verdict as the reader may have it: None where it would give away a segment that is hidden from them. `finding` is of
    conditions, `conditions` are of groups.
    """

    pointer: str
    form: str
    holds: bool
    told: bool | None
    wanted: bool
    sentence: str
    finding: Finding | None = None
    conditions: tuple["Explained", ...] = ()


def explain(rule: Rule, case: Case) -> Explained:
    """The rule as a tree of verdicts on that person at that moment."""
    return _explained(rule, _Eyes(case), (), wanted=True)


def nodes(rule: Rule, path: Path = ()) -> Iterator[tuple[Path, Rule]]:
    """Every group and condition with its path in the document, each before what stands in it."""
    yield path, rule
    for step, inner in _inner(rule, path):
        yield from nodes(inner, step)


def form_of(rule: Rule) -> str:
    """The key under which a group or a condition stands in the document: `all`, `trait`, `performed`."""
    match rule:
        case All():
            return "all"
        case Any():
            return "any"
        case Not():
            return "not"
        case Everyone():
            return "everyone"
        case Compared() | Ranked():
            return "performed"  # its first figure stands where a condition on one figure does
        case leaf:
            return str(leaf.canonical()[0])


def without_history(rule: Rule) -> list[RuleError]:
    """An error for each condition that can't be asked about the past, at its place."""
    return [
        RuleError(
            code="no_history",
            message="only conditions on events can be asked about a past moment; of this one no past is kept",
            pointer=pointer((*path, form_of(one))),
        )
        for path, one in nodes(rule)
        if isinstance(one, Leaf) and not has_history(one)
    ]


# ---- The tree ------------------------------------------------------------------------------------------------


class _Eyes:
    """Looks at one person; events are sorted by name once, so that a long life isn't read anew for each condition."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._events: dict[str, list[Occurrence]] = {}
        for event in case.person.events:
            self._events.setdefault(event.name, []).append(event)

    def at(self, leaf: Leaf) -> Case:
        """The case with no other events than those of which the condition speaks."""
        names = sorted(depends_on(leaf).events)  # type: ignore[arg-type]  # every leaf is a rule
        events = [event for name in names for event in self._events.get(name, ())]
        return replace(self.case, person=replace(self.case.person, events=events))


def _explained(rule: Rule, eyes: _Eyes, path: Path, *, wanted: bool) -> Explained:
    finding, below = None, tuple[Explained, ...]()
    told: bool | None
    match rule:
        case All() | Any() | Not():
            inner_wanted = wanted is not isinstance(rule, Not)
            below = tuple(_explained(one, eyes, at, wanted=inner_wanted) for at, one in _inner(rule, path))
            holds = bool(_verdict(rule, [one.holds for one in below]))
            told = _verdict(rule, [one.told for one in below])
        case Everyone():
            holds = told = True
        case leaf:
            case = eyes.at(leaf)
            holds = told = evaluate(leaf, case.person, case.as_of)
            finding = look(leaf, case)
            if isinstance(leaf, InSegment) and finding.is_hidden:
                told = None
            else:
                finding = replace(finding, hint=turn(leaf, case, wanted=wanted) if holds is not wanted else None)
            # Of a hidden date, the day on which it grows too old would tell.
            if not finding.is_hidden:
                seen = foresee(leaf, case.person, case.as_of)
                finding = replace(finding, turns_at=seen.turns_at, looked_until=seen.looked_until)
    return Explained(
        pointer=pointer(path),
        form=form_of(rule),
        holds=holds,
        told=told,
        wanted=wanted,
        sentence=describe(rule, eyes.case.catalog),
        finding=finding,
        conditions=below,
    )


def _verdict(group: All | Any | Not, below: Sequence[bool | None]) -> bool | None:
    """The verdict of a group; None when it hangs on one that isn't told."""
    if isinstance(group, Not):
        (only,) = below
        return None if only is None else not only
    decisive = isinstance(group, Any)  # one that holds decides an "any", one that doesn't an "all"
    if decisive in below:
        return decisive
    return None if None in below else not decisive


def _inner(rule: Rule, path: Path) -> Iterator[tuple[Path, Rule]]:
    match rule:
        case All(rules) | Any(rules):
            for position, one in enumerate(rules):
                yield (*path, form_of(rule), position), one
        case Not(inner):
            yield (*path, "not"), inner
