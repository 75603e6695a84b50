"""The operator's figures come before ours, only where they say so, and never in silence."""

from datetime import date
from pathlib import Path

import pytest

from consent.law import Capability, LawFileErrors, Model, Right, due, law_for, load
from tests.unit.consent.law.documents import WHOLE, folder

ON = date(2026, 6, 1)
SOURCE = """
[sources.counsel]
law = "Opinion of counsel"
article = "2.1"
url = "https://example.org/17"
"""


def test_one_figure_of_one_country(tmp_path: Path) -> None:
    text = f'amends = "gdpr"\n{SOURCE}\n[[guardian]]\nplaces = ["BG"]\nyears = 14\nsource = "counsel"\n'
    laws = load(folder(tmp_path, bulgaria=text))
    figure = law_for("BG", None, ON, laws=laws).guardian_below
    assert (figure.value, figure.confirmed, figure.overridden) == (14, True, True)
    assert figure.sources[0].law == "Opinion of counsel"
    others = law_for("DE", None, ON, laws=laws).guardian_below
    assert (others.value, others.overridden) == (16, False)


def test_a_figure_of_a_whole_law_comes_before_what_we_say_of_single_places(tmp_path: Path) -> None:
    text = f'amends = "gdpr"\n{SOURCE}\n[[guardian]]\nyears = 16\nsource = "counsel"\n'
    laws = load(folder(tmp_path, all=text))
    assert {law_for(country, None, ON, laws=laws).guardian_below.value for country in ("AT", "BE", "DE")} == {16}


def test_from_a_day_on(tmp_path: Path) -> None:
    text = (
        f'amends = "gdpr"\n{SOURCE}\n[[guardian]]\nplaces = ["ES"]\nfrom = 2026-09-01\nyears = 16\nsource = "counsel"\n'
    )
    laws = load(folder(tmp_path, spain=text))
    assert law_for("ES", None, date(2026, 8, 31), laws=laws).guardian_below.value == 14
    assert law_for("ES", None, date(2026, 9, 1), laws=laws).guardian_below.value == 16


def test_what_is_said_of_a_region_comes_before_what_is_said_of_its_country(tmp_path: Path) -> None:
    table = '[[adult]]\nplaces = ["{}"]\nyears = {}\nsource = "counsel"\n'
    text = f'amends = "ca-pipeda"\n{SOURCE}\n{table.format("CA", 20)}{table.format("CA-ON", 18)}'
    laws = load(folder(tmp_path, canada=text))
    found = {region: law_for("CA", region, ON, laws=laws).adult_from.value for region in ("CA-ON", "CA-BC", "CA-QC")}
    assert found == {"CA-ON": 18, "CA-BC": 20, "CA-QC": 18}  # Quebec's own law says so


def test_what_the_operator_has_not_confirmed_allows_no_more_either(tmp_path: Path) -> None:
    text = (
        f'amends = "br-lgpd"\n{SOURCE}\n[[consent]]\nfor = ["marketing_email"]\nmodel = "opt_out"\nsource = "counsel"\n'
        'confirmed = false\ncheck = "ask again"\n'
    )
    laws = load(folder(tmp_path, brazil=text))
    assert law_for("BR", None, ON, laws=laws).consent[Capability.MARKETING_EMAIL].value is Model.OPT_IN


def test_a_law_of_the_operator_s_own(tmp_path: Path) -> None:
    laws = load(folder(tmp_path, kenya=WHOLE))
    law = law_for("KE", None, ON, laws=laws)
    assert law.key == "ke-dpa" and law.consent[Capability.SALE].value is Model.OPT_OUT
    assert due(law, Right.ACCESS, ON) == date(2026, 7, 31)
    assert law_for("KE", None, ON).key == "default"


def test_a_later_folder_comes_before_an_earlier_one(tmp_path: Path) -> None:
    text = 'amends = "gdpr"\n{}\n[[adult]]\nyears = {}\nsource = "counsel"\n'
    first, second = (folder(tmp_path / str(years), it=text.format(SOURCE, years)) for years in (19, 20))
    assert law_for("DE", None, ON, laws=load(first, second)).adult_from.value == 20
    assert law_for("DE", None, ON, laws=load(second, first)).adult_from.value == 19


def test_errors_of_all_folders_are_told_at_once(tmp_path: Path) -> None:
    bad = folder(tmp_path, one='amends = "gdpr"\n[[gpc]]\nhonour = 1\nsource = "x"\n', two="key = 3")
    with pytest.raises(LawFileErrors) as refused:
        load(bad)
    assert {error.file for error in refused.value.errors} == {"one.toml", "two.toml"}


def test_an_empty_folder_changes_nothing(tmp_path: Path) -> None:
    assert law_for("DE", None, ON, laws=load(tmp_path)) == law_for("DE", None, ON)
