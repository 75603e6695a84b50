"""A rule as text: errors stand at their line, and laying out changes nothing but the looks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.rules import RuleError
from segments.text import lay_out, placed, read

TEXT = """{
  "version": 1,
  "all": [
    {"trait": "age", "op": "gte", "value": "x"},
    {
      "performed": "A/B",
      "where": [
        {"property": "a~b", "op": "is"}
      ]
    }
  ]
}"""


@pytest.mark.parametrize(
    ("pointer", "line"),
    [
        ("", 1),
        ("/version", 2),
        ("/all", 3),
        ("/all/0/value", 4),
        ("/all/1", 5),
        ("/all/1/performed", 6),
        ("/all/1/where/0/op", 8),
        ("/all/1/where/0/value", 8),
        ("/all/1/within/days", 5),
        ("/nowhere/at/all", 1),
    ],
)
def test_an_error_stands_at_the_line_of_what_it_is_about(pointer: str, line: int) -> None:
    (found,) = placed(TEXT, (RuleError(code="c", message="m", pointer=pointer),))
    assert found.line == line


def test_escaped_pointers_find_their_member() -> None:
    text = '{\n"a/b": {\n"c~d": 1}}'
    (found,) = placed(text, (RuleError(code="c", message="m", pointer="/a~1b/c~0d"),))
    assert found.line == 3


def test_what_is_not_json_says_where_it_stops_being_so() -> None:
    document, places = read('{\n  "version": 1,\n  oops\n}')
    assert document is None
    assert [(place.line, place.code) for place in places] == [(3, "not_json")]


@pytest.mark.parametrize("text", ["", "   ", "{", '{"a": 1,}', "\x00", "nul"])
def test_anything_typed_gets_an_answer(text: str) -> None:
    document, places = read(text)
    assert document is None and places


def test_deep_nesting_is_refused_like_any_other_error() -> None:
    _, places = read("[" * 100_000)
    assert places


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(VALUES)
def test_laying_out_keeps_the_document(document: object) -> None:
    assert json.loads(lay_out(document)) == document


@given(VALUES)
def test_every_value_of_a_laid_out_document_is_found(document: object) -> None:
    text = lay_out(document)
    (found,) = placed(text, (RuleError(code="c", message="m", pointer=""),))
    assert found.line == 1


def test_members_stand_in_the_order_they_are_read() -> None:
    stored = {"op": "gte", "value": 3, "version": 1, "performed": "Order Completed", "within": {"days": 30}}
    assert lay_out(stored).split('"')[1::2][:2] == ["version", "performed"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('{"version": 1,\n "all": [{"everyone": true,}]}', 2, "the comma before } is one too many"),
        ('{"version": 1,\n "all": [{"everyone": true},\n]}', 2, "the comma before ] is one too many"),
        ('{"version": 1,\n "everyone": true', 2, "it ends too early; a bracket or a quotation mark is not closed"),
        ("{'version': 1}", 1, """texts stand between straight double quotes ("), not '"""),
        ("{“version”: 1}", 1, 'texts stand between straight double quotes ("), not “'),
        ("", 1, "it ends too early; a bracket or a quotation mark is not closed"),
    ],
)
def test_a_common_slip_in_json_is_named_in_plain_words(text: str, line: int, said: str) -> None:
    _, places = read(text)
    assert len(places) == 1 and places[0].message == f"This is not JSON: {said}"
    assert places[0].line in {line, line + 1}


@given(st.lists(st.sampled_from(["a", "\\\\", "\\ud83d\\ude00", "\\ud800", "\\uDFFF", "\\n", "\\u0041"]), max_size=6))
def test_half_a_character_is_told_apart_from_a_whole_one_and_from_a_backslash(parts: list[str]) -> None:
    text = '{"version": 1,\n "everyone": "' + "".join(parts) + '"}'
    document, places = read(text)
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        assert document is None and (places[0].code, places[0].line) == ("not_storable", 2)
    else:
        assert document is not None and not places
