"""A query about given people, asked about the people of a table instead: a sample too large to be sent along as a list.

Which people are drawn doesn't belong here.
"""

from sqlglot import exp

from segments.rules.binding import SCOPE


def among(query: exp.Select, table: str) -> exp.Select:
    """The query, compiled for a scope, with the `id`s in a table (or common table expression) in the place of the list.

    It is joined, as each id is in the table once. By `IN` a planner would take an unanalysed table for a few people, and
    look up each of the many in every month by itself.
    """
    found = query.copy()
    for scope in [node for node in found.find_all(exp.EQ) if _is_scope(node)]:
        select = scope.find_ancestor(exp.Select)
        assert select is not None, "conditions stand in queries"
        on = exp.EQ(this=scope.this.copy(), expression=exp.column("id", table))
        scope.replace(exp.true())
        select.join(exp.Table(this=exp.to_identifier(table)), on=on, copy=False)
    return found


def _is_scope(node: exp.EQ) -> bool:
    return isinstance(node.expression, exp.Any) and node.expression.this.this == SCOPE
