"""The statements by which figures of fields are taken: percentiles, bins and common values of whatever a query gives.

Of which fields, and when, is in `segments.fields.measuring` and `segments.fields.figures`. The queries here are put together
from texts of this package and what the rule compiler prints; every operand is bound.
"""

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from cdp.profiles.masking import EMAIL
from cdp.profiles.models import Profile
from consent.models import Purpose
from consent.querysets import INTERNAL_ANALYSIS, permitted
from segments.fields.distributions import FEWEST, FEWEST_RANKED, Distribution, Scale, edges_for
from segments.queries import Query, ids_of

MOST_VALUES: Final = 50
LONGEST_VALUE: Final = 200  # characters; what is longer is prose, and nobody picks it from a list


def who_may_be_counted() -> Query:
    """The ids of the people who permit internal analysis, by which everything here is counted."""
    return ids_of(permitted(Profile.objects.all(), Purpose.objects.get(key=INTERNAL_ANALYSIS)))


# In whole numbers, as percentile_disc takes its fraction as a float; the outermost four are nobody's percentile.
QUANTILES: Final = """
    SELECT key, ranked, array_agg(figure ORDER BY percent)
      FROM (SELECT key, figure, row_number() OVER (PARTITION BY key ORDER BY figure) AS place,
                   count(*) OVER (PARTITION BY key) AS ranked
              FROM ({query}) AS figures) AS placed
      JOIN generate_series(0, 100) AS percent
        ON place = least(ranked, greatest(
               %(fewest)s::bigint, least(ranked - %(fewest)s::bigint + 1, (percent * ranked + 99) / 100)))
     GROUP BY key, ranked
"""
BINS: Final = """
    SELECT key, width_bucket(figure, edges), count(*)
      FROM ({query}) AS figures JOIN jsonb_to_recordset(%(edges)s::jsonb) AS scales(key text, edges numeric[]) USING (key)
     GROUP BY 1, 2
"""


def distributions(figures: Query, *, is_date: bool = False, sampled: int | None = None) -> dict[str, Distribution]:
    """By key, how the figures lie.

    Args:
        figures: two columns, `key` (text) and `figure` (numeric), without NULL; dates as seconds since 1970.
        sampled: of how many people drawn at random they are.
    """
    found: dict[str, Distribution] = {}
    for key, people, quantiles in figures.of(QUANTILES).rows(fewest=FEWEST):
        if people < FEWEST_RANKED:
            found[key] = Distribution(people=people, sampled=sampled, scale=Scale.DATE if is_date else Scale.LINEAR)
            continue
        points = tuple(Decimal(one) for one in quantiles)
        scale, period, edges = edges_for(points, is_date=is_date)
        found[key] = Distribution(
            people=people,
            quantiles=points,
            edges=edges,
            counts=(0,) * (len(edges) + 1),
            scale=scale,
            period=period,
            sampled=sampled,
        )
    counts = {key: [0] * len(one.counts) for key, one in found.items() if one.edges}
    if counts:
        edges_by_key = [{"key": key, "edges": [format(one, "f") for one in found[key].edges]} for key in counts]
        for key, place, people in figures.of(BINS).rows(edges=json.dumps(edges_by_key)):
            counts[key][place] = people
    return {key: replace(one, counts=tuple(counts.get(key, ()))) for key, one in found.items()}


COMMON: Final = """
    SELECT key, CASE WHEN is_common THEN value END, people, different
      FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY is_common DESC, people DESC, value) AS place
              FROM (SELECT key, value, people, count(*) OVER (PARTITION BY key) AS different,
                           people >= %(fewest)s AND length(value) <= %(longest)s AND value !~ %(address)s AS is_common
                      FROM ({query}) AS counted) AS judged) AS placed
     WHERE place = 1 OR (is_common AND place <= %(most)s)
     ORDER BY key, place
"""


@dataclass(frozen=True, kw_only=True)
class Common:
    """The commonest values, each with how many people have it; and how many different ones there are."""

    distinct: int = 0
    top: tuple[tuple[str, int], ...] = ()


def common_values(counted: Query) -> dict[str, Common]:
    """By key, the commonest values: none that fewer than `FEWEST` people have, nor one that looks like an address.

    Args:
        counted: three columns, `key` and `value` (text) and `people` (bigint), one row for each different value.
    """
    found: dict[str, Common] = {}
    limits = {"fewest": FEWEST, "longest": LONGEST_VALUE, "most": MOST_VALUES}
    for key, value, people, different in counted.of(COMMON).rows(address=EMAIL.pattern, **limits):
        before = found.get(key, Common(distinct=different))
        found[key] = before if value is None else replace(before, top=(*before.top, (value, people)))
    return found
