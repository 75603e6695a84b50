"""Files that can't be right are refused, each error with its file and key; and no figure is ever filled in."""

import pytest

from consent.law import LawFileErrors
from consent.law.library import SHIPPED, assembled
from consent.law.reading import LARGEST_FILE, read
from tests.unit.consent.law.documents import WHOLE, together


def errors(text: str | bytes) -> list[str]:
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(LawFileErrors) as refused:
        read("ke.toml", raw)
    return [str(error) for error in refused.value.errors]


def test_the_whole_file_is_read() -> None:
    assert together(WHOLE).statutes["ke-dpa"].name == "Data Protection Act (Kenya)"


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('key = "ke-dpa"', "", "ke.toml: key: is a text; received nothing"),
        ('key = "ke-dpa"', 'key = "../../etc"', "ke.toml: key: is up to 40 small letters"),
        ('key = "ke-dpa"', "key = 7", "ke.toml: key: is a text; received the number 7"),
        ('name = "Data Protection Act (Kenya)"', 'name = ""', "ke.toml: name: is a text"),
        ('name = "Data Protection Act (Kenya)"', 'name = "a\\u0007b"', "ke.toml: name: is one line"),
        ('article = "s. 1"', "", "ke.toml: sources.act.article: is a text; received nothing"),
        ("https://example.org/act", "javascript:alert(1)", "ke.toml: sources.act.url: begins with https://"),
        ("https://example.org/act", "http://example.org", "ke.toml: sources.act.url: begins with https://"),
        ('places = ["KE"]', 'places = ["XX"]', 'ke.toml: applies[0].places: is a list of ISO 3166 codes; text "XX"'),
        ('places = ["KE"]', 'places = ["KE", "KE"]', "ke.toml: applies[0].places: names a place twice"),
        ('places = ["KE"]', 'places = "KE"', "ke.toml: applies[0].places: is a list of ISO 3166 codes; received text"),
        (
            'places = ["KE"]',
            "places = []",
            "ke.toml: applies[0].places: is a list of ISO 3166 codes; received an empty",
        ),
        ('places = ["KE"]\n', "", "ke.toml: applies[0].places: names the countries or regions"),
        ("from = 2019-11-25\n", "", "ke.toml: applies[0].from: says from which day"),
        ("from = 2019-11-25", 'from = "2019-11-25"', "ke.toml: applies[0].from: is a day"),
        ("from = 2019-11-25", "from = 2019-11-25T00:00:00Z", "ke.toml: applies[0].from: is a day"),
        ("from = 2019-11-25", "from = 2019-11-25\nuntil = 2019-11-25", "ke.toml: applies[0].until: 2019-11-25 is not"),
        ('model = "opt_out"', 'model = "opt-out"', "ke.toml: consent[0].model: is opt_out or opt_in; received text"),
        ('model = "opt_out"', 'modle = "opt_out"', "ke.toml: consent[0].model: is opt_out or opt_in; received nothing"),
        ('"sharing"]\nmodel', '"sharing", "sale"]\nmodel', "ke.toml: consent[0].for: names one twice"),
        ('"sharing"]\nmodel', '"profiling"]\nmodel', "ke.toml: consent[0].for: is a list of marketing_email"),
        ("honour = false", "honour = 0", "ke.toml: gpc[0].honour: is true or false; received the number 0"),
        ("honour = false", 'honour = "no"', "ke.toml: gpc[0].honour: is true or false"),
        ("years = 13", "years = true", "ke.toml: guardian[0].years: is a whole number from 1 to 25; received true"),
        ("years = 13", "years = 13.0", "ke.toml: guardian[0].years: is a whole number"),
        ("years = 13", "years = -1", "ke.toml: guardian[0].years: is a whole number"),
        ("years = 13", "years = " + "9" * 5_000, "ke.toml: is not TOML"),
        ("years = 13", f"years = 0x{'f' * 5_000}", "ke.toml: guardian[0].years: is a whole number"),
        ("years = 13", "years = nan", "ke.toml: guardian[0].years: is a whole number"),
        ("within = { days = 60 }\n", "", "ke.toml: right[0].within: is { months"),
        ("within = { days = 60 }", "within = 60", "ke.toml: right[0].within: is { months"),
        ("within = { days = 60 }", "within = { weeks = 9 }", "ke.toml: right[0].within: is { months"),
        ("within = { days = 60 }", "within = { days = 1, months = 1 }", "ke.toml: right[0].within: is { months"),
        ("within = { days = 60 }", "within = { days = 0 }", "ke.toml: right[0].within.days: is a whole number from 1"),
        (
            "within = { days = 60 }",
            "within = { days = 401 }",
            "ke.toml: right[0].within.days: is a whole number from 1",
        ),
        ("extension = { days = 30 }", 'extension = "long"', "ke.toml: right[0].extension: is { months"),
        ("given = false", "given = true", "ke.toml: right[1].given: is said of a right that the law does not give"),
        ("given = false", "given = false\nwithin = { days = 1 }", "ke.toml: right[1].within: is no key"),
        ('months = 0\nsource = "act"', "months = 0", "ke.toml: records[0].source: names a source"),
        ('months = 0\nsource = "act"', 'months = 0\nsource = "law"', "ke.toml: records[0].source: there is no source"),
        ('months = 0\nsource = "act"', "months = 0\nsource = []", "ke.toml: records[0].source: names a source"),
        ("months = 0", "months = 0\nconfirmed = false", "ke.toml: records[0].check: says what is to be looked up"),
        ("months = 0", 'months = 0\ncheck = "it"', "ke.toml: records[0].check: says what is to be looked up"),
        ("months = 0", 'months = 0\nconfirmed = "no"', "ke.toml: records[0].confirmed: is true or false"),
        ("months = 0", 'months = 0\nlaw_says = "soon"', "ke.toml: records[0].law_says: the number is ours"),
        ("[[records]]", "[[record]]", "ke.toml: record: is no key that is known here"),
        ("[[records]]", "[records]", "ke.toml: records: is a list of tables, [[records]]; received a table"),
        ("[sources.act]", "[sources]\nother = 1\n[sources.act]", "ke.toml: sources.other: is a table"),
        (
            "[sources.act]",
            '[sources.idle]\nlaw = "a"\narticle = "b"\nurl = "https://c"\n[sources.act]',
            "ke.toml: sources.idle: no figure names this source",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(old: str, new: str, place: str) -> None:
    assert old in WHOLE
    found = errors(WHOLE.replace(old, new, 1))
    assert any(error.startswith(place) for error in found), found


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\xff\xfe\x00k", "ke.toml: is not UTF-8 at byte 0"),
        (b'key = "a', "ke.toml: is not TOML"),
        (b'key = "a"\nkey = "b"', "ke.toml: is not TOML"),
        (b"a = " + b"[" * 100_000, "ke.toml: is nested too deep"),
        (b"#" * (LARGEST_FILE + 1), "ke.toml: a file may have 1,000,000 bytes"),
        (b"", "ke.toml: key: is a text; received nothing"),
        (b"sources = 3", "ke.toml: sources: is a table of sources"),
        (b"sources = [[]]", "ke.toml: sources: is a table of sources"),
        (b"applies = [1, 2]", "ke.toml: applies: is a list of tables"),
    ],
)
def test_what_is_no_file_of_laws_is_refused(raw: bytes, said: str) -> None:
    assert any(error.startswith(said) for error in errors(raw))


def test_all_errors_are_told_at_once_in_the_order_of_the_file() -> None:
    text = WHOLE.replace("years = 13", "years = 130").replace("honour = false", "honour = 1").replace("months = 0", "")
    assert [error.split(": ")[1] for error in errors(text)] == [
        "gpc[0].honour",
        "guardian[0].years",
        "records[0].months",
    ]


def test_what_is_quoted_of_a_file_is_short_and_printable() -> None:
    (found,) = errors(WHOLE.replace('"opt_out"', '"' + "\\u001b" * 50 + "x" * 500 + '"', 1))
    assert found.isprintable() and len(found) < 600


# ---- Files together --------------------------------------------------------------------------------------------


def refused_together(*texts: str) -> list[str]:
    with pytest.raises(LawFileErrors) as refused:
        together(*texts)
    return [str(error) for error in refused.value.errors]


def without(table: str) -> str:
    before, _, rest = WHOLE.partition(f"[[{table}]]")
    _, blank, after = rest.partition("\n\n")
    return before + blank + after


@pytest.mark.parametrize("table", ["consent", "gpc", "guardian", "adult", "minors_opt_in", "minors_forbidden", "right"])
def test_a_figure_that_is_left_out_is_an_error_and_no_default(table: str) -> None:
    found = refused_together(without(table))
    assert found and all(error.startswith(f"1.toml: {table}: nothing is said for {table} ") for error in found)
    assert all("in KE from 2019-11-25" in error for error in found)


def test_a_figure_that_ends_before_its_law_is_an_error() -> None:
    found = refused_together(WHOLE.replace("honour = false", "honour = false\nuntil = 2025-01-01"))
    assert found == ["1.toml: gpc: nothing is said for gpc in KE from 2025-01-01"]


def test_a_figure_for_one_region_only_leaves_the_others_without() -> None:
    text = WHOLE.replace('places = ["KE"]', 'places = ["CA"]').replace("years = 18", 'years = 18\nplaces = ["CA-ON"]')
    found = refused_together(text)
    assert len(found) == 12 and "1.toml: adult: nothing is said for adult in CA-QC from 2019-11-25" in found


def test_two_figures_for_one_day_are_an_error() -> None:
    twice = WHOLE + '\n[[gpc]]\nhonour = true\nfrom = 2024-01-01\nsource = "act"\n'
    assert refused_together(twice) == ["1.toml: gpc[1]: gpc in KE from 2024-01-01 is said already at gpc[0]"]


def test_two_laws_for_one_place_and_day_are_an_error() -> None:
    other = WHOLE.replace('"ke-dpa"', '"ke-new"').replace("2019-11-25", "2026-01-01")
    assert refused_together(WHOLE, other) == [
        "2.toml: applies[0]: KE has another law from 2026-01-01, at 1.toml: applies[0]"
    ]


def test_one_law_after_the_other_is_none() -> None:
    old = WHOLE.replace("from = 2019-11-25", "from = 2019-11-25\nuntil = 2026-01-01")
    new = WHOLE.replace('"ke-dpa"', '"ke-new"').replace("2019-11-25", "2026-01-01")
    assert set(together(old, new).statutes) == {"default", "ke-dpa", "ke-new"}


def test_two_files_with_one_key_are_an_error() -> None:
    assert refused_together(WHOLE, WHOLE.replace('"KE"', '"TZ"')) == [
        '2.toml: key: there is a law "ke-dpa" already, in 1.toml'
    ]


def test_amending_a_law_that_is_not_there_is_an_error() -> None:
    assert refused_together('amends = "ke-dpa"\n') == ['1.toml: amends: there is no law "ke-dpa" before it']


def test_a_law_that_applies_nowhere_is_an_error() -> None:
    assert "1.toml: applies: the law applies nowhere" in refused_together(without("applies"))


def test_without_a_default_nothing_is_answered() -> None:
    with pytest.raises(LawFileErrors, match='there is no law with the key "default"'):
        assembled([read("1.toml", WHOLE.encode())])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("honour = true", 'honour = true\nconfirmed = false\ncheck = "it"', "its figures are confirmed"),
        ("honour = true", 'honour = true\nplaces = ["KE"]', "the default says the same of all places"),
        ("honour = true", "honour = true\nuntil = 2030-01-01", "nothing is said for gpc in AD from 2030-01-01"),
        (
            "\n[[consent]]",
            '\n[[applies]]\nplaces = ["KE"]\nfrom = 2020-01-01\nsource = "crc_1"\n[[consent]]',
            "it names no places",
        ),
    ],
)
def test_the_default_is_whole_and_sure(old: str, new: str, said: str) -> None:
    text = (SHIPPED / "default.toml").read_text("utf-8").replace(old, new, 1)
    with pytest.raises(LawFileErrors, match=said):
        assembled([read("default.toml", text.encode())])
