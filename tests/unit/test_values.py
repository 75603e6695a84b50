"""How raw JSON values are read as number, text, moment, yes/no and list."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.profiles.values import NOTHING, as_moment, as_number, fold, type_of, typed


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (0, "0"),
        (12, "12"),
        (-3.5, "-3.5"),
        (0.1, "0.1"),  # as its sender wrote it, not 0.1000000000000000055
        (0.00005, "0.0001"),  # half away from zero, as PostgreSQL rounds
        (-0.00005, "-0.0001"),
        (0.00004, "0"),
        (1e-300, "0"),
        (999_999_999_999_999, "999999999999999"),
        (999_999_999_999_999.9, "999999999999999.9"),
        (10**15, None),
        (-(10**15), None),
        (Decimal("999999999999999.99999"), None),  # rounding would carry it over the edge
        (10**400, None),
        (1e308, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),  # yes is not one
        ("12", None),  # a text is not a number
        (None, None),
        ([1], None),
    ],
)
def test_numbers_are_exact_to_four_places_or_none(raw: object, number: str | None) -> None:
    assert as_number(raw) == (None if number is None else Decimal(number))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2024-02-29T12:30", datetime(2024, 2, 29, 12, 30, tzinfo=UTC)),
        ("2024-02-29 12:30:15", datetime(2024, 2, 29, 12, 30, 15, tzinfo=UTC)),
        ("2024-02-29T12:30:15.250Z", datetime(2024, 2, 29, 12, 30, 15, 250_000, tzinfo=UTC)),
        ("2024-02-29T12:30:15+05:30", datetime(2024, 2, 29, 7, 0, 15, tzinfo=UTC)),
        ("2023-02-29", None),
        ("2024-13-01", None),
        ("20240229", None),  # a number to most people who write it
        ("2024-W09-4", None),
        ("29.02.2024", None),
        ("0001-01-01", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-12:00", None),
        ("٢٠٢٤-02-29", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_only_iso_8601_is_a_moment(text: str, moment: datetime | None) -> None:
    assert as_moment(text) == moment


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zürich", "zurich"),
        ("ÉCOLE", "ecole"),
        ("Straße", "STRASSE"),
        ("İstanbul", "istanbul"),
        ("ﬁne", "FINE"),
        ("Ａ１", "a1"),
        ("Ångström", "angstrom"),
    ],
)
def test_folded_texts_are_alike_whatever_their_case_and_accents(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_one_value_is_read_in_every_type_it_fits() -> None:
    reading = typed("2024-01-01")
    assert (reading.text, reading.moment) == ("2024-01-01", datetime(2024, 1, 1, tzinfo=UTC))
    assert typed(True).boolean is True and typed(True).number is None
    assert typed(5).number == 5 and typed(5).boolean is None
    assert typed(["Vip", "VIP", "New"]).items == ("vip", "new")


@pytest.mark.parametrize(
    "raw", [{"nested": 1}, [1, 2], ["a", None], [["a"]], "x" * 513, "ﷺ" * 512, ["ﷺ" * 512], ["a"] * 1001, 10**20]
)
def test_what_no_rule_can_compare_has_no_reading(raw: object) -> None:
    assert typed(raw) == NOTHING


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (True, "boolean"),
        (1, "number"),
        (1.5, "number"),
        (10**30, "number"),
        ("2024-01-01", "date"),
        ("hello", "text"),
        (["a"], "list"),
        ([1], "list"),
        ({"a": 1}, "text"),
    ],
)
def test_a_trait_first_seen_gets_the_type_of_its_value(raw: object, kind: str) -> None:
    assert type_of(raw) == kind
