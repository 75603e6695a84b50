"""Settings of RFM while somebody writes them: steps on the table of groups."""

from django.http import QueryDict

from segments.rfm.drafting import Draft, Row

ROWS = [Row(name="A", r_low=5, r_high=5), Row(name="B", r_low=4), Row(name="C")]


def names(draft: Draft) -> str:
    return "".join(row.name for row in draft.rows)


def test_rows_are_moved_removed_and_added() -> None:
    draft = Draft(rows=ROWS)
    assert names(draft.after("up-1")) == "BAC"
    assert names(draft.after("down-0")) == "BAC"
    assert names(draft.after("move-0-2")) == "BCA"
    assert names(draft.after("remove-1")) == "AC"
    assert draft.after("add").rows[-1] == Row()


def test_a_step_that_leads_nowhere_changes_nothing() -> None:
    draft = Draft(rows=ROWS)
    for act in ("up-0", "down-2", "up-9", "remove-x", "move-0-99", "move--1", "", "dance", "up", "up-²"):
        assert names(draft.after(act)) == "ABC", act


def test_a_form_is_read_as_it_was_typed() -> None:
    sent = "window_days=3x&purpose=internal_analysis&frequency-how=fixed&frequency-cut-0=1&recency-share-3=80&monetary-weight=2"
    rows = "&name=Best&r_low=4&r_high=5&fm_low=9&fm_high=5&action=Thank&name=Rest&r_low=1&r_high=5&fm_low=1&fm_high=5&action="
    draft = Draft.of(QueryDict(sent + rows))
    assert draft.window_days == "3x" and draft.fixed == {"frequency"}
    assert draft.cuts["frequency"] == ["1", "", "", ""] and draft.shares["recency"][3] == "80"
    assert draft.weights["monetary"] == "2"
    assert draft.rows[0] == Row(name="Best", r_low=4, r_high=5, fm_low=1, fm_high=5, action="Thank")
    assert draft.group_of(5, 1) == 0 and draft.group_of(1, 1) == 1 and Draft(rows=ROWS[:2]).group_of(3, 3) is None
