"""The few places where databases differ: reading a typed value out of a JSON document of event properties.

A rule is compiled to the logical functions below; `lower` replaces them by what one database understands.
The name of a property is a bound parameter in every dialect: user data never becomes a path or SQL text.
What rules mean doesn't belong here. Spark differs in more than a few places, so it has a module of its own.
"""

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from segments.rules import hashing
from segments.rules.operands import NUMBER_LIMIT


class Property(exp.Expression):
    """A property of an event, NULL unless it is there with the JSON type that is asked for."""

    arg_types = {"this": True, "name": True}


class PropertyText(Property):
    """The text of a JSON string."""


class PropertyNumber(Property):
    """A JSON number as a decimal with 4 places, NULL when it is out of a rule's range."""


class PropertyBoolean(Property):
    """A JSON boolean."""


class PropertyExists(Property):
    """True unless the property is absent or JSON null."""


class ByBytes(exp.Expression):
    """Text that is ordered byte by byte, whatever the language of the database."""

    arg_types = {"this": True}


class Earliest(exp.Expression):
    """Of a group's events the value of the first that has one, by moment and then by message id; or of the last."""

    arg_types = {"this": True, "moment": True, "message": True, "latest": True}


class UnsupportedDialect(ValueError):
    """No engine of ours speaks this dialect yet."""


def lower(tree: exp.Expr, dialect: str) -> exp.Expr:
    """A copy of the tree in which only what the dialect can print is left.

    Raises:
        UnsupportedDialect: no engine of ours speaks it (`segments.rules.spark` has one more).
    """
    if dialect not in _LOWERINGS:
        raise UnsupportedDialect(f"{dialect}: expected one of {', '.join((*_LOWERINGS, 'spark'))}")
    return tree.transform(lambda node: _lowered(node, dialect))


def _lowered(node: exp.Expr, dialect: str) -> exp.Expr:
    match node:
        case Property():
            return _LOWERINGS[dialect](node)
        case Earliest():
            return _earliest(node, dialect)
        case ByBytes():
            return _by_bytes(node.this, dialect)
        case hashing.Hashed():
            return hashing.lowered(node, dialect)
        case _:
            return node


def _by_bytes(text: exp.Expr, dialect: str) -> exp.Expr:
    if dialect != "postgres":  # the others order text by its bytes anyway
        return text
    return exp.Collate(this=text, expression=exp.to_identifier("C", quoted=True))


def _earliest(node: Earliest, dialect: str) -> exp.Expr:
    descending = bool(node.args["latest"].this)
    message = _by_bytes(node.args["message"], dialect)
    value = lower(node.this, dialect)
    order = exp.Order(
        this=value,
        expressions=[exp.Ordered(this=part, desc=descending) for part in (node.args["moment"], message)],
    )
    has_one = exp.Not(this=exp.Is(this=exp.Paren(this=value.copy()), expression=exp.null()))
    values = exp.Filter(this=exp.ArrayAgg(this=order), expression=exp.Where(this=has_one))
    return exp.Bracket(this=exp.Paren(this=values), expressions=[exp.Literal.number(1)], offset=1)


def _postgres(node: Property) -> exp.Expr:
    properties, name = node.this, node.args["name"]
    text = exp.JSONExtractScalar(this=properties, expression=name)
    kind = exp.func("JSONB_TYPEOF", exp.JSONExtract(this=properties.copy(), expression=name.copy()))
    match node:
        case PropertyText():
            return _case(_is(kind, "string"), text)
        case PropertyNumber():
            return _number(_is(kind, "number"), exp.cast(text, "DECIMAL"))
        case PropertyBoolean():
            return _case(_is(kind, "boolean"), exp.EQ(this=text, expression=exp.Literal.string("true")))
        case _:
            return exp.Not(this=exp.Is(this=exp.Paren(this=text), expression=exp.null()))


def _duckdb(node: Property) -> exp.Expr:
    properties = node.this
    # A JSON pointer, because its two escapes can be made for every name there is; a `$.` path has no such rule.
    escaped = exp.func("REPLACE", node.args["name"], exp.Literal.string("~"), exp.Literal.string("~0"))
    escaped = exp.func("REPLACE", escaped, exp.Literal.string("/"), exp.Literal.string("~1"))
    path = exp.Paren(this=exp.DPipe(this=exp.Literal.string("/"), expression=escaped))
    text = exp.Anonymous(this="JSON_EXTRACT_STRING", expressions=[properties, path])
    kind = exp.Anonymous(this="JSON_TYPE", expressions=[properties.copy(), path.copy()])
    match node:
        case PropertyText():
            return _case(_is(kind, "VARCHAR"), text)
        case PropertyNumber():
            return _number(_is(kind, "BIGINT", "UBIGINT", "DOUBLE"), exp.TryCast(this=text, to=_DUCKDB_NUMBER.copy()))
        case PropertyBoolean():
            return _case(_is(kind, "BOOLEAN"), exp.EQ(this=text, expression=exp.Literal.string("true")))
        case _:
            return exp.Not(this=exp.Is(this=text, expression=exp.null()))


_DUCKDB_NUMBER: Final = exp.DataType.build("DECIMAL(38, 10)")
_LOWERINGS: Final[dict[str, Callable[[Property], exp.Expr]]] = {"postgres": _postgres, "duckdb": _duckdb}


def _is(value: exp.Expr, *names: str) -> exp.Expr:
    return exp.In(this=value, expressions=[exp.Literal.string(name) for name in names])


def _case(condition: exp.Expr, result: exp.Expr) -> exp.Expr:
    # CASE, because it is the only construct whose order of evaluation is promised: with AND, a planner may
    # try the cast before the test of its type, and one odd event would fail the whole query.
    return exp.Case(ifs=[exp.If(this=condition, true=result)])


def _number(is_number: exp.Expr, number: exp.Expr) -> exp.Expr:
    rounded = exp.func("ROUND", number, exp.Literal.number(4))
    in_range = exp.LT(this=exp.func("ABS", rounded.copy()), expression=exp.Literal.number(int(NUMBER_LIMIT)))
    return _case(is_number, _case(in_range, rounded))
