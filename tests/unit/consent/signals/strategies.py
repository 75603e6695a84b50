"""Hypothesis strategies: for each kind of field, any value it can have; so for each table, any segment."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from consent.signals.fields import (
    CustomPurposeFields,
    CustomPurposes,
    FibonacciRange,
    Flag,
    IntRange,
    Kind,
    Letters,
    Moment,
    Number,
    Numbered,
    Numbers,
    Optimized,
    Restriction,
    Restrictions,
    RestrictionType,
)
from consent.signals.ids import Ids
from consent.signals.segments import Segment, Values

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@st.composite
def ranges(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """Up to six groups or single ids in ascending order, with gaps between them of any size."""
    found: list[tuple[int, int]] = []
    before = 0
    for _ in range(draw(st.integers(0, 6))):
        first = before + draw(st.integers(1, 400))
        before = first + draw(st.sampled_from([0, 0, 1, 7, 5_000]))
        found.append((first, before))
    return tuple(found)


@st.composite
def optimized(draw: st.DrawFn) -> Ids:
    found = draw(ranges())
    highest = (found[-1][1] if found else 0) + draw(st.sampled_from([0, 0, 3]))
    if draw(st.booleans()) and highest < 2_000:
        # Neighbouring ranges are one run of bits.
        ids = sorted({number for first, last in found for number in range(first, last + 1)})
        runs: list[tuple[int, int]] = []
        for number in ids:
            if runs and runs[-1][1] == number - 1:
                runs[-1] = (runs[-1][0], number)
            else:
                runs.append((number, number))
        return Ids(tuple(runs), highest, as_bits=True)
    return Ids(found, highest, as_bits=False)


def values_of(kind: Kind[Any]) -> st.SearchStrategy[Any]:
    match kind:
        case Number(width, least, most):
            return st.integers(least, (1 << width) - 1 if most is None else most)
        case Flag():
            return st.booleans()
        case Letters(count):
            return st.text(_LETTERS, min_size=count, max_size=count)
        case Moment():
            begin = datetime(1970, 1, 1, tzinfo=UTC)
            return st.integers(0, (1 << 36) - 1).map(lambda tenths: begin + tenths * timedelta(milliseconds=100))
        case Numbered(count):
            return st.frozensets(st.integers(1, count)) if count else st.just(frozenset())
        case Numbers(count, each):
            return st.tuples(*[values_of(each)] * count)
        case FibonacciRange() | IntRange():
            return ranges().map(lambda found: Ids(found, None, as_bits=False))
        case Optimized():
            return optimized()
        case Restrictions(vendors):
            one = st.builds(Restriction, st.integers(1, 24), st.sampled_from(RestrictionType), values_of(vendors))
            return st.lists(one, max_size=4).map(tuple)
        case CustomPurposeFields():
            return st.integers(0, 63).flatmap(
                lambda count: st.builds(
                    CustomPurposes, st.just(count), values_of(Numbered(count)), values_of(Numbered(count))
                )
            )
    raise AssertionError(f"no strategy for {kind}")


def segments(segment: Segment) -> st.SearchStrategy[Values]:
    return st.fixed_dictionaries({field.name: values_of(field.kind) for field in segment.fields}).map(Values)
