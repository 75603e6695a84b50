"""Runs compiled rules on Apache Spark, over tables of an event lake.

Optional: nothing of the platform needs it, and `pyspark` is looked for only when a session is asked for here. Tables are
read as they are; who may be told of whom, and what is done with the answer, is the caller's.

The tables are the logical ones of `segments.rules.compile`. Times are TIMESTAMP, `number` and `value` DECIMAL(19, 4),
`items` ARRAY<STRING>, and `properties` the JSON text of an object without repeated names, as PostgreSQL prints it.

Spark writes operands, and records that it can't read, into plans, its UI, its event log and its own logs: those are to be
kept as personal data are. Errors raised here have neither.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from segments.rules import Compiled, spark
from segments.rules.binding import Plain, at_moment

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# What the meaning of a rule depends on, beside its text: the calendar of dates, and arithmetic that is exact or fails.
SETTINGS: Final[Mapping[str, str]] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
    "spark.sql.legacy.decimal.retainFractionDigitsOnTruncate": "true",
    "spark.sql.parser.escapedStringLiterals": "false",
}


class SparkMissing(RuntimeError):
    """There is no Apache Spark on this machine."""


class UnsuitableSession(ValueError):
    """In this session rules would mean something else."""


class QueryFailed(RuntimeError):
    """Spark refused the query or gave it up. The message has the name that Spark has for the error, and no data."""


def open_session(master: str, *, settings: Mapping[str, str] | None = None) -> "SparkSession":
    """A session whose settings fit rules; ``settings`` are further ones.

    Raises:
        SparkMissing: pyspark isn't installed.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as missing:
        raise SparkMissing(
            "Apache Spark is not installed: pip install -r requirements-spark.txt, with Java 17 or newer"
        ) from missing
    builder = SparkSession.builder.master(master).appName("rules")
    for name, value in {**(settings or {}), **SETTINGS}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


class SparkRules:
    """Answers rules from the tables or views of one session, given by their logical names.

    Every query may raise `UnsuitableSession` or `QueryFailed`, when it is read.
    """

    def __init__(self, session: "SparkSession", tables: Mapping[str, str]) -> None:
        self.session = session
        self.tables = dict(tables)

    def matching(self, compiled: Compiled, *, as_of: datetime, scope: Sequence[int] = ()) -> Iterator[int]:
        """The ids that the query gives, read a partition at a time.

        Args:
            scope: among whom, for a query that was compiled with one.
        """
        given = {**compiled.at(as_of), "scope": list(scope)}
        for row in self.rows(compiled, given):
            yield row[0]

    def matching_each(self, rules: Sequence[Compiled], *, as_of: datetime) -> Iterator[tuple[int, int]]:
        """(position of the query, id), in no order: several queries in one statement, which is planned and run once."""
        parts = []
        params: dict[str, spark.Sendable] = {}
        for number, compiled in enumerate(rules):
            apart = _renamed(compiled, f"r{number}_")
            params |= spark.operands(apart.expression, at_moment(apart.params, as_of))
            text = apart.sql("spark", self.tables)
            parts.append(f"SELECT {number} AS part, profile_id FROM ({text}) AS part_{number}")
        if parts:
            # Text of ours, made of rules' trees: what a user wrote is a parameter in it.
            for row in self._run(" UNION ALL ".join(parts), params):
                yield row[0], row[1]

    def rows(self, compiled: Compiled, given: Mapping[str, Plain]) -> Iterator[tuple[Any, ...]]:
        """All that the query gives; ``given`` has at least the operands that it names.

        Raises:
            QueryFailed: also while it is read.
        """
        return self._run(compiled.sql("spark", self.tables), spark.operands(compiled.expression, given))

    def _run(self, text: str, params: Mapping[str, spark.Sendable]) -> Iterator[tuple[Any, ...]]:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        refuse_unsuitable(self.session)
        # It would log a refused query with all operands.
        logging.getLogger("SQLQueryContextLogger").disabled = True
        try:
            for row in self.session.sql(text, args=dict(params)).toLocalIterator():
                yield tuple(row)
        except (PySparkException, Py4JError) as failed:
            named = _CONDITION.search(str(failed))
            raise QueryFailed(f"Spark gave the query up: {named[1] if named else type(failed).__name__}") from None


# Spark's name of an error stands before its text, which may quote data.
_CONDITION: Final = re.compile(r"^(?:[^\n]*(?:Exception|Error): )?\[([A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\]", re.MULTILINE)


def refuse_unsuitable(session: "SparkSession") -> None:
    """Refuses a session with other settings than a rule's meaning depends on.

    Raises:
        UnsuitableSession: the message names each, and what it has to be.
    """
    found = {name: session.conf.get(name) for name in SETTINGS}
    if wrong := [
        f"{name} is {found[name]}, expected {wanted}" for name, wanted in SETTINGS.items() if found[name] != wanted
    ]:
        raise UnsuitableSession(f"rules would mean something else in this session: {'; '.join(wrong)}")


def _renamed(compiled: Compiled, prefix: str) -> Compiled:
    """The query with a prefix to the names of its own operands, so that it can stand beside others."""
    tree = compiled.expression.copy()
    for node in tree.find_all(exp.Placeholder):
        if node.name in compiled.params:
            node.set("this", f"{prefix}{node.name}")
    return Compiled(expression=tree, params={f"{prefix}{name}": one for name, one in compiled.params.items()})
