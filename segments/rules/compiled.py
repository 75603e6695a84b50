"""A compiled query: its tree with its operands, and how both are told to an engine.

Logical tables: `profile(id, uuid)`, `trait_value(trait_id, profile_id, number, text, text_folded, moment, boolean, items)`,
`event(profile_id, name_id, occurred_at, message_id, value, properties)`, `event_total(profile_id, name_id, count,
value_sum, first_at, last_at)`, `membership(segment_id, profile_id)`, `score(kind, key, profile_id, number, text)` of the
published runs alone, `consent(purpose_id, profile_id, decision, expires_at)`, `stop(purpose_id, profile_id)`,
`list_entry(list_id, profile_id)`, `threshold(id, value)`.

How a rule becomes such a query is in `segments.rules.compile`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlglot import exp

from segments.rules import spark
from segments.rules.binding import Bindable, Plain, Span, at_moment, over_span
from segments.rules.dialects import lower

LOGICAL_TABLES: Final = (
    "profile", "trait_value", "event", "event_total", "membership", "score", "consent", "stop", "list_entry",
    "threshold",
)  # fmt: skip


def logical(table: str) -> exp.Table:
    """The table, made here: a name that is given as text would be parsed each time."""
    return exp.Table(this=exp.to_identifier(table))


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A SELECT; of one column, `profile_id`, without repetition, where nothing else is said.

    `params` holds the operands by the name of their placeholder; `at` gives them as they are at a moment, with `as_of`.
    Besides them the text may have `scope` (a list of profile ids), which the caller adds; it may be given even where it
    doesn't occur.
    """

    expression: exp.Select
    params: Mapping[str, Bindable]

    def sql(
        self, dialect: str = "postgres", tables: Mapping[str, str] | None = None, *, is_laid_out: bool = False
    ) -> str:
        """The text for a dialect, with `tables` giving the real name of each logical table; for people to read, over several lines.

        For "postgres" the placeholders are psycopg's `%(name)s`. Nothing a user wrote is in the text, so there is no
        percent sign to double. For "spark" they are its named parameters, `:name`; what to send for them is not `at` but
        `spark.operands`.

        Raises:
            UnsupportedDialect: no engine of ours speaks it, or part of the query isn't known to mean the same in it.
        """
        lowered = spark.lower(self.expression) if dialect == "spark" else lower(self.expression, dialect)
        return _named(lowered, tables or {}).sql(dialect=dialect, identify=True, copy=False, pretty=is_laid_out)

    def at(self, as_of: datetime) -> dict[str, Plain]:
        """What to send along. The time zone of `as_of` is the one whose calendar is meant."""
        return at_moment(self.params, as_of)

    def over(self, span: Span) -> dict[str, Plain]:
        """The same of a query that asks about a span of time (`segments.rules.edges`), with `t1` and `t2`."""
        return over_span(self.params, span)

    @property
    def placeholders(self) -> frozenset[str]:
        """The names of all placeholders in the text, `as_of` and `scope` among them where they occur."""
        return frozenset(node.name for node in self.expression.find_all(exp.Placeholder))


def _named(tree: exp.Expr, tables: Mapping[str, str]) -> exp.Expr:
    for table in list(tree.find_all(exp.Table)):
        if table.name in tables and table.name in LOGICAL_TABLES:
            alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))
            real = tables[table.name]
            # What names a schema too has to be parsed, which takes a while.
            named = exp.to_table(real) if "." in real else logical(real)
            table.replace(exp.Table(**{**named.args, "alias": alias}))
    return tree
