"""What conditions on how a person stands mean, as tables: how somebody stands, and whether the condition holds.

Every table of scores has the row of the score that is missing.
"""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from segments.rules import Value
from tests.spec.world import AS_OF

JUST: Final = timedelta(microseconds=1)
SCORE: Final = "churn.risk"
NOTHING: Final[dict[str, Any]] = {}


@dataclass(frozen=True)
class Standing:
    """A condition, and the ways to stand (as `person` takes them) in which it holds and in which it doesn't."""

    condition: dict[str, Any]
    holds: tuple[dict[str, Any], ...]
    fails: tuple[dict[str, Any], ...]

    @property
    def name(self) -> str:
        return str(self.condition)

    @property
    def rows(self) -> list[tuple[dict[str, Any], bool]]:
        return [(one, True) for one in self.holds] + [(one, False) for one in self.fails]


def scored(*said: float | str) -> dict[str, Any]:
    """Somebody with a number, a label, or both."""
    numbers = [Decimal(str(one)) for one in said if not isinstance(one, str)]
    labels = [one for one in said if isinstance(one, str)]
    return {"scores": {SCORE: Value(number=numbers[0] if numbers else None, text=labels[0] if labels else None)}}


def of(op: str, *value: Any) -> dict[str, Any]:
    return {"score": SCORE, "op": op, **({"value": value[0]} if value else {})}


def permits(purpose: str, *until: timedelta) -> dict[str, Any]:
    """Somebody who permits it, for good or until so long after the moment of judgement."""
    return {"permits": {purpose: AS_OF + until[0] if until else None}}


ELSEWHERE: Final = {"scores": {"rfm.group": Value(text="high")}}

SCORES: Final = (
    Standing(of("equals", 4), (scored(4), scored(4, "high")), (scored(4.0001), scored("4"), ELSEWHERE, NOTHING)),
    Standing(of("equals", "high"), (scored("high"), scored(1, "high")), (scored("High"), scored("hígh"), NOTHING)),
    Standing(of("not_equals", "high"), (scored("High"), scored(4), NOTHING), (scored("high"),)),
    Standing(of("not_equals", 4), (scored(5), scored("4"), NOTHING), (scored(4),)),
    Standing(of("any_of", ["high", "low"]), (scored("low"),), (scored("HIGH"), scored(1), NOTHING)),
    Standing(of("any_of", [1, 2]), (scored(2, "low"),), (scored("2"), NOTHING)),
    Standing(of("none_of", ["high", "low"]), (scored("mid"), scored(1), NOTHING), (scored("low"),)),
    Standing(of("gt", 3), (scored(3.0001),), (scored(3), scored("4"), NOTHING)),
    Standing(of("gte", 3), (scored(3),), (scored(2.9999), NOTHING)),
    Standing(of("lt", 3), (scored(-1), scored(2.9999)), (scored(3), scored("a"), NOTHING)),
    Standing(of("lte", 0), (scored(0),), (scored(0.0001), NOTHING)),
    Standing(of("between", [2, 4]), (scored(2), scored(4)), (scored(4.0001), NOTHING)),
    Standing(of("not_between", [2, 4]), (scored(1), scored("x"), NOTHING), (scored(3),)),
    Standing(of("exists"), (scored(0), scored("")), (ELSEWHERE, NOTHING)),
    Standing(of("missing"), (ELSEWHERE, NOTHING), (scored(0), scored(""))),
)

CONSENTS: Final = (
    Standing(
        {"consented": "marketing_email"},
        (permits("marketing_email"), permits("marketing_email", JUST)),
        (permits("marketing_email", timedelta(0)), permits("marketing_email", -JUST), permits("analysis"), NOTHING),
    ),
    Standing({"consented": "analysis"}, (permits("analysis"),), (NOTHING,)),
    Standing({"not": {"consented": "analysis"}}, (NOTHING, permits("orders")), (permits("analysis"),)),
    Standing({"consented": "orders"}, (permits("orders"),), ()),
)

LISTS: Final = (
    Standing({"in_list": "vip"}, ({"lists": frozenset({"vip", "staff"})},), ({"lists": frozenset({"staff"})}, NOTHING)),
)

# Persons have their number for a uuid, and nobody lacks one. `printf 'spring test:00000000-0000-0000-0000-000000000001' |
# md5sum` begins with 241c51b0, which is 605,835,696: person 1 drew 56.96. Likewise 2 drew 5.85, and 3 drew 6.73.
SEED: Final = "spring test"
BUCKETS: Final[tuple[tuple[dict[str, Any], set[int]], ...]] = (
    ({"op": "equals", "value": 56.96}, {1}),
    ({"op": "equals", "value": 56.9601}, set()),
    ({"op": "not_equals", "value": 5.85}, {1, 3}),
    ({"op": "gt", "value": 6.73}, {1}),
    ({"op": "gte", "value": 6.73}, {1, 3}),
    ({"op": "lt", "value": 6.73}, {2}),
    ({"op": "lte", "value": 6.73}, {2, 3}),
    ({"op": "lt", "value": 100}, {1, 2, 3}),
    ({"op": "lt", "value": 0}, set()),
    ({"op": "between", "value": [5.85, 6.73]}, {2, 3}),
    ({"op": "not_between", "value": [5.86, 56.95]}, {1, 2}),
)
