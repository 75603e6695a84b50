"""Settings of RFM while somebody writes them: steps on the table of groups, and what is told of what is typed."""

from dataclasses import replace
from decimal import Decimal

from django.http import QueryDict

from segments.analytics.rfm import Cutting, GroupRow
from segments.analytics.rfm_groups import DEFAULT_SCHEME
from segments.rfm.drafting import MOST_ROWS, Draft, amount, plain, whole

SAVED = Draft.from_scheme(DEFAULT_SCHEME, purpose="internal_analysis", is_nightly=True)
ABC = replace(SAVED, rows=[GroupRow(name=name, r_low=1, r_high=5, fm_low=1, fm_high=5) for name in "ABC"])


def names(draft: Draft) -> str:
    return "".join(row.name for row in draft.rows)


def pointers(draft: Draft) -> list[str]:
    return [one.pointer for one in draft.read()[1]]


def test_what_is_saved_is_shown_and_read_again_unchanged() -> None:
    assert SAVED.read() == (DEFAULT_SCHEME, [])
    fixed = replace(
        SAVED, fixed=frozenset({"frequency"}), values={**SAVED.values, "frequency": ["1", "2", "3", "1,000.50"]}
    )
    scheme, wrong = fixed.read()
    assert scheme is not None and not wrong
    assert scheme.frequency.how == Cutting.FIXED and scheme.frequency.values[-1] == Decimal("1000.5")
    again = Draft.from_scheme(scheme, purpose="x", is_nightly=False)
    assert again.values["frequency"] == ["1", "2", "3", "1000.5"] and again.read()[0] == scheme


def test_rows_are_moved_removed_and_added() -> None:
    assert names(ABC.after("up-1")) == "BAC"
    assert names(ABC.after("down-0")) == "BAC"
    assert names(ABC.after("remove-1")) == "AC"
    assert ABC.after("add").rows[-1].name == ""
    assert len(replace(ABC, rows=ABC.rows[:1] * MOST_ROWS).after("add").rows) == MOST_ROWS


def test_a_step_that_leads_nowhere_changes_nothing() -> None:
    for act in ("up-0", "down-2", "up-9", "remove-x", "", "dance", "up", "up-²"):
        assert names(ABC.after(act)) == "ABC", act


def test_a_form_is_read_as_it_was_typed() -> None:
    sent = "window_days=3x&purpose=internal_analysis&frequency-how=fixed&frequency-value-0=1&recency-percent-3=80&monetary-weight=2"
    row = "&name=Best+&r_low=4&r_high=5&fm_low=9&fm_high=5&description=Good&action=Thank"
    draft = Draft.of(QueryDict(sent + row))
    assert draft.window_days == "3x" and draft.fixed == {"frequency"} and not draft.is_nightly
    assert draft.values["frequency"] == ["1", "", "", ""] and draft.percents["recency"][3] == "80"
    assert draft.rows == [
        GroupRow(name="Best", r_low=4, r_high=5, fm_low=1, fm_high=5, description="Good", action="Thank")
    ]


def test_what_is_no_number_is_told_at_its_field_and_once() -> None:
    assert pointers(replace(SAVED, window_days="a year")) == ["/window_days"]
    assert pointers(replace(SAVED, weights={**SAVED.weights, "monetary": ""})) == ["/weights"]
    assert pointers(replace(SAVED, percents={**SAVED.percents, "recency": ["20", "x", "60", "80"]})) == ["/recency"]
    assert pointers(replace(SAVED, fixed=frozenset({"monetary"}))) == ["/monetary"]
    assert replace(SAVED, window_days="").read()[0] is None


def test_what_the_scheme_itself_forbids_is_told_too() -> None:
    assert pointers(replace(SAVED, rows=SAVED.rows[:-1])) == ["/groups"]
    assert "/groups/1" in pointers(ABC)
    assert pointers(replace(SAVED, percents={**SAVED.percents, "recency": ["20", "20", "60", "80"]})) == [
        "/recency/percents/1"
    ]


def test_numbers_are_read_as_people_type_them() -> None:
    assert [whole(text) for text in (" 365 ", "1,000", "-3", "²", "", "9" * 30)] == [365, 1000, None, None, None, None]
    assert [amount(text) for text in ("1,000.50", "-2", "NaN", "1e999999", "x", "")] == [
        Decimal("1000.50"), Decimal(-2), None, None, None, None,
    ]  # fmt: skip
    assert [plain(Decimal(text)) for text in ("10.00", "100", "0.50")] == ["10", "100", "0.5"]
