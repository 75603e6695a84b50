"""Whatever is sent as a signal is read or refused by the one error there is, in bounded time, and grants nothing by accident."""

import contextlib
import random
import string
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.signals import canada, gpc, gpp, tcf, us
from consent.signals.errors import Flaw, SignalError
from consent.signals.fields import Restriction, RestrictionType
from consent.signals.ids import Ids
from consent.signals.meaning import Stance, of_gpp, of_tcf
from consent.signals.us_tables import US_TABLES
from tests.unit.consent.signals.us_references import EVERY_SECTION
from tests.unit.consent.signals.writing import CORE, NOW, gpp_string, ids, tc_string, text_of, us_section

# Of this thread's own work, as a machine may be busy with other things: far more than any of these takes (a millisecond
# or two), and far less than what grows with the square of the length would.
SECONDS = 5.0

READERS: dict[str, Callable[[object], object]] = {
    "tcf.decode": tcf.decode,
    "tcf.read": lambda text: tcf.read(text, as_of=NOW),
    "canada.read": lambda text: canada.read(text, as_of=NOW),
    "gpp.read": lambda text: gpp.read(text, as_of=NOW),
    "us_privacy": lambda text: us.decode_us_privacy(text) if isinstance(text, str) else None,
    "us.decode_section": lambda text: us.decode_section(8, text) if isinstance(text, str) else None,
}

GRANTS = tc_string(PurposesConsent=frozenset(range(1, 12)), VendorConsent=ids(1, 2, 900), disclosed=ids(1, 2, 900))
CANADIAN = "BPSG_8APSG_8AAyACAENGdCgf_gfgAfgfgBhADVqxGAD0AILVgAA.fHHHA4444ao.IAGO5w"
VALID = [GRANTS, CANADIAN, EVERY_SECTION, gpp_string({2: GRANTS, 8: us_section(8, gpc=True, SaleOptOut=1)}), "1YNN"]


def corpus() -> Iterator[tuple[str, object]]:
    """Some hundreds of texts, each with what was done to it; the same in each run."""
    chance = random.Random(20261120)
    for text in VALID:
        for _ in range(60):
            at = chance.randrange(len(text))
            yield "truncated", text[:at]
            yield "flipped", text[:at] + chance.choice(string.ascii_letters + "-_") + text[at + 1 :]
            yield "inserted", text[:at] + chance.choice("=+/ .~\n\0%éС１😀\ud800") + text[at:]
        for _ in range(10):
            at, to = sorted(chance.randrange(len(text)) for _ in range(2))
            yield "cut out", text[:at] + text[to:]
            yield "twice", text[:to] + text[at:]
    for character in ["A", "C", "D", "-", "_", ".", "~", "\0", "é", "DBAA~", "C."]:
        for length in (1, 7, 43, 44, 45, 500, 5_000, 8_192, 16_384, 200_000):
            yield "one character", (character * length)[:length]
    for _ in range(100):
        length = chance.randrange(1, 3_000)
        yield "chance", "C" + "".join(chance.choices(string.ascii_letters + string.digits + "-_", k=length))
        yield "chance", "DBA" + "".join(chance.choices(string.ascii_letters + string.digits + "-_.~", k=length))
    for value in (None, b"CAAA", 0, 3.14, [], {}, object(), True):
        yield "no text", value
    # A string within a section within a string; headers that promise what doesn't come; codes that never end.
    nested = GRANTS
    for _ in range(30):
        nested = gpp_string({2: nested})
        yield "nested", nested
    for count in (1, 2, 4_095):
        yield "huge Fibonacci", text_of("000011000001" + format(count, "012b") + "1" + "01" * 4_000 + "11")
        yield "huge Fibonacci", text_of("000011000001" + format(count, "012b") + "0" * 8_000)
        yield "huge Fibonacci", text_of("000011000001" + format(count, "012b") + "1" * 8_000)


CORPUS = list(corpus())


def test_the_corpus_is_of_every_kind_and_large() -> None:
    assert len(CORPUS) > 500
    assert {kind for kind, _ in CORPUS} == {
        "truncated", "flipped", "inserted", "cut out", "twice", "one character", "chance", "no text", "nested",
        "huge Fibonacci",
    }  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_only_our_error_comes_and_soon(reader: str) -> None:
    read = READERS[reader]
    refusals: list[SignalError] = []
    for kind, text in CORPUS:
        began = time.thread_time()
        try:
            read(text)
        except SignalError as error:
            refusals.append(error)
        assert time.thread_time() - began < SECONDS, kind
    assert len(refusals) > len(CORPUS) / 2
    assert {error.code for error in refusals} <= set(Flaw)
    assert max(len(str(error)) for error in refusals) < 300  # nothing of a long text is repeated


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.text(string.ascii_letters + string.digits + "-_.~", max_size=400)))
def test_no_text_breaks_a_reader(text: str) -> None:
    for read in READERS.values():
        with contextlib.suppress(SignalError):
            read(text)
    assert gpc.read(text).opts_out is (text == "1")


@pytest.mark.parametrize("end", range(len(GRANTS)))
def test_a_truncated_string_grants_nothing(end: int) -> None:
    text = GRANTS[:end]
    try:
        tc = tcf.read(text, as_of=NOW)
    except SignalError:
        return
    assert Stance.GRANTED not in of_tcf(tc).stances.values()


def test_what_is_no_string_grants_nothing() -> None:
    """Only strings that differ from a valid one in an unimportant place, such as its CMP, may grant what that one does."""
    for kind, text in CORPUS:
        if kind in {"flipped", "twice", "cut out", "nested"}:
            continue
        for meaning in (
            lambda text=text: of_tcf(tcf.read(text, as_of=NOW)),
            lambda text=text: of_gpp(gpp.read(text, as_of=NOW)),
        ):
            try:
                stances = meaning().stances
            except SignalError:
                continue
            if kind == "truncated" and isinstance(text, str) and GRANTS in text:
                continue  # what is left of it is the whole of its section 2
            assert Stance.GRANTED not in stances.values(), kind


def test_a_set_of_all_vendors_over_and_over_costs_no_memory() -> None:
    everybody = Ids(((1, 65_535),), None, as_bits=False)
    restrictions = tuple(Restriction(2, RestrictionType.NOT_ALLOWED, everybody) for _ in range(800))
    text = tc_string(PubRestrictions=restrictions)
    began = time.thread_time()
    tc = tcf.read(text, as_of=NOW)
    assert tc.restrictions_for(2, 65_535) == {RestrictionType.NOT_ALLOWED}
    assert time.thread_time() - began < SECONDS


def test_the_most_of_everything_is_read_in_time() -> None:
    every_other = Ids(tuple((number, number) for number in range(1, 20_001, 2)), 20_000, as_bits=True)
    text = tc_string(**CORE | {"VendorConsent": every_other, "VendorLegitimateInterest": every_other})
    assert 6_000 < len(text) <= tcf.LONGEST
    began = time.thread_time()
    assert len(tcf.read(text, as_of=NOW).vendors_consent) == 10_000
    assert time.thread_time() - began < SECONDS


def test_every_american_section_refuses_what_is_made_for_another() -> None:
    texts = {id: us_section(id, version=max(table.layouts)) for id, table in US_TABLES.items()}
    for id, text in texts.items():
        assert us.decode_section(id, text).id == id
        with pytest.raises(SignalError):
            us.decode_section(id, "D" + text[1:])
