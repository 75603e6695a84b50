"""The treemap of groups and the flow between them: what is in the options, and what isn't."""

import json

from cdp.group_charts import Flow, Part, flow, treemap

HOSTILE = "@chart-1 <b>"


def part(name: str, size: int, shade: float = 0.5) -> Part:
    return Part(name=name, size=size, shade=shade, text=f"{size} people", said=f"{name}\n{size} people")


def test_a_group_without_anybody_has_no_field() -> None:
    options = treemap(parts=[part("Champions", 3), part("Lost", 0)], about="Groups")
    assert [one["name"] for one in options["series"][0]["data"]] == ["Champions"]
    assert options["aria"]["label"]["description"] == "Groups"


def test_text_on_a_strong_field_is_of_the_other_colour() -> None:
    data = treemap(parts=[part("A", 1, 0.1), part("B", 1, 1.0)], about="")["series"][0]["data"]
    assert [one["label"]["color"] for one in data] == ["@on-heat-0", "@on-heat-1"]


def test_no_shade_at_all_is_drawn_and_divides_by_nothing() -> None:
    options = treemap(parts=[part("A", 1, 0.0)], about="")
    assert options["visualMap"]["max"] == 1.0


def test_a_flow_keeps_the_given_order_and_leaves_out_who_has_nobody() -> None:
    options = flow(
        before=["New before", "Champions", "Lost"],
        after=["Champions", "Lost"],
        flows=[
            Flow(before="Champions", after="Champions", people=90),
            Flow(before="Champions", after="Lost", people=9, color="@chart-2"),
            Flow(before="Lost", after="Lost", people=0),
        ],
        about="",
    )
    (series,) = options["series"]
    assert [one["name"] for one in series["data"]] == ["before:Champions", "after:Champions", "after:Lost"]
    assert [one["text"] for one in series["data"]] == ["Champions  99", "Champions  90", "Lost  9"]
    assert [one["lineStyle"]["color"] for one in series["links"]] == ["@line-2", "@chart-2"]
    assert series["links"][1]["said"] == "Champions to Lost\n9 people, 9.1%"
    assert series["layoutIterations"] == 0


def test_what_would_be_thinner_than_a_pixel_is_not_drawn_but_counted_in_its_groups() -> None:
    flows = [Flow(before="A", after="A", people=9_999), Flow(before="A", after="B", people=1)]
    (series,) = flow(before=["A", "B"], after=["A", "B"], flows=flows, about="")["series"]
    assert len(series["links"]) == 1
    assert series["data"][0]["text"] == "A  10,000"


def test_nobody_moves_nowhere() -> None:
    (series,) = flow(before=["A"], after=["A"], flows=[], about="")["series"]
    assert series["data"] == [] and series["links"] == []


def test_names_stay_where_no_colour_is_looked_for_and_json_carries_all() -> None:
    options = flow(
        before=[HOSTILE], after=[HOSTILE], flows=[Flow(before=HOSTILE, after=HOSTILE, people=1)], about=HOSTILE
    )
    node = options["series"][0]["data"][0]
    assert HOSTILE in node["name"] and "color" not in node
    assert json.loads(json.dumps(options)) == options
