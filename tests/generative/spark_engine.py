"""The logical tables of the rule compiler in Apache Spark, read from Parquet files as an event lake has them.

A fourth engine: it shares the compiler's tree with the others, but neither their types, their JSON nor their regular
expressions. A new logical table is its columns in `SCHEMAS` and its rows in `store`. What people are like doesn't belong
here.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from segments.engines.spark import SparkRules, open_session
from segments.rules import Catalog, Compiled, Person
from tests.generative.postgres import TABLES
from tests.generative.standing import consent_rows, list_rows, score_rows, stop_rows
from tests.spec.world import THRESHOLDS

SCHEMAS = {
    "profile": "id BIGINT, uuid STRING",
    "trait_value": "trait_id INT, profile_id BIGINT, number DECIMAL(19, 4), text STRING, text_folded STRING,"
    " moment TIMESTAMP, boolean BOOLEAN, items ARRAY<STRING>",
    "event": "profile_id BIGINT, name_id INT, occurred_at TIMESTAMP, message_id STRING, value DECIMAL(19, 4),"
    " properties STRING",
    "membership": "segment_id INT, profile_id BIGINT",
    "threshold": "id INT, value DECIMAL(30, 4)",
    "score": "kind STRING, key STRING, profile_id BIGINT, number DECIMAL(19, 4), text STRING",
    "consent": "purpose_id INT, profile_id BIGINT, decision STRING, expires_at TIMESTAMP",
    "stop": "purpose_id INT, profile_id BIGINT",
    "list_entry": "list_id INT, profile_id BIGINT",
}

_TOTALS = """
SELECT profile_id, name_id, count(*) AS count, sum(value) AS value_sum, min(occurred_at) AS first_at,
    max(occurred_at) AS last_at
FROM {event} GROUP BY profile_id, name_id
"""

# Of a few hundred rows Spark's care for large ones would be most of the time: each table is one partition in memory, so
# that joins need no exchange, and expressions are interpreted rather than compiled to Java for every query.
QUICK = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "4g",
    # It would remember the plans of the last thousand statements, of which each is as large as sixteen rules.
    "spark.sql.ui.retainedExecutions": "5",
    "spark.ui.retainedJobs": "5",
    "spark.ui.retainedStages": "5",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
AS_INSTALLED = {
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.autoBroadcastJoinThreshold": "10MB",
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
}


class SparkPeople:
    """People in a Spark of their own, in this process's child. Operands are bound, as they are everywhere."""

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        settings = {**QUICK, "spark.sql.warehouse.dir": str(folder / "warehouse"), "spark.local.dir": str(folder)}
        self.session = open_session("local[2]", settings=settings)
        self.catalog = catalog
        self.folder = folder
        self.rules = SparkRules(self.session, TABLES)

    def close(self) -> None:
        self.session.stop()

    def store(self, people: Iterable[Person]) -> None:
        """These people, and nobody else."""
        people = list(people)
        self._write("profile", [(one.id, None if one.uuid is None else str(one.uuid)) for one in people])
        self._write(
            "trait_value",
            [
                (
                    self.catalog.traits[key].id,
                    one.id,
                    value.number,
                    value.text,
                    value.text_folded,
                    value.moment,
                    value.boolean,
                    None if value.items is None else list(value.items),
                )
                for one in people
                for key, value in one.traits.items()
            ],
        )
        self._write(
            "event",
            [
                (
                    one.id,
                    self.catalog.events[event.name].id,
                    event.occurred_at,
                    event.message_id,
                    event.value,
                    json.dumps(event.properties),
                )
                for one in people
                for event in one.events
            ],
        )
        memberships = [(self.catalog.segments[key].id, one.id) for one in people for key in one.segments]
        self._write("membership", memberships)
        self._write("threshold", list(enumerate(THRESHOLDS.values(), start=1)))
        self._write("score", list(score_rows(self.catalog, people)))
        self._write("consent", list(consent_rows(self.catalog, people)))
        self._write("stop", list(stop_rows(self.catalog, people)))
        self._write("list_entry", list(list_rows(self.catalog, people)))
        self._keep("event_total", self.session.sql(_TOTALS.format(event=TABLES["event"])))

    def matching(self, compiled: Compiled, as_of: datetime, scope: Sequence[int] = ()) -> list[int]:
        """The ids that the query gives, as it gives them."""
        return list(self.rules.matching(compiled, as_of=as_of, scope=scope))

    def matching_each(self, several: Sequence[Compiled], as_of: datetime) -> list[list[int]]:
        """The same for each of several queries, asked together."""
        found: list[list[int]] = [[] for _ in several]
        for number, profile_id in self.rules.matching_each(several, as_of=as_of):
            found[number].append(profile_id)
        return found

    def rows(self, compiled: Compiled, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """All that the query gives."""
        return list(self.rules.rows(compiled, given))

    @contextmanager
    def as_installed(self) -> Iterator[None]:
        """Spark as it is usually run, with queries compiled to Java and joins chosen by size."""
        self._set(AS_INSTALLED)
        yield
        self._set(QUICK)

    def _set(self, settings: Mapping[str, str]) -> None:
        for name in AS_INSTALLED:
            self.session.conf.set(name, settings[name])

    def _write(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        frame = self.session.createDataFrame(rows, SCHEMAS[table])  # type: ignore[type-var]
        self._keep(table, frame)

    def _keep(self, table: str, frame: Any) -> None:
        path = str(self.folder / table)
        frame.write.mode("overwrite").parquet(path)
        read = self.session.read.parquet(path).coalesce(1)
        self.session.catalog.dropTempView(TABLES[table])
        read.createTempView(TABLES[table])
        self.session.catalog.cacheTable(TABLES[table])

    def spoil_properties(self) -> None:
        """Events whose properties aren't JSON, as a damaged lake would have them."""
        table = self.session.table(TABLES["event"])
        self._keep(
            "event", table.selectExpr(*table.columns[:-1], "substr(properties, 2) AS properties").localCheckpoint()
        )
