"""Chance that stays: a number in [0, 100) per seed and person, the same in every engine and on every day.

It is worked out of a hash, so nothing is stored, and who takes part in one draw says nothing of the next. Secrets and
signatures don't belong here: whoever knows the seed and the person knows the number.
"""

from collections.abc import Callable
from hashlib import md5
from typing import Final
from uuid import UUID

from sqlglot import exp

# Hex digits taken of the hash: 32 bits, which every engine can make a whole number of. 10,000 doesn't divide 2^32, so
# the first hundredths are more probable than the last, by one in 400,000.
DIGITS: Final = 8
HUNDREDTHS: Final = 10_000


class Hashed(exp.Expression):
    """The first digits of the hash of a text, as a whole number."""

    arg_types = {"this": True}


def hundredths(seed: str, uuid: UUID | None) -> int:
    """The person's number for the seed, in hundredths: 0 to 9,999.

    Raises:
        ValueError: it isn't known who the person is.
    """
    if uuid is None:
        raise ValueError("a bucket needs the person's uuid")
    digest = md5(f"{seed}:{uuid}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:DIGITS], 16) % HUNDREDTHS


def compiled_hundredths(seed: exp.Expr, uuid: exp.Expr) -> exp.Expr:
    """The same in SQL, given the text of the seed and a uuid."""
    text = exp.DPipe(this=exp.DPipe(this=seed, expression=exp.Literal.string(":")), expression=exp.cast(uuid, "TEXT"))
    # Called by its name: drivers take a percent sign for the beginning of a placeholder.
    return exp.Anonymous(this="MOD", expressions=[Hashed(this=text), exp.Literal.number(HUNDREDTHS)])


def lowered(node: Hashed, dialect: str) -> exp.Expr:
    """The node as the dialect can print it."""
    start, length = exp.Literal.number(1), exp.Literal.number(DIGITS)
    return _NUMBER_OF[dialect](exp.Substring(this=exp.MD5(this=node.this), start=start, length=length))


def _postgres(digits: exp.Expr) -> exp.Expr:
    bits = exp.DPipe(this=exp.Literal.string("x"), expression=digits)
    return exp.cast(exp.cast(bits, exp.DataType.build(f"BIT({4 * DIGITS})", dialect="postgres")), "BIGINT")


def _duckdb(digits: exp.Expr) -> exp.Expr:
    return exp.cast(exp.DPipe(this=exp.Literal.string("0x"), expression=digits), "BIGINT")


def _spark(digits: exp.Expr) -> exp.Expr:
    converted = exp.func("CONV", digits, exp.Literal.number(16), exp.Literal.number(10))
    return exp.cast(converted, "BIGINT")


_NUMBER_OF: Final[dict[str, Callable[[exp.Expr], exp.Expr]]] = {
    "postgres": _postgres,
    "duckdb": _duckdb,
    "spark": _spark,
}
