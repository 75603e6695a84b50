"""The kinds of field that signals are made of: each is read and written here, and nowhere else.

Named as in the Global Privacy Platform's table of data types (Core/Consent String Specification, "Section Encoding");
the TCF uses the same ones. Which fields a signal has, and in which order, is in `tables`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Generic, TypeVar

from consent.signals.bits import HIGHEST_ID, BitReader, fibonacci_bits
from consent.signals.errors import Flaw, SignalError
from consent.signals.ids import Ids

T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TENTH = timedelta(milliseconds=100)


class Kind(ABC, Generic[T]):
    """How values of one type stand in bits. Whatever `read` accepts, `write` gives back, bit by bit."""

    @abstractmethod
    def read(self, bits: BitReader) -> T:
        """The next value.

        Raises:
            SignalError: the bits end within it, or stand for nothing of this kind.
        """

    @abstractmethod
    def write(self, value: T) -> str: ...


@dataclass(frozen=True, slots=True)
class Number(Kind[int]):
    """Int(x): a number of a fixed width, between bounds."""

    width: int
    least: int = 0
    most: int | None = None

    def read(self, bits: BitReader) -> int:
        return self._checked(bits.number(self.width))

    def write(self, value: int) -> str:
        return format(self._checked(value), f"0{self.width}b")

    def _checked(self, value: int) -> int:
        most = (1 << self.width) - 1 if self.most is None else self.most
        if not self.least <= value <= most:
            raise SignalError(Flaw.VALUE_OUT_OF_RANGE, f"{self.least} to {most} was expected; received {value}")
        return value


@dataclass(frozen=True, slots=True)
class Flag(Kind[bool]):
    """Boolean: one bit."""

    def read(self, bits: BitReader) -> bool:
        return bits.take(1) == "1"

    def write(self, value: bool) -> str:
        return "1" if value else "0"


@dataclass(frozen=True, slots=True)
class Letters(Kind[str]):
    """String(x) of capital letters, six bits each; for codes of languages and countries."""

    count: int

    def read(self, bits: BitReader) -> str:
        values = [bits.number(6) for _ in range(self.count)]
        if max(values) > 25:
            raise SignalError(Flaw.VALUE_OUT_OF_RANGE, "letters A to Z were expected")
        return "".join([chr(ord("A") + value) for value in values])

    def write(self, value: str) -> str:
        return "".join([format(ord(letter) - ord("A"), "06b") for letter in value])


@dataclass(frozen=True, slots=True)
class Moment(Kind[datetime]):
    """Datetime: tenths of a second since 1970, UTC, in 36 bits."""

    def read(self, bits: BitReader) -> datetime:
        # 36 bits reach to the year 2187, well within what a datetime can hold.
        return _EPOCH + bits.number(36) * _TENTH

    def write(self, value: datetime) -> str:
        return format((value - _EPOCH) // _TENTH, "036b")


@dataclass(frozen=True, slots=True)
class Numbered(Kind[frozenset[int]]):
    """Bitfield(x): the numbers, from 1 on, whose bit is set."""

    count: int

    def read(self, bits: BitReader) -> frozenset[int]:
        return frozenset(number for number, bit in enumerate(bits.take(self.count), start=1) if bit == "1")

    def write(self, value: frozenset[int]) -> str:
        return "".join(["1" if number in value else "0" for number in range(1, self.count + 1)])


@dataclass(frozen=True, slots=True)
class Numbers(Kind[tuple[int, ...]]):
    """N-Bitfield(x,y): y numbers of the same kind in a row."""

    count: int
    each: Number

    def read(self, bits: BitReader) -> tuple[int, ...]:
        return tuple([self.each.read(bits) for _ in range(self.count)])

    def write(self, value: tuple[int, ...]) -> str:
        assert len(value) == self.count, "as many numbers as the table says"
        return "".join([self.each.write(number) for number in value])


@dataclass(frozen=True, slots=True)
class IntRange(Kind[Ids]):
    """Range(Int): how many items, and each of them one id or the first and last of a group. In any order."""

    def read(self, bits: BitReader) -> Ids:
        ranges: list[tuple[int, int]] = []
        for _ in range(bits.number(12)):
            is_group = bits.take(1) == "1"
            first = bits.number(16)
            last = bits.number(16) if is_group else first
            if is_group and last == first:
                raise SignalError(Flaw.NOT_CANONICAL, "a group of one id is written as a single id")
            ranges.append((first, last))
        return Ids(tuple(ranges), highest=None, as_bits=False)

    def write(self, value: Ids) -> str:
        items = [format(len(value.ranges), "012b")]
        for first, last in value.ranges:
            items.append(f"0{first:016b}" if first == last else f"1{first:016b}{last:016b}")
        return "".join(items)


@dataclass(frozen=True, slots=True)
class FibonacciRange(Kind[Ids]):
    """Range(Fibonacci): the same in ascending order, told as distances from the id before."""

    def read(self, bits: BitReader) -> Ids:
        ranges: list[tuple[int, int]] = []
        before = 0
        for _ in range(bits.number(12)):
            is_group = bits.take(1) == "1"
            first = before + bits.fibonacci()
            before = first + bits.fibonacci() if is_group else first
            if before > HIGHEST_ID:
                raise SignalError(Flaw.VALUE_OUT_OF_RANGE, f"ids go up to {HIGHEST_ID}; received {before}")
            ranges.append((first, before))
        return Ids(tuple(ranges), highest=None, as_bits=False)

    def write(self, value: Ids) -> str:
        items = [format(len(value.ranges), "012b")]
        before = 0
        for first, last in value.ranges:
            items.append(("0" if first == last else "1") + fibonacci_bits(first - before))
            if last > first:
                items.append(fibonacci_bits(last - first))
            before = last
        return "".join(items)


@dataclass(frozen=True, slots=True)
class Optimized(Kind[Ids]):
    """OptimizedIntRange, OptimizedRange: the highest id; then ranges, or one bit for each id up to it."""

    ranges: Kind[Ids]

    def read(self, bits: BitReader) -> Ids:
        highest = bits.number(16)
        if bits.take(1) == "1":
            return Ids(self.ranges.read(bits).ranges, highest, as_bits=False)
        return Ids(_runs_of_ones(bits.take(highest)), highest, as_bits=True)

    def write(self, value: Ids) -> str:
        assert value.highest is not None, "this field names the highest id"
        begin = format(value.highest, "016b")
        return f"{begin}0{_one_bit_each(value)}" if value.as_bits else f"{begin}1{self.ranges.write(value)}"


class RestrictionType(IntEnum):
    """What a publisher lays down for a purpose, whatever the vendors have declared. 3 is not in use."""

    NOT_ALLOWED = 0
    REQUIRE_CONSENT = 1
    REQUIRE_LEGITIMATE_INTEREST = 2


@dataclass(frozen=True, slots=True)
class Restriction:
    purpose: int
    type: RestrictionType
    vendors: Ids


@dataclass(frozen=True, slots=True)
class Restrictions(Kind[tuple[Restriction, ...]]):
    """ArrayOfRanges(6,2): how many there are, and each of them a purpose, what is laid down for it, and for whom."""

    vendors: Kind[Ids]

    def read(self, bits: BitReader) -> tuple[Restriction, ...]:
        restrictions: list[Restriction] = []
        for _ in range(bits.number(12)):
            purpose = Number(6, least=1, most=24).read(bits)
            kind = RestrictionType(Number(2, most=2).read(bits))
            restrictions.append(Restriction(purpose, kind, self.vendors.read(bits)))
        return tuple(restrictions)

    def write(self, value: tuple[Restriction, ...]) -> str:
        items = [format(len(value), "012b")]
        items += [f"{one.purpose:06b}{one.type:02b}{self.vendors.write(one.vendors)}" for one in value]
        return "".join(items)


@dataclass(frozen=True, slots=True)
class CustomPurposes:
    """Purposes that a publisher made up: how many, and which of them have which basis."""

    count: int = 0
    consent: frozenset[int] = frozenset()
    other: frozenset[int] = frozenset()  # legitimate interest in the EU, implied consent in Canada


@dataclass(frozen=True, slots=True)
class CustomPurposeFields(Kind[CustomPurposes]):
    """NumCustomPurposes, and two bitfields of that length."""

    def read(self, bits: BitReader) -> CustomPurposes:
        count = bits.number(6)
        return CustomPurposes(count, Numbered(count).read(bits), Numbered(count).read(bits))

    def write(self, value: CustomPurposes) -> str:
        each = Numbered(value.count)
        return f"{value.count:06b}{each.write(value.consent)}{each.write(value.other)}"


def _runs_of_ones(bits: str) -> tuple[tuple[int, int], ...]:
    runs: list[tuple[int, int]] = []
    end = 0
    while (start := bits.find("1", end)) >= 0:
        end = bits.find("0", start)
        end = len(bits) if end < 0 else end
        runs.append((start + 1, end))
    return tuple(runs)


def _one_bit_each(value: Ids) -> str:
    pieces: list[str] = []
    before = 0
    for first, last in value.ranges:
        pieces.append("0" * (first - 1 - before) + "1" * (last - first + 1))
        before = last
    return "".join(pieces) + "0" * ((value.highest or 0) - before)
