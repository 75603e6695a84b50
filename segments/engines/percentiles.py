"""Percentiles on PostgreSQL: where one lies, and for whom it makes a difference when it moves.

When it is taken, and where it is stored, doesn't belong here.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from cdp.database import bound_cursor
from segments.engines.postgres import TABLES
from segments.rules import Catalog, Ranked, compile_figures

# Rounded down to four decimals in whole numbers: a division would round where it has no more digits to give.
FIGURES: Final = """
    SELECT profile_id, div(steps - mod(mod(steps, factor) + factor, factor), factor) * 0.0001 AS figure
      FROM (SELECT profile_id, measured::numeric * 10000 AS steps, factor::numeric AS factor
              FROM ({figures}) AS of_everybody WHERE measured IS NOT NULL) AS in_steps
"""
# Not percentile_disc: it takes its fraction as a float, by which the 7th percentile of a hundred is the eighth of them.
PERCENTILE: Final = """
    SELECT figure, ranked
      FROM (SELECT figure, row_number() OVER (ORDER BY figure) AS place, count(*) OVER () AS ranked
              FROM ({figures}) AS figures) AS placed
     WHERE place = ceil(ranked * %(percentile)s::numeric / 100)
"""
MARK: Final = """
    INSERT INTO profiles_dirtyprofile (profile_id, facts, created_at)
    SELECT profile_id, jsonb_build_object('why', 'rank', 'thresholds', jsonb_build_array(%(threshold)s::bigint)), now()
      FROM ({figures}) AS figures WHERE {turns}
"""
ORDERS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Found(NamedTuple):
    """Where a percentile lies, and of how many people; None of nobody."""

    value: Decimal | None
    people: int


def percentile(leaf: Ranked, catalog: Catalog, *, as_of: datetime) -> Found:
    """The smallest figure that at least so many percent of those who are ranked don't exceed.

    Raises:
        RuleErrors: the figure doesn't fit the catalogue (any more).
    """
    figures, params = _figures(leaf, catalog, as_of)
    with bound_cursor() as cursor:
        cursor.execute(PERCENTILE.format(figures=figures), {**params, "percentile": leaf.percentile})
        row = cursor.fetchone()
    return Found(Decimal(row[0]), int(row[1])) if row else Found(None, 0)


def mark_turned(
    leaf: Ranked,
    catalog: Catalog,
    *,
    as_of: datetime,
    threshold_id: int,
    before: Decimal | None,
    after: Decimal | None,
    orders: Collection[str],
) -> int:
    """How many were marked to be judged again: those whose figure stands otherwise beside the new value, in one of the orders."""
    if not orders:
        return 0
    figures, params = _figures(leaf, catalog, as_of)
    turns = " OR ".join(
        f"coalesce(figure {ORDERS[one]} %(before)s::numeric, false) <> coalesce(figure {ORDERS[one]} %(after)s::numeric, false)"
        for one in sorted(orders)
    )
    with bound_cursor() as cursor:
        cursor.execute(
            MARK.format(figures=figures, turns=turns),
            {**params, "threshold": threshold_id, "before": before, "after": after},
        )
        return cursor.rowcount


def _figures(leaf: Ranked, catalog: Catalog, as_of: datetime) -> tuple[str, dict[str, Any]]:
    compiled = compile_figures(leaf.figure, catalog)
    return FIGURES.format(figures=compiled.sql("postgres", TABLES)), dict(compiled.at(as_of))
