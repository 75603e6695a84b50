"""One figure of everybody who has it, as a query: what percentiles are taken of.

Taking them, and where their thresholds are stored, doesn't belong here.
"""

from sqlglot import exp

from segments.rules.catalog import Catalog
from segments.rules.compile import (
    Compiler,
    either,
    refuse_errors,
)
from segments.rules.compiled import Compiled
from segments.rules.fusing import total_of
from segments.rules.measures import MeasuredSql
from segments.rules.nodes import Performed
from segments.rules.sampling import among


def compile_figures(figure: Performed, catalog: Catalog, *, of: str | None = None) -> Compiled:
    """Three columns, `profile_id`, `measured` and `factor`, for all who have such an event.

    The figure is `measured / factor`, cut to four decimals; who has none (`measured` is NULL) isn't ranked.

    Args:
        of: only the people whose `id` is in this table, each there once; it stands for itself, not for a logical one.

    Raises:
        RuleErrors: the figure doesn't fit the catalogue (any more).
    """
    refuse_errors(figure, catalog)
    compiler = Compiler(catalog, scoped=of is not None)
    total = total_of(figure)
    if total is None:
        query = _with_figure(compiler.events(figure), figure.computed.sql(figure, None, compiler.bind))
    else:
        from_totals, from_events = compiler.parts_of_ever(figure)
        _with_figure(from_totals, MeasuredSql(value=total))
        _with_figure(from_events, figure.computed.sql(figure, None, compiler.bind))
        query = either(from_totals, from_events, "measured", "factor")
    if of is not None:
        query = among(query, of)
    return Compiled(expression=query, params=compiler.bind.params)


def _with_figure(query: exp.Select, measured: MeasuredSql) -> exp.Select:
    factor = measured.times if measured.times is not None else exp.Literal.number(1)
    return query.select(exp.alias_(measured.value, "measured"), exp.alias_(factor, "factor"), copy=False)
