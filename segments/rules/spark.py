"""Rules as Spark SQL, 4.0 or newer: how a compiled query is said there, and in which form its operands are sent.

A query is printed only if each of its parts is known to mean the same in Spark; anything else is refused, so that a new
condition is looked at before it runs there. Running queries doesn't belong here, nor does what rules mean.

The properties of an event are a JSON text. It is read as a map of `VARIANT`: that keeps the JSON types apart, and any
name can be looked up in a map, where a path has no way to write some of them.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias

from sqlglot import exp

from segments.rules import hashing
from segments.rules.binding import SCOPE, Plain
from segments.rules.dialects import (
    ByBytes,
    Earliest,
    Property,
    PropertyBoolean,
    PropertyNumber,
    PropertyText,
    UnsupportedDialect,
)
from segments.rules.patterns import for_java

Sendable: TypeAlias = str | int | bool | Decimal


def lower(tree: exp.Expr) -> exp.Expr:
    """A copy of the tree in which only what Spark is known to mean the same by is left.

    Raises:
        UnsupportedDialect: nothing is known of a part of it; the message names its kind.
    """
    root = tree.copy()
    # What a part is made of comes before the part itself.
    for node in reversed(list(root.walk())):
        if (said := _said(node)) is not node:
            node.replace(said)
    for node in root.walk():
        _refuse_unknown(node)
    return root


def operands(tree: exp.Expr, given: Mapping[str, Plain]) -> dict[str, Sendable]:
    """The operands that the query names, in the form in which its text expects them.

    Moments and lists go as text, ISO 8601 and JSON. A moment would lose its microsecond or, before 1582, its calendar on
    the way through `java.sql.Timestamp`; a list would become as many literals as it has members.
    """
    named = {node.name for node in tree.find_all(exp.Placeholder)}
    patterns = {
        node.name for matched in tree.find_all(exp.RegexpLike) for node in matched.expression.find_all(exp.Placeholder)
    }
    return {name: _sendable(value, name in patterns) for name, value in given.items() if name in named}


def _sendable(value: Plain, is_pattern: bool) -> Sendable:
    match value:
        case str() if is_pattern:
            return for_java(value)
        case datetime():
            return value.isoformat()
        case Decimal():
            return Decimal(f"{value:f}")  # Spark has no decimals with an exponent, such as 1E+2
        case list():
            return f"[{','.join(_member(one) for one in value)}]"
        case _:
            return value


def _member(value: str | int | Decimal) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else json.dumps(value)


def _said(node: exp.Expr) -> exp.Expr:
    """How Spark says a part whose own parts it has been told already; the part itself where nothing is to be done."""
    match node:
        case Property():
            return _property(node)
        case ByBytes(this=exp.Expr() as text):
            return text  # Spark orders text by its bytes
        case Earliest():
            return _earliest(node)
        case hashing.Hashed():
            return hashing.lowered(node, "spark")
        case exp.Cast(this=exp.Placeholder()) if node.to.is_type("ARRAY"):
            return _list(node.this, node.to.sql("spark"))
        case exp.EQ(expression=exp.Any()):
            return _is_one_of(node.this, node.expression.this.unnest())
        case exp.ArrayOverlaps():
            return _call("ARRAYS_OVERLAP", node.this, node.expression)
        case exp.ArrayContainsAll():
            missing = _call("ARRAY_EXCEPT", node.expression, node.this)
            return exp.EQ(this=_call("SIZE", missing), expression=exp.Literal.number(0))
        case exp.Escape(this=exp.Expr() as like) if node.expression.this == "\\":
            return like  # it is what Spark escapes by anyway
        case _:
            return node


def _is_one_of(value: exp.Expr, members: exp.Expr) -> exp.Expr:
    if isinstance(members, exp.Placeholder):  # only numbers are bound without their type
        members = _list(members, "ARRAY<DECIMAL(19, 4)>")
    placeholder = members.find(exp.Placeholder)
    if placeholder is not None and placeholder.name == SCOPE.this.name:
        # There may be many, and a join looks each up by its hash.
        return exp.In(this=value, query=exp.select(_call("EXPLODE", members)).subquery())
    return _call("ARRAY_CONTAINS", members, value)


def _list(placeholder: exp.Expr, kind: str) -> exp.Expr:
    # Of a constant: it is read once, when the query is planned.
    return _call("FROM_JSON", placeholder, exp.Literal.string(kind), _STRICTLY.copy())


def _property(node: Property) -> exp.Expr:
    properties = _call("FROM_JSON", node.this, exp.Literal.string("MAP<STRING, VARIANT>"), _STRICTLY.copy())
    found = _call("ELEMENT_AT", properties, node.args["name"])
    kind = _call("SCHEMA_OF_VARIANT", found.copy())
    match node:
        case PropertyText():
            return _case(_is(kind, "STRING"), _read(found, "STRING"))
        case PropertyNumber():
            decimal = exp.Like(this=kind.copy(), expression=exp.Literal.string("DECIMAL(%"))
            is_number = exp.or_(_is(kind, "BIGINT", "DOUBLE"), decimal)
            # Rounds half away from zero, and gives NULL for what doesn't fit then: a rule's numbers exactly.
            return _case(is_number, _read(found, "DECIMAL(19, 4)"))
        case PropertyBoolean():
            return _case(_is(kind, "BOOLEAN"), _read(found, "BOOLEAN"))
        case _:
            return exp.NEQ(this=kind, expression=exp.Literal.string("VOID"))


def _earliest(node: Earliest) -> exp.Expr:
    order = _call("STRUCT", node.args["moment"], node.args["message"])
    found = _call("MAX_BY" if node.args["latest"].this else "MIN_BY", node.this, order)
    has_one = exp.Not(this=exp.Is(this=exp.Paren(this=node.this.copy()), expression=exp.null()))
    return exp.Filter(this=found, expression=exp.Where(this=has_one))


def _read(variant: exp.Expr, kind: str) -> exp.Expr:
    return _call("TRY_VARIANT_GET", variant, exp.Literal.string("$"), exp.Literal.string(kind))


def _is(value: exp.Expr, *names: str) -> exp.Expr:
    return exp.In(this=value, expressions=[exp.Literal.string(name) for name in names])


def _case(condition: exp.Expr, result: exp.Expr) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=condition, true=result)])


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    if name not in FUNCTIONS:
        raise AssertionError(f"{name} isn't among the functions that are proven")
    return exp.Anonymous(this=name, expressions=list(arguments))


FUNCTIONS: Final = frozenset(
    {
        "ARRAY_CONTAINS",
        "ARRAY_EXCEPT",
        "ARRAYS_OVERLAP",
        "CONV",
        "ELEMENT_AT",
        "EXPLODE",
        "FROM_JSON",
        "MAP",
        "MAX_BY",
        "MIN_BY",
        "MOD",
        "SCHEMA_OF_VARIANT",
        "SIZE",
        "STRUCT",
        "TRY_VARIANT_GET",
    }
)
"""Spark's own functions that are used, proven as `PROVEN` is."""

# What isn't JSON fails the query rather than being taken for an event without properties. PostgreSQL holds numbers of
# 147,455 digits; Spark's parser would give up at 1,000 of them, and the query with it.
_STRICTLY: Final = _call("MAP", *(exp.Literal.string(text) for text in ("mode", "FAILFAST", "maxNumLen", "200000")))


# ---- What is known to mean the same ---------------------------------------------------------------------------


PROVEN: Final[frozenset[type[exp.Expr]]] = frozenset(
    {
        exp.Add,
        exp.Alias,
        exp.And,
        exp.AtTimeZone,
        exp.Between,
        exp.BitwiseAnd,
        exp.BitwiseOrAgg,
        exp.Boolean,
        exp.Case,
        exp.Coalesce,
        exp.Column,
        exp.Count,
        exp.DPipe,
        exp.DataType,
        exp.Distinct,
        exp.EQ,
        exp.Exists,
        exp.Extract,
        exp.Filter,
        exp.From,
        exp.GT,
        exp.GTE,
        exp.Group,
        exp.Having,
        exp.Identifier,
        exp.If,
        exp.In,
        exp.Interval,
        exp.Is,
        exp.Join,
        exp.LT,
        exp.LTE,
        exp.Like,
        exp.Literal,
        exp.MD5,
        exp.Max,
        exp.Min,
        exp.Mul,
        exp.NEQ,
        exp.Not,
        exp.Null,
        exp.Or,
        exp.Paren,
        exp.Placeholder,
        exp.RegexpLike,
        exp.Select,
        exp.Star,
        exp.Subquery,
        exp.Substring,
        exp.Sum,
        exp.Table,
        exp.TableAlias,
        exp.Union,
        exp.Var,
        exp.Where,
    }
)
"""The parts of queries of which the drill on Spark (`tests/generative`) has shown that they mean the same."""


TYPES: Final = frozenset({"BIGINT", "BOOLEAN", "DATE", "INT", "STRING", "TIMESTAMP"})
"""The types that something is cast to, proven as `PROVEN` is."""


def _refuse_unknown(node: exp.Expr) -> None:
    # Not printed for the message: of what is ours alone, nothing can be.
    known, what = type(node) in PROVEN, type(node).__name__
    match node:
        case exp.Anonymous():
            known, what = node.name in FUNCTIONS, f"the function {node.name}"
        case exp.Cast():
            kind = node.to.sql("spark")
            known, what = kind in TYPES, f"a cast to {kind}"
    if not known:
        raise UnsupportedDialect(f"spark: nothing is known of {what}")
