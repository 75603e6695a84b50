"""What conditions on events mean, as tables: the events of a person, and whether the condition holds."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from segments.rules import Occurrence
from tests.spec.world import event

JUST: Final = timedelta(microseconds=1)
NOW: Final = timedelta(0)
MONTH: Final = timedelta(days=30)


@dataclass(frozen=True)
class Case:
    """A condition on "Order Completed", and the histories of which it holds and of which it doesn't."""

    name: str
    condition: dict[str, Any]
    holds: tuple[tuple[Occurrence, ...], ...]
    fails: tuple[tuple[Occurrence, ...], ...]

    @property
    def rule(self) -> dict[str, Any]:
        return {"performed": "Order Completed", **self.condition}

    @property
    def rows(self) -> list[tuple[tuple[Occurrence, ...], bool]]:
        return [(events, True) for events in self.holds] + [(events, False) for events in self.fails]


ONE, TWO, THREE = ((event(),) * number for number in (1, 2, 3))
SHOES = event(properties={"category": "Shoes", "price": 20})
HAT = event(properties={"category": "Hats", "price": 5})

CASES: Final = (
    Case("at least once is the default", {}, holds=(ONE, TWO), fails=((), (event("Product Viewed"),))),
    Case("at least", {"op": "gte", "value": 2}, holds=(TWO, THREE), fails=((), ONE)),
    Case("at least 0 is everyone", {"op": "gte", "value": 0}, holds=((), ONE), fails=()),
    Case("more than", {"op": "gt", "value": 2}, holds=(THREE,), fails=((), TWO)),
    Case("exactly", {"op": "equals", "value": 2}, holds=(TWO,), fails=((), ONE, THREE)),
    Case(
        "a count over nothing is 0", {"op": "equals", "value": 0}, holds=((), (event("Product Viewed"),)), fails=(ONE,)
    ),
    Case("not exactly", {"op": "not_equals", "value": 1}, holds=((), TWO), fails=(ONE,)),
    Case("at most takes in who never did", {"op": "lte", "value": 1}, holds=((), ONE), fails=(TWO,)),
    Case("less than takes in who never did", {"op": "lt", "value": 1}, holds=((),), fails=(ONE,)),
    Case("between counts", {"op": "between", "value": [1, 2]}, holds=(ONE, TWO), fails=((), THREE)),
    Case("between from 0", {"op": "between", "value": [0, 1]}, holds=((), ONE), fails=(TWO,)),
    Case("not between", {"op": "not_between", "value": [1, 2]}, holds=((), THREE), fails=(ONE, TWO)),
    Case(
        "sum of value",
        {"measure": "sum", "op": "gt", "value": 100},
        holds=((event(value="60"), event(value="40.0001")), (event(value="101"), event())),
        fails=((), (event(value="100"),), (event(),), (event(value="150"), event(value="-50"))),
    ),
    Case(
        "a sum over nothing is 0",
        {"measure": "sum", "op": "equals", "value": 0},
        holds=((), (event(),), (event(value="5"), event(value="-5"))),
        fails=((event(value="5"),),),
    ),
    Case(
        "a negative sum",
        {"measure": "sum", "op": "lt", "value": -10},
        holds=((event(value="-11"),),),
        fails=((), (event(value="-10"),)),
    ),
    Case(
        "sum of a property",
        {"measure": "sum", "of": "price", "op": "gte", "value": 25},
        holds=((SHOES, HAT), (event(properties={"price": 24.99995}),)),
        fails=((SHOES,), (), (event(properties={"price": "30"}), event(properties={"price": 10**400}))),
    ),
    Case(
        "a rolling window is half-open",
        {"within": {"days": 30}},
        holds=((event(ago=MONTH),), (event(ago=JUST),)),
        fails=((event(ago=MONTH + JUST),), (event(ago=NOW),), (event(ago=-JUST),)),
    ),
    Case(
        "a week is seven days",
        {"within": {"weeks": 1}},
        holds=((event(ago=timedelta(days=7)),),),
        fails=((event(ago=timedelta(days=7) + JUST),),),
    ),
    Case(
        "a window between two moments is half-open",
        {"within": {"from": "2026-05-01", "to": "2026-05-31T12:00:00Z"}},
        holds=((event(ago=timedelta(days=31, hours=12)),), (event(ago=timedelta(days=1) + JUST),)),
        fails=((event(ago=timedelta(days=1)),), (event(ago=timedelta(days=31, hours=12) + JUST),)),
    ),
    Case(
        "a window into the future ends now",
        {"within": {"from": "2026-05-01", "to": "2027-01-01"}},
        holds=((event(ago=JUST),),),
        fails=((event(ago=NOW),), (event(ago=-MONTH),)),
    ),
    Case(
        "ever ends now",
        {"op": "equals", "value": 1},
        holds=((event(ago=timedelta(days=4000)), event(ago=NOW)), (event(), event(ago=-MONTH), event(ago=-JUST))),
        fails=((event(ago=NOW),), (event(), event(ago=JUST), event(ago=-JUST))),
    ),
    Case(
        "the sum of ever ends now",
        {"measure": "sum", "op": "gte", "value": 10},
        holds=((event(value="10"), event(value="-9", ago=NOW)),),
        fails=((event(value="9"), event(value="9", ago=-MONTH)),),
    ),
    Case(
        "where counts only the events that match",
        {"op": "gte", "value": 2, "where": [{"property": "category", "op": "equals", "value": "Shoes"}]},
        holds=((SHOES, SHOES, HAT),),
        fails=((), (SHOES, HAT, HAT)),
    ),
    Case(
        "all filters must match the same event",
        {
            "where": [
                {"property": "category", "op": "equals", "value": "Hats"},
                {"property": "price", "op": "gt", "value": 10},
            ]
        },
        holds=((event(properties={"category": "Hats", "price": 11}),),),
        fails=((SHOES, HAT), ()),
    ),
    Case(
        "a filter's negation holds where the property is missing",
        {"where": [{"property": "category", "op": "not_equals", "value": "Shoes"}]},
        holds=((event(),), (HAT,)),
        fails=((SHOES,), ()),
    ),
    Case(
        "the name of a property is never a path",
        {"where": [{"property": "a.\"b'[0]%s$/~", "op": "equals", "value": 1}]},
        holds=((event(properties={"a.\"b'[0]%s$/~": 1}),),),
        fails=((event(properties={"a": {"b": 1}}),), ()),
    ),
)
