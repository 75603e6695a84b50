"""A draft as rows, and what somebody does to it on the screen; no browser and no database."""

import json
import random
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.builder.aids import Known, properties_in
from segments.builder.rows import Control, Row
from segments.builder.steps import STEPS, path_of, step_of
from segments.builder.tree import errors_of, tree
from segments.rules import Type, parse
from segments.rules.edit import EditRefused, as_draft, at, blank, edit, text_of
from segments.rules.errors import pointer
from segments.rules.parts import Input
from segments.templates import TEMPLATES
from tests.generative.strategies import rules
from tests.spec.world import CATALOG

A = {"trait": "text", "op": "equals", "value": "a"}
SPENT = {"performed": "Order Completed", "measure": "sum", "op": "gt", "value": 500, "within": {"days": 30}}


def rows_of(row: Row) -> list[Row]:
    return [
        row,
        *(one for below in (*row.rows, *row.filters, *row.steps, *filter(None, [row.other])) for one in rows_of(below)),
    ]


def shown(document: Any) -> Row:
    return tree(document, CATALOG, errors_of(document, CATALOG))


def do(document: Any, **given: str) -> Any:
    return edit(document, step_of(given, document, CATALOG).action)


def control(document: Any, label: str, place: str = "/all/0") -> dict[str, str]:
    """How the form of the control at that place names it."""
    row = next(one for one in rows_of(shown(document)) if one.inner == place)
    number, found = next((n, one) for n, one in enumerate(row.controls) if one.label == label)
    return {"node": place, "at": found.at, "part": str(number)}


# ---- What is shown -----------------------------------------------------------------------------------------------


def test_a_rule_reads_down_the_screen() -> None:
    document = {"version": 1, "all": [SPENT, {"not": {"any": [A, {"in_segment": "vip"}]}}, {"not": A}]}
    root = shown(document)
    assert [(one.number, one.join, one.name, one.is_negated) for one in rows_of(root)[1:]] == [
        ("1", "Where", "Order Completed", False),
        ("2", "and", "None of", False),
        ("2.1", "not", CATALOG.traits["text"].label, False),
        ("2.2", "nor", CATALOG.segments["vip"].name if "vip" in CATALOG.segments else "vip", False),
        ("3", "and", CATALOG.traits["text"].label, True),
    ]
    spent = root.rows[0]
    assert [one.shown or one.value for one in spent.controls][:2] == ["Order Completed", "total of"]
    assert [(one.amount, one.unit) for one in spent.controls if one.input is Input.DURATION] == [("30", "days")]
    assert root.into == "/all" and root.rows[1].into == "/all/1/not/any" and spent.filters_into == "/all/0/where"


def test_each_error_stands_at_its_condition_with_what_was_meant() -> None:
    document = {"version": 1, "all": [A, {**SPENT, "value": "1.2k"}, {"any": []}, {"trait": "text", "op": "equals"}]}
    root = shown(document)
    assert root.mistakes == () and len(root.all_mistakes) == 3
    spent, group, unsaid = root.rows[1:]
    (wrong,) = spent.mistakes
    assert (wrong.at, wrong.mend) == ("/all/1/value", 1200)
    assert [one.label for one in spent.controls if one.is_bad] == ["Value"]
    assert group.mistakes[0].code == "empty_group" and "Add a condition" in group.mistakes[0].message
    assert unsaid.mistakes[0].message == "Say what it is compared with."
    mended = do(document, do="mend", place=wrong.at)
    assert mended["all"][1]["value"] == 1200 and not shown(mended).rows[1].mistakes


def test_what_no_longer_exists_is_shown_and_can_be_changed() -> None:
    document = {"version": 1, "all": [{"trait": "gone", "op": "equals", "value": 1}, {"nonsense": True}]}
    gone, nonsense = shown(document).rows
    assert gone.name == "gone" and gone.mistakes and nonsense.name == "Not a condition" and nonsense.mistakes
    after = do(document, do="subject", node="/all/0", subject="trait", key="number")
    assert after["all"][0]["trait"] == "number" and after["all"][0]["op"] == "equals"


# ---- Steps -------------------------------------------------------------------------------------------------------


def test_a_rule_is_built_from_nothing() -> None:
    document = blank()
    document = do(document, do="add", into="/all", subject="performed", key="Order Completed")
    document = do(document, do="choose", value="sum", **control(document, "Measure"))
    document = do(document, do="choose", value="gt", **control(document, "Comparison"))
    document = do(document, do="set", value="500", **control(document, "Value"))
    document = do(document, do="add", into="/all", subject="performed", key="Product Viewed")
    document = do(document, do="set", value="3", **control(document, "Value", "/all/1"))
    document = do(document, do="add", into="/all/1/where", subject="property", key="category")
    document = do(document, do="choose", value="any_of", **control(document, "Comparison", "/all/1/where/0"))
    document = do(document, do="list_add", value="Shoes, Bags", **control(document, "Values", "/all/1/where/0"))
    document = do(document, do="group", into="/all", kind="none")
    document = do(document, do="add", into="/all/2/not/any", subject="consented", key=next(iter(CATALOG.purposes)))
    assert errors_of(document, CATALOG) == []
    assert document["all"][0] == {**SPENT, "measure": "sum"}
    assert document["all"][1]["where"] == [{"property": "category", "op": "any_of", "value": ["Shoes", "Bags"]}]


def test_a_sequence_is_built_step_by_step() -> None:
    document = do(blank(), do="add", into="/all", subject="sequence", key="Product Viewed")
    assert errors_of(document, CATALOG), "one step is none"
    document = do(document, do="add", into="/all/0/sequence", key="Order Completed")
    assert errors_of(document, CATALOG) == []
    document = do(document, do="missing", what="/all/0/sequence/1")
    assert document["all"][0]["sequence"][1] == {"not_performed": "Order Completed", "within": {"hours": 24}}
    document = do(document, do="set", value="2", **control(document, "Within", "/all/0/sequence/1"))
    document = do(document, do="set", unit="days", value="2", **control(document, "Within", "/all/0/sequence/1"))
    assert document["all"][0]["sequence"][1]["within"] == {"days": 2}
    document = do(document, do="missing", what="/all/0/sequence/1")
    document = do(document, do="within", what="/all/0/sequence/1")
    assert document["all"][0]["sequence"][1] == {"performed": "Order Completed"}
    assert errors_of(document, CATALOG) == []


def test_by_keyboard_a_condition_goes_up_and_down_in_and_out() -> None:
    b, c = {**A, "value": "b"}, {**A, "value": "c"}
    document = {"version": 1, "all": [A, {"any": [b]}, c]}
    assert do(document, do="down", what="/all/0")["all"] == [{"any": [b]}, A, c]
    assert do(document, do="up", what="/all/2")["all"] == [A, c, {"any": [b]}]
    assert do(document, do="up", what="/all/0")["all"] == document["all"]
    assert do(document, do="in", what="/all/0")["all"] == [{"any": [A, b]}, c]
    assert do(document, do="in", what="/all/2")["all"] == [A, {"any": [b, c]}]
    assert do(document, do="out", what="/all/1/any/0")["all"] == [A, {"any": []}, b, c]
    for what, step in (("/all/0", "out"), ("/all/1/any/0", "in")):
        with pytest.raises(EditRefused):
            do(document, do=step, what=what)


@settings(max_examples=80, deadline=None)
@given(rules(), st.randoms(use_true_random=False))
def test_whatever_is_moved_the_focus_goes_along(drawn: Any, chance: random.Random) -> None:
    document = as_draft(drawn)
    everything = rows_of(tree(document, CATALOG))
    row = chance.choice(everything)
    into = chance.choice([one.into for one in everything if one.into])
    given = {
        "do": chance.choice(["up", "down", "in", "out", "move"]),
        "what": row.at,
        "into": into,
        "position": str(chance.randrange(4)),
    }
    try:
        step = step_of(given, document, CATALOG)
        after = edit(document, step.action)
    except EditRefused:
        return
    assert at(after, path_of(step.focus, after)) == at(document, path_of(row.at, document))


def test_values_come_and_go_and_the_window_keeps_what_it_was_before() -> None:
    document = {"version": 1, "all": [{"trait": "country", "op": "any_of", "value": ["DE", "AT"]}]}
    assert do(document, do="list_remove", position="0", **control(document, "Values"))["all"][0]["value"] == ["AT"]
    assert do(document, do="list_add", value="AT;CH", **control(document, "Values"))["all"][0]["value"] == [
        "DE",
        "AT",
        "CH",
    ]
    before = {"version": 1, "all": [{**SPENT, "within": {"days": 30, "ago": {"days": 7}}}]}
    after = do(before, do="set", value="60", **control(before, "How long"))
    assert after["all"][0]["within"] == {"days": 60, "ago": {"days": 7}}


def test_a_value_may_hold_a_comma_when_it_was_chosen_whole() -> None:
    document = {"version": 1, "all": [{"trait": "text", "op": "any_of", "value": []}]}
    given = control(document, "Values")
    assert do(document, do="list_add", value="Shoes, Bags", **given)["all"][0]["value"] == ["Shoes", "Bags"]
    assert do(document, do="list_add", value="Shoes, Bags", whole="yes", **given)["all"][0]["value"] == ["Shoes, Bags"]


def test_a_day_is_said_in_words_and_what_moves_on_is_another_condition() -> None:
    document = {"version": 1, "all": [{"trait": "date", "op": "after", "value": "2026-01-01"}]}
    given = control(document, "Value")
    step = step_of({"do": "set", "value": "30 days ago", **given}, document, CATALOG, today=date(2026, 7, 31))
    assert edit(document, step.action)["all"][0]["value"] == "2026-07-01"
    assert do(document, do="set", value="30 days ago", **given)["all"][0]["value"] == "30 days ago", "no day is made up"
    assert (
        do(document, do="set", value="30 days ago", today="2026-07-31", **given)["all"][0]["value"] == "30 days ago"
    ), "nor posted"
    after = do(document, do="moving", node="/all/0", op="within_last", amount="30", unit="days")
    assert after["all"][0] == {"trait": "date", "op": "within_last", "value": {"days": 30}} and not errors_of(
        after, CATALOG
    )
    for op, node in (("after", "/all/0"), ("nonsense", "/all/0"), ("within_last", "/all/1")):
        with pytest.raises(EditRefused):
            do(document, do="moving", node=node, op=op, amount="30", unit="days")


def test_what_is_measured_is_a_property_or_the_value_of_the_events_themselves() -> None:
    document = {"version": 1, "all": [SPENT]}
    root = tree(document, CATALOG, known=Known(currency="EUR", may_count=True))
    of = next(one for one in root.rows[0].controls if one.kind == "of")
    assert (of.shown, of.pick) == ("value", "event=Order+Completed&value=yes")
    assert [one.aid.unit for one in root.rows[0].controls if one.label == "Value"] == ["EUR"]
    given = {key: json.loads(of.change_subject)[key] for key in ("do", "node", "at", "part")}
    named = do(document, subject="property:price: net", **given)
    assert named["all"][0]["of"] == "price: net"
    assert do(named, subject="property:", **given)["all"][0].get("of") is None
    named_root = tree(named, CATALOG, known=Known(currency="EUR"))
    assert [one.aid.unit for one in named_root.rows[0].controls if one.label == "Value"] == [""]


def test_a_property_is_compared_as_what_its_values_are() -> None:
    where = [{"property": name, "op": "equals"} for name in ("price", "is_gift", "colour", "unseen")]
    document = {"version": 1, "all": [{"performed": "Order Completed", "where": where}]}
    types = {
        ("Order Completed", name): kind
        for name, kind in (("price", Type.NUMBER), ("is_gift", Type.BOOLEAN), ("colour", Type.TEXT))
    }
    filters = tree(document, CATALOG, known=Known(types=types)).rows[0].filters
    values = [next(one for one in row.controls if one.label == "Value") for row in filters]
    assert [one.aid.reads for one in values] == ["number", "boolean", "", ""]
    assert [one.aid.histogram.get("key", "") for one in values] == [
        "price",
        "",
        "",
        "",
    ]
    assert values[2].aid.suggest == "values?kind=property&event=Order+Completed&key=colour"
    assert [row.controls[0].icon for row in filters] == ["hash", "check", "text", "tag"]
    typed = [("5", 5), ("true", True), ("red", "red"), ("5", "5")]
    for value, (text, meant) in zip(values, typed, strict=True):
        after = do(document, **{**json.loads(value.set), "value": text})
        place = int(value.node.rpartition("/")[2])
        found = after["all"][0]["where"][place]["value"]
        assert found == meant and type(found) is type(meant)


def test_figures_are_pictured_for_who_may_count_and_dates_nowhere_among_numbers() -> None:
    last = {"performed": "Order Completed", "measure": "last_at", "op": "after", "value": "2026-01-01"}
    document = {
        "version": 1,
        "all": [SPENT, last, {"trait": "number", "op": "between", "value": [1, 5]}, {"trait": "text", "op": "equals"}],
    }

    def pictured(known: Known) -> list[list[Any]]:
        rows = tree(document, CATALOG, known=known).rows
        return [[one.aid.histogram for one in row.controls if one.aid.histogram] for row in rows]

    counted, date_of, number_of, text_of_it = pictured(Known(may_count=True))
    assert json.loads(counted[0]["figure"]) == {key: SPENT[key] for key in ("performed", "measure", "within")}
    assert (counted[0]["op"], counted[0]["value"]) == ("gt", ["500"])
    assert number_of == [{"kind": "trait", "key": "number", "op": "between", "value": ["1", "5"]}], "one for both ends"
    assert date_of == text_of_it == [] and pictured(Known())[0] == []


def test_the_properties_that_a_draft_names_are_looked_up_at_once() -> None:
    steps = [
        {"performed": "A", "where": [{"not": {"property": "x"}}]},
        {"not_performed": "B", "where": [{"any": [{"property": "y"}]}]},
    ]
    document = {
        "all": [
            {"sequence": steps},
            {"performed": "C", "measure": "sum", "of": "z", "than": {"performed": "D", "of": "w"}},
        ]
    }
    assert set(properties_in(document)) == {("A", "x"), ("B", "y"), ("C", "z"), ("D", "w")}
    assert list(properties_in({"performed": ["A"], "where": {"property": 5}, "of": None})) == []


def test_what_is_copied_is_what_is_pasted() -> None:
    document = {"version": 1, "all": [A, {"not": SPENT}, {"any": [A]}]}
    for row in shown(document).rows:
        again = do(blank(), do="paste", into="/all", value=row.json)
        assert again["all"] == [document["all"][row.position]]


def test_conditions_are_pasted_from_anywhere() -> None:
    assert do(blank(), do="paste", into="/all", value=text_of((A, SPENT)))["all"] == [A, SPENT]
    assert do(blank(), do="paste", into="/all", value=json.dumps(A))["all"] == [A]
    for text in ("", "{", "[" * 100_000, "5", "null", json.dumps({"x": 1})[:3]):
        with pytest.raises(EditRefused):
            do(blank(), do="paste", into="/all", value=text)


@pytest.mark.parametrize("one", TEMPLATES, ids=lambda one: one.key)
def test_every_ready_rule_can_be_shown_and_each_of_its_parts_set_to_what_it_is(one: Any) -> None:
    document = as_draft(one.document)
    for row in rows_of(tree(document, CATALOG)):
        for number, found in enumerate(row.controls):
            same = again(document, row, found, number)
            assert same is None or parse(same) == parse(document), (row.inner, found)


def again(document: Any, row: Row, found: Control, number: int) -> Any:
    """The document after a part was set to what it is already; None of a part that is set in another way."""
    given = {"node": row.inner, "at": found.at, "part": str(number)}
    match found.input:
        case Input.CHOICE:
            return do(document, do="choose", value=found.value, **given)
        case Input.DURATION:
            return do(document, do="set", value=found.amount, unit=found.unit, **given)
        case Input.NUMBER | Input.MOMENT if found.shown:
            return do(document, do="set", value=found.shown, **given)
        case Input.TEXT if isinstance(found.value, str) and found.value:
            return do(document, do="set", value=found.value, **given)
    return None


# ---- Any rule, any form --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(rules(), st.randoms(use_true_random=False))
def test_whatever_is_done_to_a_rule_it_can_be_shown_and_gone_on_with(drawn: Any, chance: random.Random) -> None:
    document = as_draft(drawn)
    typed = ["", "5", "1.2k", "x", "<img src=x onerror=alert(1)>", "2026-01-01", "Shoes, Bags", "9" * 300, "\x00", "-1"]
    for _ in range(12):
        everything = rows_of(tree(document, CATALOG, errors_of(document, CATALOG)))
        row = chance.choice(everything)
        given = {"do": chance.choice(sorted(STEPS)), "what": row.at, "into": row.into or row.filters_into or "/all", "node": row.inner,
                 "subject": chance.choice(["trait", "performed", "sequence", "consented", "bucket", "nonsense"]),
                 "key": chance.choice(["text", "Order Completed", "", "x" * 300]), "kind": chance.choice(["any", "none", "all", "x"]),
                 "position": chance.choice(["0", "1", "99", "-1", "x"]), "place": chance.choice(everything).at,
                 "value": chance.choice(typed)}  # fmt: skip
        if row.controls:
            number = chance.randrange(len(row.controls))
            found = row.controls[number]
            given |= {"at": found.at, "part": str(number)}
            if found.choices:
                given["value"] = chance.choice(found.choices)[0]
        refused = None
        try:
            document = edit(document, step_of(given, document, CATALOG).action)
        except EditRefused as error:
            refused = error
        assert refused is None or (refused.code and refused.message)
        json.dumps(document)
        assert len(shown(document).all_mistakes) == len(errors_of(document, CATALOG)), (
            "what is wrong with it stands somewhere"
        )


def test_places_are_read_back_from_the_page() -> None:
    document = {"version": 1, "all": [{"trait": "a/b~c", "value": {"0": [1]}}]}
    for path in ((), ("all",), ("all", 0), ("all", 0, "value", "0", 0)):
        assert path_of(pointer(path), document) == path
    for text in ("all", "/all/x", "/all/²", "/all/-1", "/" * 500, "/all/999999999999"):
        with pytest.raises(EditRefused):
            path_of(text, document)
