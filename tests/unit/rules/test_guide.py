"""The guide to rules says what the code does."""

import json
import re
from pathlib import Path

from segments.rules import Catalog, EventInfo, SegmentInfo, TraitInfo, Type, describe, load, parse
from segments.rules.operators import OPERATORS
from segments.rules.reference import brought_up_to_date

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "guides" / "rules.md").read_text("utf-8")


def test_the_operator_tables_are_current() -> None:
    assert brought_up_to_date(GUIDE) == GUIDE, "run: python -m segments.rules.reference docs/guides/rules.md"


def test_the_example_is_a_rule_that_reads_as_the_guide_says() -> None:
    example, *others = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    for one in others:
        parse({"version": 1, **json.loads(one)})
    catalog = Catalog(
        traits={"country": TraitInfo(id=1, key="country", label="Country", type=Type.COUNTRY)},
        events={"Order Completed": EventInfo(id=1, name="Order Completed", label="Order Completed")},
        segments={"lapsed": SegmentInfo(id=1, key="lapsed", name="Lapsed")},
    )
    sentence = " ".join(line.removeprefix("> ") for line in GUIDE.splitlines() if line.startswith("> "))
    assert describe(load(json.loads(example), catalog), catalog) == sentence


def test_every_example_of_the_tables_is_a_rule() -> None:
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \| [^|]+ \| (?:`(.*?)`|no value) \|", GUIDE, re.MULTILINE)
    assert len(rows) == sum(len(one.accepts) for one in OPERATORS.values())
    for declared, op, example in rows:
        value = {"value": json.loads(example)} if example else {}
        parse({"version": 1, "trait": Type(declared).value, "op": op, **value})
