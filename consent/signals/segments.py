"""Segments: fields in a row, packed into characters. One table serves both ways, and each reading is checked by writing.

What the fields are is in `tables`; several segments, joined by dots, make a TC string or a section of a GPP string.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from consent.signals.bits import BitReader, is_padded, padded_length, to_bits, to_text
from consent.signals.errors import Flaw, SignalError
from consent.signals.fields import Kind

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Field(Generic[T]):
    """A field under its name in the specification."""

    name: str
    kind: Kind[T]


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a segment, by field."""

    by_name: Mapping[str, object]

    def __getitem__(self, field: Field[T]) -> T:
        return cast(T, self.by_name[field.name])


@dataclass(frozen=True, slots=True)
class Segment:
    """Fields in their order, and how writers fill up the last characters.

    Args:
        name: for pointers.
        fields: from left to right.
        units: the widths to whose multiples writers pad with zeros before they pad to whole characters. () is always among
            them: whole characters alone. (8,) is a writer that goes by way of bytes, (24,) one of whole base64 groups.
    """

    name: str
    fields: tuple[Field[Any], ...]
    units: tuple[tuple[int, ...], ...] = ((), (8,))

    def read(self, text: str) -> Values:
        """The values that the text says.

        Raises:
            SignalError: it isn't what writing these values gives, to the last bit.
        """
        try:
            bits = to_bits(text)
        except SignalError as error:
            raise error.under(f"/{self.name}") from None
        reader = BitReader(bits)
        by_name: dict[str, object] = {}
        for field in self.fields:
            try:
                by_name[field.name] = field.kind.read(reader)
            except SignalError as error:
                raise error.under(f"/{self.name}/{field.name}") from None
        values = Values(by_name)
        written = self._bits(values)
        if not is_padded(bits, written, self._lengths(written)):
            raise SignalError(Flaw.NOT_CANONICAL, "the fields, written again, give other bits", f"/{self.name}")
        return values

    def write(self, values: Values, unit: tuple[int, ...] = ()) -> str:
        """The text that says these values."""
        bits = self._bits(values)
        return to_text(bits.ljust(padded_length(len(bits), *unit), "0"))

    def _bits(self, values: Values) -> str:
        return "".join([field.kind.write(values[field]) for field in self.fields])

    def _lengths(self, written: str) -> set[int]:
        return {padded_length(len(written), *unit) for unit in self.units}
