"""Lists as CSV that are opened in a spreadsheet."""

import pytest

from cdp.spreadsheet import lines


@pytest.mark.parametrize("cell", ["=1+1", "+49 30", "-2", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_runs_as_a_formula(cell: str) -> None:
    [_, row] = list(lines(("a", "b"), [(cell, "plain")]))
    assert row.startswith(("'", "\"'")) and row.endswith(",plain\r\n")


def test_commas_quotes_and_breaks_stay_in_their_cell() -> None:
    assert list(lines(("a",), [('x, "y"\nz',)])) == ["a\r\n", '"x, ""y""\nz"\r\n']
