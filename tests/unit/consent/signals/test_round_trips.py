"""Whatever a table can say is read as it was written, and written as it was read, however the writer fills up the end."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.signals import tables, tcf
from consent.signals.bits import BitReader, fibonacci_bits, padded_length, to_bits, to_text
from consent.signals.errors import SignalError
from consent.signals.segments import Segment
from consent.signals.us_tables import US_TABLES
from tests.unit.consent.signals.strategies import segments
from tests.unit.consent.signals.writing import NOW

EXAMPLES = 40


def all_segments() -> Iterator[tuple[str, Segment]]:
    yield "tcfeu core", tables.EU_CORE
    for number, segment in tables.EU_SEGMENTS.items():
        yield f"tcfeu {number}", segment
    for place, segment in enumerate(tables.CA_CORE):
        yield f"tcfca core {place}", segment
    for number, layouts in tables.CA_SEGMENTS.items():
        for place, segment in enumerate(layouts):
            yield f"tcfca {number} {place}", segment
    yield "gpp header", tables.GPP_HEADER
    for table in US_TABLES.values():
        for version, layouts in table.layouts.items():
            for place, segment in enumerate(layouts):
                yield f"{table.prefix} {version} {place}", segment
        for part in table.parts:
            yield f"{table.prefix} {part.name}", part


SEGMENTS = dict(all_segments())


@pytest.mark.parametrize("name", SEGMENTS)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_segments_are_read_as_they_were_written(name: str, data: st.DataObject) -> None:
    segment = SEGMENTS[name]
    values = data.draw(segments(segment))
    for unit in segment.units:
        text = segment.write(values, unit)
        read = segment.read(text)
        assert read == values
        assert segment.write(read, unit) == text


@settings(max_examples=4 * EXAMPLES, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_is_another_value_or_an_error(data: st.DataObject) -> None:
    """No two strings of one length say the same; so none can be changed without its being seen."""
    segment = SEGMENTS[data.draw(st.sampled_from(sorted(SEGMENTS)))]
    values = data.draw(segments(segment))
    bits = to_bits(segment.write(values))
    at = data.draw(st.integers(0, len(bits) - 1))
    changed = to_text(bits[:at] + ("0" if bits[at] == "1" else "1") + bits[at + 1 :])
    try:
        read = segment.read(changed)
    except SignalError:
        return
    # Sets of vendors are alike also when they are written otherwise, so what is compared is what each would be written as.
    assert segment.write(read) != segment.write(values)


@settings(max_examples=4 * EXAMPLES, deadline=None)
@given(data=st.data())
def test_a_tc_string_that_is_read_is_within_the_rules(data: st.DataObject) -> None:
    core = data.draw(segments(tables.EU_CORE))
    disclosed = data.draw(segments(tables.EU_SEGMENTS[tables.DISCLOSED]))
    text = f"{tables.EU_CORE.write(core)}.{tables.EU_SEGMENTS[tables.DISCLOSED].write(disclosed)}"
    decoded = tcf.decode(text)
    assert decoded.disclosed_vendors == disclosed[tables.DISCLOSED_VENDORS]
    try:
        tc = tcf.read(text, as_of=NOW)
    except SignalError:
        assert (
            decoded.policy_version not in tcf.POLICY_VERSIONS
            or not decoded.is_service_specific
            or decoded.purposes_legitimate_interest & tcf.NO_LEGITIMATE_INTEREST
            or decoded.created > decoded.last_updated
            or not tcf.TCF_2_2_BEGINS <= decoded.last_updated <= NOW + timedelta(days=1)
        )
        return
    assert tc == decoded


@given(st.integers(1, 65_535))
def test_fibonacci_codes_are_read_as_they_were_written(number: int) -> None:
    code = fibonacci_bits(number)
    assert code.endswith("11") and "11" not in code[:-1]
    assert BitReader(code + "0101").fibonacci() == number


@given(st.text("01", max_size=200))
def test_characters_stand_for_bits_both_ways(bits: str) -> None:
    padded = bits.ljust(padded_length(len(bits)), "0")
    assert to_bits(to_text(padded)) == padded
