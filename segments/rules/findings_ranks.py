"""What was found of a person beside the threshold of a percentile, and what would change it.

Beside a threshold a figure is judged as beside a number that somebody wrote; what differs is who isn't ranked. It plugs
into `segments.rules.findings`, which says what a finding is.
"""

from dataclasses import replace
from decimal import Decimal

from segments.rules.comparisons import Comparison
from segments.rules.describe import ordinal
from segments.rules.evaluate import ranked
from segments.rules.findings import Case, Finding, Hint, look, turn
from segments.rules.kinds import NUMBER
from segments.rules.nodes import (
    Performed,
    Ranked,
)


@look.register
def _(leaf: Ranked, case: Case) -> Finding:
    """The figure beside the threshold's value; both are hidden where the figure is."""
    threshold = threshold_of(leaf, case)
    percentile = f"the {ordinal(leaf.percentile)} percentile"
    found = look(_beside(leaf, threshold or Decimal(0)), case)
    if found.is_hidden:
        return replace(found, said="hidden from you", wanted=f"{leaf.operator.amount} {percentile}")
    if threshold is None:
        return replace(found, said="nobody is ranked yet", actual=None, wanted=f"{leaf.operator.amount} {percentile}")
    wanted = f"{found.wanted}, {percentile}"
    if ranked(leaf, case.person, case.as_of) is None:
        return replace(found, said=f"not ranked; wanted is {wanted}", actual=None, wanted=wanted)
    return replace(found, said=f"{found.said}, {percentile}", wanted=wanted)


@turn.register
def _(leaf: Ranked, case: Case, *, wanted: bool) -> Hint | None:
    """What would turn it if nobody else did anything; None where nobody is ranked."""
    threshold = threshold_of(leaf, case)
    if threshold is None or leaf.figure.of in case.hidden:
        return None
    if wanted and ranked(leaf, case.person, case.as_of) is None and leaf.op in ("lt", "lte"):
        # Beside a number nothing is little; here it takes an event to be ranked at all.
        return turn(_did(leaf), case, wanted=True)
    return turn(_beside(leaf, threshold), case, wanted=wanted)


def threshold_of(leaf: Ranked, case: Case) -> Decimal | None:
    return case.person.thresholds[leaf.ranking]


def _beside(leaf: Ranked, threshold: Decimal) -> Performed:
    return replace(leaf.figure, amount=Comparison(op=leaf.op, kind=NUMBER, operand=threshold))


def _did(leaf: Ranked) -> Performed:
    once = Comparison(op="gte", kind=NUMBER, operand=Decimal(1))
    return Performed(event=leaf.figure.event, amount=once, where=leaf.figure.where, within=leaf.figure.within)
