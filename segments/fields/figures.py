"""How a figure lies among people that nobody has asked about before: "the sum of orders per buyer in 30 days".

Of everybody where that is cheap by the planner's estimate, else of the day's sample of people; and kept for minutes, as
somebody who moves a threshold asks again and again. What fields are and have is taken by a job (`segments.fields.measuring`).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Final

from django.conf import settings
from django.core.cache import cache
from django.db import OperationalError, transaction
from psycopg.errors import QueryCanceled

from cdp.database import bound_cursor, time_limit
from segments.engines.estimating import SAMPLED, cost, point_of
from segments.engines.percentiles import FIGURES
from segments.engines.postgres import TABLES, Text
from segments.fields.counting import distributions, who_may_be_counted
from segments.fields.distributions import Distribution
from segments.queries import Query
from segments.rules import Catalog, Performed, compile_figures
from segments.rules.comparisons import Comparison
from segments.rules.kinds import NUMBER

# What the planner may expect of a look at everybody: some two seconds. The look is made twice, for percentiles and for bins.
CHEAP: Final = 400_000
SECONDS: Final = 4.0
KEPT_SECONDS: Final = 300
NO_AMOUNT: Final = Comparison(op="gte", kind=NUMBER, operand=Decimal(1))
OF_WHOM: Final = "SELECT '' AS key, figure FROM ({query}) AS of_all WHERE profile_id IN ({people})"


def distribution_of(figure: Performed, catalog: Catalog, as_of: datetime) -> Distribution | None:
    """How the figure lies among those who have one and permit being counted; None where that can't be told in time.

    What the figure is compared with makes no difference. Of nobody it is a distribution of no people.

    Args:
        figure: a count, sum or other number; not a date.

    Raises:
        RuleErrors: the figure doesn't fit the catalogue (any more).
        ValueError: it isn't a number.
    """
    if figure.computed.kinds != (NUMBER,):
        raise ValueError("only numbers lie somewhere between each other")
    figure = replace(figure, amount=NO_AMOUNT)
    key = f"fields.figure:{sha256(figure.key.encode()).hexdigest()}"
    if (kept := cache.get(key)) is not None:
        return Distribution.from_json(kept)
    found = _of_everybody(figure, catalog, as_of) or _of_sample(figure, catalog, as_of)
    if found is not None:
        cache.set(key, found.as_json(), KEPT_SECONDS)
    return found


def _of_everybody(figure: Performed, catalog: Catalog, as_of: datetime) -> Distribution | None:
    compiled = compile_figures(figure, catalog)
    query = _figures(compiled.sql("postgres", TABLES), compiled.at(as_of))
    if cost(Text(query.sql, query.params)) > CHEAP:
        return None
    return _in_time(lambda: distributions(query).get("", Distribution(people=0)))


def _of_sample(figure: Performed, catalog: Catalog, as_of: datetime) -> Distribution | None:
    size = settings.PREVIEW_SAMPLE
    compiled = compile_figures(figure, catalog, of="sampled")
    drawn = {"ring_start": point_of(as_of.date()), "ring_size": size}
    query = replace(_figures(compiled.sql("postgres", TABLES), {**compiled.at(as_of), **drawn}), before=SAMPLED)
    return _in_time(lambda: distributions(query, sampled=size).get("", Distribution(people=0, sampled=size)))


def _figures(sql: str, params: Mapping[str, object]) -> Query:
    people = who_may_be_counted()
    return Query(
        sql=OF_WHOM.replace("{query}", FIGURES.format(figures=sql)).replace("{people}", people.sql),
        params={**params, **people.params},
    )


def _in_time(count: Callable[[], Distribution]) -> Distribution | None:
    """What it gives, if none of its statements takes longer than `SECONDS`; the transaction around it goes on as it was."""
    began = time.monotonic()
    try:
        with transaction.atomic(), time_limit(seconds=SECONDS), bound_cursor() as cursor:
            # A few seconds at most: starting a compiler for them takes a good part of it.
            cursor.execute("SET LOCAL jit = off")
            return count()
    except OperationalError as error:
        # One that was cut off sooner was cut off by somebody.
        if isinstance(error.__cause__, QueryCanceled) and time.monotonic() - began >= SECONDS:
            return None
        raise
