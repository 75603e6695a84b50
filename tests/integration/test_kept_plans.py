"""Statements asked in one round trip, by plans that are kept: what fails is told as itself, and nothing of it stays."""

from typing import Any

import pytest
from django.db import DataError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from cdp.database import ask_prepared, time_limit

FINE = ("SELECT %(n)s::int + 1 AS n", {"n": 1})
HALVED = ("SELECT 10 / %(n)s::int AS n", {"n": 0})


def test_each_statement_has_its_rows_in_order(db: None) -> None:
    asked = [("SELECT n * %(n)s::int FROM generate_series(1, 2) AS n", {"n": n}) for n in range(5)]
    assert ask_prepared(asked) == [[(n,), (2 * n,)] for n in range(5)]
    assert ask_prepared([]) == []


@pytest.mark.parametrize("where", [0, 2, 5])
def test_the_error_is_that_of_the_statement_that_failed(db: None, where: int) -> None:
    """And not that of those after it, which weren't run: whoever asks would take that for the server's fault."""
    asked = [FINE] * 5
    asked.insert(where, HALVED)
    with pytest.raises(DataError, match="division by zero"), transaction.atomic():
        ask_prepared(asked)
    assert ask_prepared([FINE]) == [[(2,)]]
    with connection.cursor() as cursor:
        cursor.execute("SHOW plan_cache_mode")
        assert cursor.fetchone() == ("auto",)
    assert connection.connection.prepare_threshold is None


def test_what_takes_too_long_is_told_as_that(db: None) -> None:
    with pytest.raises(OperationalError, match="statement timeout"), transaction.atomic(), time_limit(seconds=0.05):
        ask_prepared([FINE, ("SELECT pg_sleep(%(n)s::int)", {"n": 20}), FINE])


def test_outside_a_transaction_it_is_one_of_its_own(own_database: Any) -> None:
    found: list[Any] = ask_prepared([("SELECT txid_current(), %(n)s::int", {"n": n}) for n in (1, 2)])
    assert found[0][0][0] == found[1][0][0]
    with connection.cursor() as cursor:
        cursor.execute("SHOW plan_cache_mode")
        assert cursor.fetchone() == ("auto",)


def test_it_is_counted_among_the_queries(db: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        ask_prepared([FINE, FINE])
    assert sum("AS n" in query["sql"] for query in queries) == 2
