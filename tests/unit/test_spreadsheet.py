"""Lists as CSV that are opened in a spreadsheet."""

import pytest

from cdp.spreadsheet import lines


@pytest.mark.parametrize("cell", ["=1+1", "+49 30", "-2", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_runs_as_a_formula(cell: str) -> None:
    [_, row] = list(lines(("a", "b"), [(cell, "plain")]))
    assert row.startswith(("'", "\"'")) and row.endswith(",plain\r\n")


def test_nor_does_a_heading_which_may_be_the_name_of_a_trait_that_anybody_sent() -> None:
    assert list(lines(("uuid", "=1+1"), [])) == ["uuid,'=1+1\r\n"]


def test_commas_quotes_and_breaks_stay_in_their_cell() -> None:
    assert list(lines(("a",), [('x, "y"\nz',)])) == ["a\r\n", '"x, ""y""\nz"\r\n']
