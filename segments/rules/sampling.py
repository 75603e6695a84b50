"""A query about given people, asked in another way than of all of a list at once: of those in a table, a sample too large
to be sent along, or of one after the other.

Which people are drawn doesn't belong here.
"""

from sqlglot import exp

from segments.rules.binding import SCOPE


def one_by_one(query: exp.Select) -> exp.Select:
    """The query, compiled for a scope, asked about each of its people by themselves.

    Then a planner that doesn't know the operands can't think it good to go through everybody's records of a time: of one
    person there are always fewer.
    """
    found = query.copy()
    for scope in [node for node in found.find_all(exp.EQ) if _is_scope(node)]:
        scope.replace(exp.EQ(this=scope.this.copy(), expression=exp.column("id", "asked")))
    people = exp.Unnest(
        expressions=[SCOPE.copy()],
        alias=exp.TableAlias(this=exp.to_identifier("asked"), columns=[exp.to_identifier("id")]),
    )
    about = exp.Lateral(this=found.subquery(copy=False), alias=exp.TableAlias(this=exp.to_identifier("about")))
    columns = [exp.column(name, "about") for name in query.named_selects]
    return exp.select(*columns).from_(people).join(about, join_type="cross")


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


def beside(query: exp.Select) -> exp.Select:
    """The query, which joins what is found of people to those of a table, with each of them asked about by themselves.

    They go by a name that no query has inside: one that reads people itself would else compare them with themselves.
    """
    found = query.copy()
    person = exp.column("id", "asked")
    people = found.args["from_"].this
    outside = people.alias_or_name
    people.set("alias", exp.TableAlias(this=exp.to_identifier("asked")))
    for scope in [node for node in found.find_all(exp.EQ) if _is_scope(node)]:
        scope.replace(exp.EQ(this=scope.this.copy(), expression=person.copy()))
    for join in found.args.get("joins", ()):
        asked = join.this
        join.set("this", exp.Lateral(this=asked.this.subquery(copy=False), alias=asked.args["alias"]))
        for column in join.args["on"].find_all(exp.Column):
            if column.table == outside:
                column.set("table", exp.to_identifier("asked"))
    return found


def _is_scope(node: exp.EQ) -> bool:
    return isinstance(node.expression, exp.Any) and node.expression.this.this == SCOPE
