"""Sets of vendor ids as signals write them: as ranges, never expanded.

Seven characters can stand for 65,535 vendors, and a string has room for hundreds of such sets; so what is kept is as large
as what was sent. It is kept in the order and the form in which it was written, so that it can be written again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from consent.signals.bits import HIGHEST_ID
from consent.signals.errors import Flaw, SignalError


@dataclass(frozen=True, slots=True)
class Ids:
    """A set of positive numbers.

    Args:
        ranges: (first, last), both belonging to it, not overlapping, in the order in which they were written.
        highest: the highest id that the writer could have named (`MaxVendorId`); None where the format doesn't say it.
        as_bits: written as one bit per id, not as ranges.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    highest: int | None = field(default=0, compare=False)
    as_bits: bool = field(default=True, compare=False)

    def __post_init__(self) -> None:
        before = 0
        for first, last in sorted(self.ranges):
            if not before < first <= last <= HIGHEST_ID:
                raise SignalError(Flaw.VALUE_OUT_OF_RANGE, "ranges of ids overlap, run backwards or begin with 0")
            before = last
        if self.highest is not None and before > self.highest:
            raise SignalError(
                Flaw.VALUE_OUT_OF_RANGE, f"ids go up to the highest one named before, {self.highest}; received {before}"
            )

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and any(first <= number <= last for first, last in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges:
            yield from range(first, last + 1)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)
