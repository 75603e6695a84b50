"""A rule made of cells finds who stands in them, and nobody else."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest

from segments.rfm.grid import ALL_PLACES, Place
from segments.rfm.picking import rule_of_group, rule_of_places


def plain_fm(f: int, m: int) -> int:
    return (f + m + 1) // 2


def spend_fm(f: int, m: int) -> int:
    """Monetary value weighs three times as much; halves are rounded up."""
    return (f + 3 * m + 2) // 4


def holds(rule: dict[str, Any], scores: dict[str, int]) -> bool:
    """What the rule says of somebody with these scores, read by nobody who wrote it."""
    if "all" in rule:
        return all(holds(one, scores) for one in rule["all"])
    if "any" in rule:
        return any(holds(one, scores) for one in rule["any"])
    mine = scores.get(rule["score"])
    match rule["op"]:
        case "exists":
            return mine is not None
        case "equals":
            return mine == rule["value"]
        case "between":
            return mine is not None and rule["value"][0] <= mine <= rule["value"][1]
        case "any_of":
            return mine in rule["value"]
    raise AssertionError(rule)


PICKS = [
    [(5, 5)],
    [(1, 1), (5, 5)],
    [(5, fm) for fm in range(1, 6)],
    [(r, 5) for r in range(1, 6)],
    [(1, 3), (3, 3), (5, 3), (5, 4)],
    list(ALL_PLACES),
    *([list(one) for one in combinations(ALL_PLACES, 2)][::17]),
]


@pytest.mark.parametrize("fm_of", [plain_fm, spend_fm])
def test_a_rule_of_cells_is_true_of_just_who_stands_in_them(fm_of: Callable[[int, int], int]) -> None:
    for places in PICKS:
        rule = rule_of_places(places, fm_of)
        for r in range(1, 6):
            for f in range(1, 6):
                for m in range(1, 6):
                    scores = {"rfm.recency": r, "rfm.frequency": f, "rfm.monetary": m}
                    place: Place = (r, fm_of(f, m))
                    assert holds(rule, scores) == (place in places), (places, scores, rule)
        assert not holds(rule, {}), "who has no score stands in no cell"


def test_a_rule_is_as_short_as_it_can_be_read() -> None:
    assert rule_of_places([(5, fm) for fm in range(1, 6)], plain_fm) == {
        "score": "rfm.recency", "op": "equals", "value": 5,
    }  # fmt: skip
    assert rule_of_places(ALL_PLACES, plain_fm) == {"score": "rfm.recency", "op": "exists"}
    assert rule_of_places([(5, 5)], plain_fm) == {
        "all": [
            {"score": "rfm.recency", "op": "equals", "value": 5},
            {"any": [
                {"all": [{"score": "rfm.frequency", "op": "equals", "value": 4},
                         {"score": "rfm.monetary", "op": "equals", "value": 5}]},
                {"all": [{"score": "rfm.frequency", "op": "equals", "value": 5},
                         {"score": "rfm.monetary", "op": "between", "value": [4, 5]}]},
            ]},
        ],
    }  # fmt: skip
    assert rule_of_group("Can't lose") == {"score": "rfm.group", "op": "equals", "value": "Can't lose"}
