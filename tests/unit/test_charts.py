"""Options of charts: what is drawn, in colours by role, told in words too, and as plain JSON."""

import json
import re
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from cdp import charts
from cdp.charts import Cell, Combination, Series, Unit, written

ROOT = Path(__file__).resolve().parents[2]
TOKENS = (ROOT / "cdp/static/cdp/css/tokens.css").read_text()
HOSTILE = "@chart-1<img src=x onerror=alert(1)>"


def every() -> dict[str, charts.Options]:
    """One of each kind."""
    series = [
        Series(name="One", values=[1, None, 3], low=[0, None, 2], high=[2, None, 4]),
        Series(name="Two", values=[2, 2, 2]),
    ]
    return {
        "over_time": charts.over_time(at=["2026-03-01", "2026-03-02", "2026-03-03"], series=series, about="So."),
        "came_and_went": charts.came_and_went(at=["2026-03-01"], came=[3], went=[2], about="So."),
        "bars": charts.bars(categories=["a", "b", "c"], series=series, about="So.", is_lying=True),
        "histogram": charts.histogram(edges=[0, 10, 20], counts=[4, 5], about="So.", marks=[("median", 12)]),
        "heat_map": charts.heat_map(rows=["r"], columns=["c"], cells=[[Cell(share=0.5, text="50%", said="half")]], about="So."),
        "upset": charts.upset(sets=["a", "b"], combinations=[Combination(sets=frozenset({0, 1}), count=7)], about="So."),
        "funnel": charts.funnel(steps=[("Came", 10), ("Bought", 4)], about="So."),
    }  # fmt: skip


def walk(value: Any, key: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for name, one in value.items() for pair in walk(one, name)]
    if isinstance(value, list):
        return [pair for one in value for pair in walk(one, key)]
    return [(key, value)]


@pytest.mark.parametrize("kind", every())
def test_options_are_json_say_what_they_show_and_never_speak_markup(kind: str) -> None:
    options = every()[kind]
    assert json.loads(json.dumps(options)) == options
    assert options["aria"] == {"enabled": True, "label": {"description": "So."}}
    assert options["tooltip"]["renderMode"] == "richText"


@pytest.mark.parametrize("kind", every())
def test_every_colour_is_a_token_that_there_is(kind: str) -> None:
    colours = [value for key, value in walk(every()[kind]) if key in {"color", "borderColor", "backgroundColor"}]
    assert colours
    for colour in colours:
        assert colour[0] == "@" and f"--{colour[1:]}: " in TOKENS, colour


@pytest.mark.parametrize("kind", every())
def test_every_format_is_one_that_the_browser_knows(kind: str) -> None:
    script = (ROOT / "cdp/static/cdp/js/charts.js").read_text()
    for name in [value for key, value in walk(every()[kind]) if key == "$format"]:
        assert f'"{name}"' in script or f"{name}:" in script, name


def test_a_line_is_interrupted_where_nothing_is_known_and_its_band_lies_about_it() -> None:
    low, high, one, two = every()["over_time"]["series"]
    assert one["data"] == [1, None, 3] and one["showSymbol"] is True, "a value alone is a dot"
    assert (low["data"], high["data"]) == ([0, None, 2], [2, None, 2]), "the upper line is told as the distance"
    assert low["stack"] == high["stack"] and two["showSymbol"] is False


def test_who_left_is_drawn_below_and_read_without_a_sign() -> None:
    options = every()["came_and_went"]
    assert [one["data"] for one in options["series"]] == [[3], [-2]]
    assert options["yAxis"]["axisLabel"]["formatter"] == {"$format": "count", "absolute": True}


def test_a_single_series_needs_no_legend() -> None:
    options = charts.over_time(at=["2026-03-01"], series=[Series(name="People", values=[1])], about="So.")
    assert "legend" not in options and "legend" in every()["over_time"]


def test_money_is_in_its_currency() -> None:
    options = charts.over_time(
        at=["a"], series=[Series(name="x", values=[Decimal("1.5")])], about="", unit=Unit.MONEY, currency="EUR", moments="text"
    )  # fmt: skip
    assert options["tooltip"]["formatter"] == {"$format": "axis", "moments": "text", "unit": "money", "currency": "EUR"}
    assert options["series"][0]["data"] == [1.5]


def test_a_mark_of_a_histogram_stands_at_its_bar() -> None:
    def places(*values: float) -> list[Any]:
        options = charts.histogram(
            edges=[0, 10, 20, 30], counts=[1, 2, 3], about="", marks=[("m", one) for one in values]
        )
        return [one["xAxis"] for one in options["series"][0].get("markLine", {"data": []})["data"]]

    assert places(0, 9.9, 10, 29, 30) == [0, 0, 1, 2, 2]
    assert places(-1, 31) == []
    assert charts.histogram(edges=[0, 10], counts=[1], about="")["xAxis"]["data"] == ["0 to 10"]


@pytest.mark.parametrize("edges", [[0, 1], [0, 1, 2, 3], [2, 1, 0]])
def test_edges_that_do_not_fit_are_refused(edges: list[float]) -> None:
    with pytest.raises(ValueError, match="one edge more"):
        charts.histogram(edges=edges, counts=[1, 2], about="")


def test_places_of_a_triangle_that_are_not_known_stay_empty_and_strong_ones_have_text_that_can_be_read() -> None:
    cell = [Cell(share=share, text="", said="") for share in (0.1, 0.4)]
    options = charts.heat_map(rows=["a", "b"], columns=["1", "2"], cells=[cell, [cell[0], None]], about="")
    assert [one["value"] for one in options["series"][0]["data"]] == [[0, 0, 0.1], [1, 0, 0.4], [0, 1, 0.1]]
    assert [one["label"]["color"] for one in options["series"][0]["data"]] == ["@on-heat-0", "@on-heat-1", "@on-heat-0"]
    assert options["visualMap"]["max"] == 0.4


def test_each_combination_has_a_bar_and_the_dots_of_its_sets() -> None:
    options = charts.upset(
        sets=["a", "b", "c"],
        combinations=[Combination(sets=frozenset({0, 2}), count=7), Combination(sets=frozenset({1}), count=3)],
        about="",
    )
    bars, joins, off, on = options["series"]
    assert [one["value"] for one in bars["data"]] == [7, 3]
    assert [one["said"] for one in bars["data"]] == ["a and c\n7 people", "b alone\n3 people"]
    assert sorted(one["value"] for one in on["data"]) == [[0, 0], [0, 2], [1, 1]]
    assert sorted(one["value"] for one in off["data"]) == [[0, 1], [1, 0], [1, 2]]
    assert joins["data"][:3] == [[0, 0], [0, 2], ["-", "-"]]


def test_steps_of_a_funnel_are_told_as_shares_of_the_first() -> None:
    (bar,) = every()["funnel"]["series"]
    assert [one["text"] for one in bar["data"]] == ["100.0%", "40.0%"]
    assert charts.funnel(steps=[("Came", 0)], about="")["series"][0]["data"][0]["text"] == ""


def test_names_stand_only_where_names_are_looked_at() -> None:
    """So that none is taken for a colour or a format, whatever somebody called their segment."""
    hostile = [Series(name=HOSTILE, values=[1])]
    for options in (
        charts.over_time(at=["2026-03-01"], series=[*hostile, *hostile], about=HOSTILE),
        charts.bars(categories=[HOSTILE], series=hostile, about=HOSTILE),
        charts.upset(sets=[HOSTILE], combinations=[Combination(sets=frozenset({0}), count=1)], about=HOSTILE),
    ):
        places = {key for key, value in walk(options) if isinstance(value, str) and HOSTILE in value}
        assert places <= {"name", "data", "said", "description"}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(None, Unit.COUNT, ""), (1234, Unit.COUNT, "1,234"), (0.1234, Unit.SHARE, "12.3%"), (1234.5, Unit.MONEY, "1,234.50 EUR"),
     (2.0, Unit.NUMBER, "2"), (0.256, Unit.NUMBER, "0.26"), (100.0, Unit.NUMBER, "100")],
)  # fmt: skip
def test_values_are_written_as_people_read_them(value: Any, unit: Unit, text: str) -> None:
    assert written(value, unit, "EUR" if unit is Unit.MONEY else "") == text


# ---- Colours ---------------------------------------------------------------------------------------------------------

# Machado, G., Oliveira, M. and Fernandes, L. (2009), A physiologically-based model for simulation of color vision deficiency,
# IEEE TVCG 15(6): who sees no red, no green, on linear RGB.
NO_RED = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
NO_GREEN = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
EVERYBODY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
Linear = tuple[float, float, float]


def token(name: str, *, dark: bool) -> Linear:
    light_dark = re.search(rf"--{name}: light-dark\((#\w+), (#\w+)\)", TOKENS)
    assert light_dark is not None, name
    text = light_dark[2 if dark else 1]
    parts = [int(text[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return red, green, blue


def seen(colour: Linear, eyes: tuple[Linear, ...]) -> Linear:
    red, green, blue = (min(1.0, max(0.0, sum(a * b for a, b in zip(row, colour, strict=True)))) for row in eyes)
    return red, green, blue


def lab(colour: Linear) -> Linear:
    """CIE L*a*b* under D65."""
    xyz = [
        sum(a * b for a, b in zip(row, colour, strict=True)) / white
        for row, white in (((0.4124, 0.3576, 0.1805), 0.9505), ((0.2126, 0.7152, 0.0722), 1.0), ((0.0193, 0.1192, 0.9505), 1.089))
    ]  # fmt: skip
    x, y, z = (one ** (1 / 3) if one > 0.008856 else 7.787 * one + 16 / 116 for one in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def contrast(one: Linear, other: Linear) -> float:
    def light(colour: Linear) -> float:
        return sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), colour, strict=True))

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", [EVERYBODY, NO_RED, NO_GREEN], ids=["everybody", "no red", "no green"])
def test_series_are_told_apart_by_whoever_sees_no_red_or_no_green(dark: bool, eyes: tuple[Linear, ...]) -> None:
    colours = {name: lab(seen(token(name[1:], dark=dark), eyes)) for name in charts.PALETTE}
    for one, other in combinations(charts.PALETTE, 2):
        apart = sum((a - b) ** 2 for a, b in zip(colours[one], colours[other], strict=True)) ** 0.5
        assert apart > 10, f"{one} and {other} are {apart:.1f} apart"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_series_stands_out_from_its_ground(dark: bool) -> None:
    ground = token("surface", dark=dark)
    for name in charts.PALETTE:
        assert contrast(token(name[1:], dark=dark), ground) >= 3, name


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_on_a_heat_map_can_be_read_wherever_it_changes_its_colour(dark: bool) -> None:
    least, most = token("heat-0", dark=dark), token("heat-1", dark=dark)

    def encoded(one: float) -> float:
        return 12.92 * one if one <= 0.0031308 else 1.055 * one ** (1 / 2.4) - 0.055

    def decoded(one: float) -> float:
        return one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4

    for step in range(101):
        share = step / 100
        red, green, blue = (
            decoded((1 - share) * encoded(a) + share * encoded(b)) for a, b in zip(least, most, strict=True)
        )
        text = token("on-heat-1" if share > charts.STRONG else "on-heat-0", dark=dark)
        assert contrast(text, (red, green, blue)) >= 4.5, share
