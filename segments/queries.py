"""Queries as values: SQL with its operands, which statements of several rooms are built around.

What they ask for is said where they are made. Texts come from this package and what the rule compiler prints; every operand
is bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import QuerySet

from cdp.database import bound_cursor
from cdp.profiles.models import Profile


@dataclass(frozen=True, kw_only=True)
class Query:
    """A query with its operands, and what must stand before the statement that it becomes part of (`WITH ...`)."""

    sql: str
    params: Mapping[str, Any] = field(default_factory=dict)
    before: str = ""

    def of(self, template: str) -> "Query":
        """The query in the place of `{query}` in the template."""
        return replace(self, sql=template.replace("{query}", self.sql))

    def rows(self, **more: Any) -> list[Any]:
        with bound_cursor() as cursor:
            cursor.execute(f"{self.before} {self.sql}", {**self.params, **more})
            return cursor.fetchall()


def query_of(rows: "QuerySet[Any, Any]") -> Query:
    """What a queryset asks for: its rows in no order, its operands named so that others can stand beside them."""
    sql, values = rows.order_by().query.sql_with_params()
    names = [f"permitted_{number}" for number in range(len(values))]
    return Query(sql=sql % tuple(f"%({name})s" for name in names), params=dict(zip(names, values, strict=True)))


def ids_of(people: QuerySet[Profile]) -> Query:
    """One column, `id`, of these people."""
    return query_of(people.values("pk"))
