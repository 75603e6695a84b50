"""The kinds of value that can be compared, and how each is read from a trait, from an event property, and from JSON.

Which comparisons exist doesn't belong here.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Final, TypeAlias

from sqlglot import exp

from segments.rules import dialects
from segments.rules.catalog import Type
from segments.rules.folding import fold
from segments.rules.operands import (
    MAX_TEXT,
    Moment,
    Operand,
    Pattern,
    Scalar,
    number_in_range,
    plain,
    read_moment,
    read_number,
    read_text,
)

Comparable: TypeAlias = str | Decimal | bool | datetime | frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """A trait of a person as it is stored: one field per kind it could be read as, the rest None.

    The fields don't exclude each other: "2024-01-01" is a text and a moment. `items` are folded.
    """

    number: Decimal | None = None
    text: str | None = None
    text_folded: str | None = None
    moment: datetime | None = None
    boolean: bool | None = None
    items: tuple[str, ...] | None = None


class Kind(ABC):
    """One way to read values."""

    name: ClassVar[str]
    noun: ClassVar[str]
    column: ClassVar[str]
    in_properties: ClassVar[bool] = True
    schema: ClassVar[Mapping[str, object]]

    @abstractmethod
    def read(self, raw: object) -> Scalar:
        """The operand that a JSON value stands for; raises Unreadable."""

    @abstractmethod
    def of_trait(self, value: Value) -> Comparable | None:
        """What a trait is when read as this kind; None when it can't be."""

    def of_property(self, raw: object) -> Comparable | None:
        """What an event property is when read as this kind; None when it can't be."""
        return None

    def trait_sql(self, table: str) -> exp.Expr:
        return exp.column(self.column, table)

    def property_sql(self, properties: exp.Expr, name: exp.Expr) -> exp.Expr:
        raise NotImplementedError(f"{self.name} is not read from event properties")

    def as_stored(self, operand: Operand) -> Operand:
        """The operand in the form in which traits are stored."""
        return operand

    def say(self, item: Scalar) -> str:
        return str(item)


class Text(Kind):
    """Text. Traits are compared folded (case and accents removed), event properties byte by byte."""

    name, noun, column = "text", "text", "text_folded"
    schema = {"type": "string", "maxLength": MAX_TEXT}

    def read(self, raw: object) -> Scalar:
        return read_text(raw)

    def of_trait(self, value: Value) -> Comparable | None:
        return value.text_folded

    def of_property(self, raw: object) -> Comparable | None:
        return raw if isinstance(raw, str) else None

    def property_sql(self, properties: exp.Expr, name: exp.Expr) -> exp.Expr:
        return dialects.PropertyText(this=properties, name=name)

    def as_stored(self, operand: Operand) -> Operand:
        match operand:
            case str():
                return fold(operand)
            case Pattern():
                return replace(operand, folded=True)
            case tuple():
                return tuple(sorted({fold(item) for item in operand if isinstance(item, str)}))
            case _:
                return operand

    def say(self, item: Scalar) -> str:
        return f'"{item}"'


class ExactText(Text):
    """Text of a trait that is compared letter for letter."""

    name, noun, column, in_properties = "exact", "text", "text", False

    def of_trait(self, value: Value) -> Comparable | None:
        return value.text

    def as_stored(self, operand: Operand) -> Operand:
        return (
            tuple(sorted({item for item in operand if isinstance(item, str)}))
            if isinstance(operand, tuple)
            else operand
        )

    def say(self, item: Scalar) -> str:
        return f'exactly "{item}"'


class Number(Kind):
    """A number that fits `numeric(19,4)`. A boolean is not a number, nor is text that looks like one."""

    name, noun, column = "number", "a number", "number"
    schema = {"type": "number", "exclusiveMinimum": -(10**15), "exclusiveMaximum": 10**15}

    def read(self, raw: object) -> Scalar:
        return read_number(raw)

    def of_trait(self, value: Value) -> Comparable | None:
        return value.number

    def of_property(self, raw: object) -> Comparable | None:
        return number_in_range(raw)

    def property_sql(self, properties: exp.Expr, name: exp.Expr) -> exp.Expr:
        return dialects.PropertyNumber(this=properties, name=name)

    def say(self, item: Scalar) -> str:
        return plain(item) if isinstance(item, Decimal) else str(item)


class Boolean(Kind):
    """True or false, as JSON has them."""

    name, noun, column = "boolean", "true or false", "boolean"
    schema = {"type": "boolean"}

    def read(self, raw: object) -> Scalar:
        if not isinstance(raw, bool):
            raise TypeError("the caller looks at the JSON type first")
        return raw

    def of_trait(self, value: Value) -> Comparable | None:
        return value.boolean

    def of_property(self, raw: object) -> Comparable | None:
        return raw if isinstance(raw, bool) else None

    def property_sql(self, properties: exp.Expr, name: exp.Expr) -> exp.Expr:
        return dialects.PropertyBoolean(this=properties, name=name)

    def say(self, item: Scalar) -> str:
        return "true" if item else "false"


class Date(Kind):
    """A moment in time, compared with a day or an instant. Event properties have no dates, only text."""

    name, noun, column, in_properties = "date", "a date", "moment", False
    schema = {
        "type": "string",
        "pattern": r"^\d{4}-\d{2}-\d{2}([Tt]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2}))?$",
    }

    def read(self, raw: object) -> Scalar:
        return read_moment(raw)

    def of_trait(self, value: Value) -> Comparable | None:
        return value.moment

    def say(self, item: Scalar) -> str:
        return item.text if isinstance(item, Moment) else str(item)


class Items(Kind):
    """The items of a list, folded, without order or repetition."""

    name, noun, column, in_properties = "list", "a list", "items", False
    schema = Text.schema

    def read(self, raw: object) -> Scalar:
        return read_text(raw)

    def of_trait(self, value: Value) -> Comparable | None:
        return None if value.items is None else frozenset(value.items)

    def as_stored(self, operand: Operand) -> Operand:
        return TEXT.as_stored(operand)

    def say(self, item: Scalar) -> str:
        return f'"{item}"'


class Presence(Kind):
    """Whether there is a value at all, of whatever type. JSON null is no value."""

    name, noun = "presence", "anything"
    schema: ClassVar[Mapping[str, object]] = {}

    def read(self, raw: object) -> Scalar:
        raise TypeError("presence has no operand")

    def trait_sql(self, table: str) -> exp.Expr:
        return exp.true()  # a row stands for a value

    def of_trait(self, value: Value) -> Comparable | None:
        return True

    def of_property(self, raw: object) -> Comparable | None:
        return None if raw is None else True

    def property_sql(self, properties: exp.Expr, name: exp.Expr) -> exp.Expr:
        return dialects.PropertyExists(this=properties, name=name)


TEXT: Final = Text()
EXACT: Final = ExactText()
NUMBER: Final = Number()
BOOLEAN: Final = Boolean()
DATE: Final = Date()
ITEMS: Final = Items()
PRESENCE: Final = Presence()

SCALARS: Final = (TEXT, NUMBER, BOOLEAN)
"""The kinds that one value of an event property has at most one of."""

KIND_OF_TYPE: Final[Mapping[Type, Kind]] = {
    Type.TEXT: TEXT,
    Type.NUMBER: NUMBER,
    Type.BOOLEAN: BOOLEAN,
    Type.DATE: DATE,
    Type.LIST: ITEMS,
    Type.COUNTRY: TEXT,
    Type.CURRENCY: TEXT,
    Type.EMAIL: TEXT,
    Type.PHONE: TEXT,
}


def json_type_fits(kind: Kind, raw: object) -> bool:
    """Whether a JSON value is of the type in which the kind is written; its limits are checked by `read`."""
    match kind:
        case Boolean():
            return isinstance(raw, bool)
        case Number():
            return isinstance(raw, int | float | Decimal) and not isinstance(raw, bool)
        case Text() | Date() | Items():
            return isinstance(raw, str)
        case _:
            return False
