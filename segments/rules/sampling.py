"""A query about given people, asked about the people of a table instead: a sample too large to be sent along as a list.

Which people are drawn doesn't belong here.
"""

from sqlglot import exp

from segments.rules.binding import SCOPE


def among(query: exp.Select, table: str) -> exp.Select:
    """The query, compiled for a scope, with the `id`s in a table (or common table expression) in the place of the list.

    An engine joins such a table in whichever way is cheap; of a long list it looks up each item by itself.
    """
    people = exp.select(exp.column("id", table)).from_(table, copy=False)

    def replaced(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.EQ) and isinstance(node.expression, exp.Any) and node.expression.this.this == SCOPE:
            return exp.In(this=node.this, query=people.copy().subquery(copy=False))
        return node

    found = query.transform(replaced)
    assert isinstance(found, exp.Select)
    return found
