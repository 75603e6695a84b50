"""What somebody types finds the field they mean, and the letters that fit are told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.fields.matching import Fit, match, parts


def fit(text: str, label: str, key: str = "k", category: str = "") -> tuple[Fit, str] | None:
    """How it fits, and the label with what was matched in brackets."""
    found = match(text, label=label, key=key, category=category)
    return found and (found.fit, "".join(f"[{part}]" if hit else part for part, hit in parts(label, found.label)))


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        ("ord", "Order Completed", (Fit.BEGINNING, "[Ord]er Completed")),
        ("ORDER completed", "Order Completed", (Fit.WHOLE, "[Order Completed]")),
        ("ord", "Average order value", (Fit.WORDS, "Average [ord]er value")),
        ("val ord", "Average order value", (Fit.WORDS, "Average [ord]er [val]ue")),
        ("rder", "Average order value", (Fit.WITHIN, "Average o[rder] value")),
        ("aov", "Average order value", (Fit.LETTERS, "[A]verage [o]rder [v]alue")),
        ("cafe", "Café visits", (Fit.BEGINNING, "[Café] visits")),
        ("strasse", "Straße", (Fit.WHOLE, "[Straße]")),
        ("avorval", "Average order value", (Fit.LETTERS, "[Av]erage [or]der [val]ue")),
        ("zebra", "Average order value", None),
        ("ord", "Session Started", None),
        ("q", "Average order value", None),
        ("", "Anything", (Fit.BEGINNING, "Anything")),
    ],
)
def test_what_fits_and_where(text: str, label: str, expected: tuple[Fit, str] | None) -> None:
    assert fit(text, label) == expected


def test_a_key_and_a_category_are_found_too_but_later() -> None:
    by_key = match("ltv", label="Lifetime value", key="ltv_usd")
    assert by_key is not None and (by_key.fit, by_key.label, by_key.key) == (Fit.KEY_BEGINNING, (), ((0, 3),))
    assert fit("techno", "Browser", category="Technographic") == (Fit.CATEGORY, "Browser")
    order = [
        Fit.WHOLE,
        Fit.BEGINNING,
        Fit.WORDS,
        Fit.WITHIN,
        Fit.KEY_BEGINNING,
        Fit.KEY_WITHIN,
        Fit.CATEGORY,
        Fit.LETTERS,
    ]
    assert order == sorted(Fit)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_whatever_is_typed_the_pieces_make_up_the_label(text: str, label: str) -> None:
    found = match(text, label=label, key=label)
    if found is not None:
        assert "".join(part for part, _ in parts(label, found.label)) == label
        assert all(0 <= start < end <= len(label) for start, end in found.label)


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=30))
def test_a_label_is_found_by_itself(label: str) -> None:
    assert match(label, label=label, key="") is not None
