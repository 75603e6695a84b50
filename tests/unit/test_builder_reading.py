"""What people type into the parts of a condition."""

import time
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.builder.phrases import Phrase, phrases
from segments.builder.reading import day, duration, mended, number, read, span, split
from segments.rules.parts import Input


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("500", 500), (" 500 ", 500), ("-3", -3), ("1.5", 1.5), (".5", 0.5), ("1,200", 1200), ("1,200.50", 1200.5),
        ("12'345", 12345), ("1 200", 1200), ("1.0", 1), ("0", 0),
        ("1.2k", None), ("1,20", None), ("abc", None), ("", None), ("1e5", None), ("nan", None), ("٣", None), ("1,2345", None),
    ],
)  # fmt: skip
def test_numbers_are_read_as_they_are_written(typed: str, value: Any) -> None:
    assert number(typed) == value
    assert type(number(typed)) is type(value)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("1.2k", 1200), ("1,2k", 1200), ("3M", 3_000_000), ("2 bn", 2_000_000_000), ("500 USD", 500), ("€ 1,200", 1200), ("$5", 5),
        ("1.200,50", 1200.5), ("12,5", 12.5), ("10%", 10), ("many", None), ("", None), (None, None), (5, None), ("k", None),
        ("1 2 3", None),
    ],
)  # fmt: skip
def test_what_was_meant_is_offered(typed: Any, meant: Any) -> None:
    assert mended(typed) == meant


def test_parts_are_read_by_what_they_ask_for() -> None:
    assert read("1,200", Input.NUMBER) == 1200
    assert read("1.2k", Input.NUMBER) == "1.2k", "it stays, so that its place can say what is wrong"
    assert read("  ", Input.NUMBER) is None
    assert read("42", Input.TEXT) == "42" and read("42", Input.TEXT, kind="number") == 42
    assert read("Shoes, Bags\nShoes", Input.LIST) == ["Shoes", "Bags"]
    assert read("1; 2", Input.LIST, kind="number") == [1, 2]
    assert read("2026-01-01", Input.MOMENT) == "2026-01-01"
    assert read("True", Input.TEXT, kind="boolean") is True and read("false", Input.LIST, kind="boolean") == [False]
    assert read("perhaps", Input.TEXT, kind="boolean") == "perhaps"
    assert read("on", Input.FLAG) is True and read("off", Input.FLAG) is None


def test_durations_keep_what_is_not_changed() -> None:
    assert duration({"days": 30}, amount="7") == {"days": 7}
    assert duration({"days": 30}, unit="weeks") == {"weeks": 30}
    assert duration({"days": 30, "ago": {"days": 1}}, unit="hours") == {"hours": 30}
    assert duration(None, amount="x") == {"days": "x"}
    assert duration({"days": 30}, amount="") == {"days": ""}
    assert duration({"days": 30}, unit="years") == {"days": 30}


FRIDAY = date(2026, 7, 31)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2026-01-05", "2026-01-05"), ("today", "2026-07-31"), (" Yesterday ", "2026-07-30"), ("tomorrow", "2026-08-01"),
        ("30 days ago", "2026-07-01"), ("1 day ago", "2026-07-30"), ("a week ago", "2026-07-24"), ("2 weeks ago", "2026-07-17"),
        ("in 3 days", "2026-08-03"), ("1 month ago", "2026-06-30"), ("5 months ago", "2026-02-28"), ("in 1 year", "2027-07-31"),
        ("start of this week", "2026-07-27"), ("start of last week", "2026-07-20"), ("start of this month", "2026-07-01"),
        ("beginning of the next month", "2026-08-01"), ("start of next month", "2026-08-01"), ("start of last month", "2026-06-01"),
        ("start of this quarter", "2026-07-01"), ("start of last quarter", "2026-04-01"), ("start of this year", "2026-01-01"),
        ("start of next year", "2027-01-01"),
        ("30 days", None), ("in 3 days ago", None), ("ago", None), ("soon", None), ("", None), ("2026-02-30", None), ("31/07/2026", None),
        ("99999 years ago", None), ("in 99999 years", None), ("٣ days ago", None),
    ],
)  # fmt: skip
def test_days_are_told_by_a_phrase(typed: str, meant: str | None) -> None:
    assert day(typed, FRIDAY) == (date.fromisoformat(meant) if meant else None)
    assert read(typed, Input.MOMENT, today=FRIDAY) == (meant or typed.strip() or None)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("last 30 days", ("within_last", 30, "days")), ("in the past 2 weeks", ("within_last", 2, "weeks")),
        ("next hour", ("within_next", 1, "hours")), ("Coming 5 minutes", ("within_next", 5, "minutes")),
        ("last 0 days", None), ("last 2 months", None), ("30 days", None), ("last", None),
    ],
)  # fmt: skip
def test_spans_that_move_on_are_told_apart_from_days(typed: str, meant: tuple[str, int, str] | None) -> None:
    assert span(typed) == meant and day(typed, FRIDAY) is None


def test_a_phrase_is_offered_as_the_day_it_is_and_beside_it_as_what_moves_on() -> None:
    fixed, moving = phrases("30 days ago", FRIDAY, may_move=True)
    assert fixed == Phrase(label="30 days ago", note="1 Jul 2026", value="2026-07-01")
    assert moving.label == "Within the last 30 days" and moving.note == "moves on with time"
    assert '"within_last"' in moving.vals and '"30"' in moving.vals
    assert phrases("30 days ago", FRIDAY, may_move=False) == [fixed]
    assert [one.label for one in phrases("in 1 week", FRIDAY, may_move=True)] == ["In 1 week", "Within the next 1 week"]
    both = phrases("5 days", FRIDAY, may_move=True)
    assert [one.label for one in both] == ["Within the last 5 days", "Within the next 5 days"]
    assert phrases("nonsense", FRIDAY, may_move=True) == []
    usual = phrases("", FRIDAY, may_move=True)
    assert [one.label for one in usual][:3] == ["Today", "Yesterday", "7 days ago"] and usual[
        -1
    ].label == "Within the next 7 days"


@given(st.text(max_size=60))
def test_whatever_is_typed_is_read_in_no_time(text: str) -> None:
    for asked in Input:
        read(text, asked)
        read(text, asked, kind="number")
        read(text, asked, kind="boolean", today=FRIDAY)
    mended(text), phrases(text, FRIDAY, may_move=True)
    assert all(one.strip() == one and one for one in split(text))


def test_long_texts_are_not_gone_through_again_and_again() -> None:
    began = time.thread_time()
    for text in ("1," * 50_000, "9" * 100_000, " " * 100_000, "$" * 100_000, "1.000" * 20_000):
        number(text), mended(text), split(text)
    assert time.thread_time() - began < 1
