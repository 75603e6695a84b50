"""What was found of how a person stands (scores, buckets, consent, lists), and what would turn such a condition.

It plugs into `segments.rules.findings`, which says what a finding is. None of this has a past that is kept, so
`has_history` is left as it is: no.
"""

from decimal import Decimal

from segments.rules.describe import listed, permission, score, static_list
from segments.rules.evaluate import evaluate
from segments.rules.findings import Case, Finding, Hint, HintKind, look, turn
from segments.rules.hashing import hundredths
from segments.rules.kinds import NUMBER
from segments.rules.nodes import Bucket, Consented, InList, Score


@look.register
def _(leaf: Score, case: Case) -> Finding:
    label = score(leaf.score, case.catalog)
    wanted = leaf.comparison.operator.describe(leaf.comparison.said())
    found = case.person.scores.get(leaf.score)
    if found is None:
        return Finding(said=f"{label} is not known", wanted=wanted)
    parts = [NUMBER.say(found.number)] if found.number is not None else []
    parts += [f'"{found.text}"'] if found.text is not None else []
    actual = leaf.comparison.kind.of_trait(found)
    if actual is True:  # that there is one says less than what it is
        actual = found.text if found.number is None else found.number
    return Finding(said=f"{label} is {', '.join(parts)}", actual=actual, wanted=wanted)


@look.register
def _(leaf: Bucket, case: Case) -> Finding:
    drawn = Decimal(hundredths(leaf.bucket, case.person.uuid)) / 100
    wanted = leaf.comparison.operator.describe(leaf.comparison.said())
    return Finding(said=f'{drawn:.2f} in the draw "{leaf.bucket}"', actual=drawn, wanted=wanted)


@look.register
def _(leaf: Consented, case: Case) -> Finding:
    named = permission(leaf.purpose, case.catalog)
    permits = evaluate(leaf, case.person, case.as_of)
    until = case.person.permits.get(leaf.purpose)
    if until is not None:
        said = f"permits {named} until {until:%Y-%m-%d}" if permits else f"permitted {named} until {until:%Y-%m-%d}"
    else:
        said = f"{'permits' if permits else 'does not permit'} {named}"
    return Finding(said=said, actual=permits, wanted="permits it")


@look.register
def _(leaf: InList, case: Case) -> Finding:
    is_in = leaf.list_key in case.person.lists
    said = listed(leaf.list_key, case.catalog, is_on=is_in, plural=False)
    wanted = listed(leaf.list_key, case.catalog, is_on=True, plural=False) if _is_by_hand(leaf, case) else "is on it"
    return Finding(said=said, actual=is_in, wanted=wanted)


@turn.register
def _(leaf: Score, case: Case, *, wanted: bool) -> Hint | None:
    comparison, prefix = leaf.comparison, ""
    if not wanted and comparison.operator.opposite is not None:
        comparison = comparison.opposite
    elif not wanted:
        prefix = "not: "
    predicate = comparison.operator.describe(comparison.said())
    return Hint(kind=HintKind.SCORE, sentence=f"{prefix}{score(leaf.score, case.catalog)} {predicate}")


@turn.register
def _(leaf: Consented, case: Case, *, wanted: bool) -> Hint | None:
    named = permission(leaf.purpose, case.catalog)
    if wanted:
        return Hint(kind=HintKind.PERMIT, sentence=f"permit {named}")
    return Hint(kind=HintKind.OBJECT, sentence=f"no longer permit {named}")


@turn.register
def _(leaf: InList, case: Case, *, wanted: bool) -> Hint | None:
    kind = HintKind.ENTER_LIST if wanted else HintKind.LEAVE_LIST
    if _is_by_hand(leaf, case):
        moved = listed(leaf.list_key, case.catalog, is_on=True, plural=False).removeprefix("was ")
        return Hint(kind=kind, sentence=f"{'' if wanted else 'no longer '}be {moved}")
    verb = "be put on" if wanted else "be taken off"
    return Hint(kind=kind, sentence=f"{verb} the list {static_list(leaf.list_key, case.catalog)}")


def _is_by_hand(leaf: InList, case: Case) -> bool:
    info = case.catalog.lists.get(leaf.list_key)
    return info is not None and info.by_hand is not None
