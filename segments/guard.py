"""Refusing rules that would take the database's time from everybody else, by the planner's estimate, before they run.

Statements have time limits besides: an estimate may be wrong. How large a rule may be is in `segments.rules.limits`.
"""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings

from segments.engines.estimating import cost, count_of
from segments.engines.postgres import Text
from segments.rules import Catalog, Leaf, Rule, RuleError, RuleErrors, describe
from segments.rules.errors import Path, pointer
from segments.rules.explain import nodes

ADVICE = "Look back less far, filter by fewer properties, or build it on segments that are live already."


def refuse_too_dear(
    statement: Text, rules: Sequence[Rule], catalog: Catalog, *, as_of: datetime, expected: float | None = None
) -> None:
    """Refuses the statement, which counts or finds people by these rules, if it is expected to cost too much.

    Args:
        expected: its `cost`, if it is known already.

    Raises:
        RuleErrors: `rule_too_expensive`, at the condition that by itself costs most.
    """
    limit = settings.RULE_COST_LIMIT
    expected = cost(statement) if expected is None else expected
    if expected <= limit:
        return
    conditions = {one: path for rule in rules for path, one in nodes(rule) if isinstance(one, Leaf)}
    costs = {one: cost(count_of(one, catalog, as_of=as_of)) for one in conditions}  # equal ones are asked about once
    times = f"{expected / limit:.1f}" if expected < 10 * limit else f"{expected / limit:,.0f}"
    said = f"this rule is estimated at {times} times what one may cost."
    path: Path = ()
    if costs:
        dearest = max(costs, key=lambda one: costs[one])
        path = conditions[dearest]
        share = min(1.0, costs[dearest] / expected)
        said += f" Its dearest condition is “{describe(dearest, catalog).removesuffix('.')}” ({share:.0%} of it)."
    raise RuleErrors([RuleError(code="rule_too_expensive", message=f"{said} {ADVICE}", pointer=pointer(path))])
