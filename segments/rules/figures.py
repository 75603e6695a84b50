"""One figure of everybody who has it, as a query: what percentiles are taken of.

Taking them, and where their thresholds are stored, doesn't belong here.
"""

from sqlglot import exp

from segments.rules.catalog import Catalog
from segments.rules.compile import Compiled, Compiler, either, refuse_errors
from segments.rules.fusing import total_of
from segments.rules.measures import MeasuredSql
from segments.rules.nodes import Performed


def compile_figures(figure: Performed, catalog: Catalog) -> Compiled:
    """Three columns, `profile_id`, `measured` and `factor`, for all who have such an event.

    The figure is `measured / factor`, cut to four decimals; who has none (`measured` is NULL) isn't ranked.

    Raises:
        RuleErrors: the figure doesn't fit the catalogue (any more).
    """
    refuse_errors(figure, catalog)
    compiler = Compiler(catalog, scoped=False)
    total = total_of(figure)
    if total is None:
        query = _with_figure(compiler.events(figure), figure.computed.sql(figure, None, compiler.bind))
    else:
        from_totals, from_events = compiler.parts_of_ever(figure)
        _with_figure(from_totals, MeasuredSql(value=total))
        _with_figure(from_events, figure.computed.sql(figure, None, compiler.bind))
        query = either(from_totals, from_events, "measured", "factor")
    return Compiled(expression=query, params=compiler.bind.params)


def _with_figure(query: exp.Select, measured: MeasuredSql) -> exp.Select:
    factor = measured.times if measured.times is not None else exp.Literal.number(1)
    return query.select(exp.alias_(measured.value, "measured"), exp.alias_(factor, "factor"), copy=False)
