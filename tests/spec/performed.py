"""What conditions on events mean, as tables: the events of a person, and whether the condition holds."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from segments.rules import Occurrence
from tests.spec.world import AS_OF, event

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
        return (
            self.condition
            if {"sequence", "than", "not"} & self.condition.keys()
            else {"performed": "Order Completed", **self.condition}
        )

    @property
    def rows(self) -> list[tuple[tuple[Occurrence, ...], bool]]:
        return [(events, True) for events in self.holds] + [(events, False) for events in self.fails]


def message(name: str, **properties: object) -> Occurrence:
    """An event a day ago, with its message id."""
    return replace(event(properties=properties), message_id=name)


def day(month: int, number: int, year: int = 2026) -> datetime:
    return datetime(year, month, number, tzinfo=UTC)


IS_A, IS_B = ([{"property": "kind", "op": "equals", "value": kind}] for kind in "AB")
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
    Case(
        "an average is over those that have the number",
        {"measure": "average", "of": "price", "op": "gt", "value": 10},
        holds=((SHOES, HAT), (SHOES, event(), event(properties={"price": "1"}))),
        fails=((HAT,), (), (event(),), (event(properties={"price": 10}),)),
    ),
    Case(
        "an average is exact",
        {"measure": "average", "op": "equals", "value": 0.3333},
        holds=((event(value="0.3333"), event(value="0.3333"), event(value="0.3333")),),
        fails=((event(value="1"), event(value="0"), event(value="0")), ()),
    ),
    Case(
        "an average over nothing is missing, so other than anything",
        {"measure": "average", "op": "not_equals", "value": 5},
        holds=((), (event(),), (event(value="4"),)),
        fails=((event(value="4"), event(value="6")),),
    ),
    Case(
        "the smallest",
        {"measure": "min", "of": "price", "op": "lte", "value": 5},
        holds=((SHOES, HAT), (HAT,)),
        fails=((SHOES,), (), (event(),)),
    ),
    Case(
        "the largest over nothing is missing",
        {"measure": "max", "op": "lt", "value": 10},
        holds=((event(value="9"), event(value="-1")), (event(value="9"), event())),
        fails=((), (event(),), (event(value="9"), event(value="10"))),
    ),
    Case(
        "different values of a property",
        {"measure": "distinct", "of": "category", "op": "equals", "value": 2},
        holds=(
            (SHOES, HAT, HAT),
            (event(properties={"category": "1"}), event(properties={"category": 1})),
            (event(properties={"category": True}), event(properties={"category": "true"})),
            (event(properties={"category": 1}), event(properties={"category": 1.0}), HAT),
        ),
        fails=((), (SHOES, SHOES), (SHOES, event()), (SHOES, event(properties={"category": ["Shoes"]}))),
    ),
    Case(
        "on how many days",
        {"measure": "days", "op": "gte", "value": 2},
        holds=((event(ago=timedelta(hours=12)), event(ago=timedelta(hours=12) + JUST)),),
        fails=((event(ago=timedelta(hours=12)), event(ago=JUST)), ONE, ()),
    ),
    Case(
        "in how many periods",
        {"measure": "periods", "each": {"weeks": 1}, "within": {"weeks": 3}, "op": "gte", "value": 2},
        holds=(
            (event(ago=timedelta(days=7)), event(ago=timedelta(days=7) + JUST)),
            (event(ago=JUST), event(ago=timedelta(days=21))),
        ),
        fails=(
            (event(ago=timedelta(days=7)), event(ago=JUST)),
            (event(ago=JUST), event(ago=timedelta(days=21) + JUST)),
            (),
        ),
    ),
    Case(
        "a rate per week",
        {"within": {"weeks": 2}, "per": "week", "op": "gt", "value": 1},
        holds=(THREE,),
        fails=(TWO, (), (event(ago=timedelta(days=15)),) * 9),
    ),
    Case(
        "a rate may be a fraction",
        {"within": {"days": 10}, "per": "week", "op": "gte", "value": 1.4},
        holds=(TWO, THREE),
        fails=(ONE, ()),
    ),
    Case(
        "first time ever",
        {"measure": "first_at", "op": "within_last", "value": {"days": 7}},
        holds=((event(),), (event(), event(ago=-MONTH))),
        fails=((), (event(), event(ago=MONTH)), (event(ago=-MONTH),)),
    ),
    Case(
        "the last before a day",
        {"measure": "last_at", "op": "before", "value": "2026-05-01"},
        holds=((event(ago=timedelta(days=40)),), (event(ago=timedelta(days=40)), event(ago=-MONTH))),
        fails=((), (event(ago=timedelta(days=40)), event())),
    ),
    Case(
        "the last is not between, nor when there is none",
        {"measure": "last_at", "op": "not_between", "value": ["2026-05-01", "2026-05-31"]},
        holds=((), (event(ago=timedelta(days=60)),)),
        fails=((event(ago=timedelta(days=2)),),),
    ),
    Case(
        "the first value there was",
        {"measure": "first", "of": "category", "op": "equals", "value": "Hats"},
        holds=(
            (event(ago=MONTH, properties={"category": "Hats"}), SHOES),
            (event(ago=MONTH), HAT),
            (event(ago=MONTH, properties={"category": 5}), HAT),
        ),
        fails=((SHOES, event(ago=JUST, properties={"category": "Hats"})), ()),
    ),
    Case(
        "the last value there was, by message where moments are equal",
        {"measure": "last", "of": "price", "op": "gt", "value": 10},
        holds=((message("a", price=1), message("b", price=20)), (message("Z", price=1), message("a", price=20))),
        fails=((message("b", price=1), message("a", price=20)), (), (message("a", price="20"),)),
    ),
    Case(
        "an offset window",
        {"within": {"days": 30, "ago": {"days": 30}}},
        holds=((event(ago=MONTH + JUST),), (event(ago=2 * MONTH),)),
        fails=((event(ago=MONTH),), (event(ago=2 * MONTH + JUST),), ()),
    ),
    Case(
        "since a day",
        {"within": {"from": "2026-05-30"}},
        holds=(ONE,),
        fails=((event(ago=MONTH),), (event(ago=-JUST),)),
    ),
    Case("until a day", {"within": {"to": "2026-05-30"}}, holds=((event(ago=MONTH),),), fails=(ONE, ())),
    Case(
        "since another event",
        {"within": {"since": "Product Viewed"}, "op": "gte", "value": 1},
        holds=((event("Product Viewed", ago=MONTH), event()),),
        fails=(
            ONE,
            (event("Product Viewed"), event(ago=MONTH)),
            (event("Product Viewed"), event()),
            (event("Product Viewed", ago=MONTH), event(ago=timedelta(days=2)), event("Product Viewed")),
        ),
    ),
    Case(
        "none since another event",
        {"within": {"since": "Product Viewed"}, "op": "equals", "value": 0},
        holds=((), ONE, (event("Product Viewed"), event(ago=MONTH)), (event("Product Viewed", ago=-JUST), event())),
        fails=((event("Product Viewed", ago=MONTH), event()),),
    ),
    *(
        Case(
            period.replace("_", " "),
            {"within": period},
            holds=((event(ago=AS_OF - start),), (event(ago=AS_OF - end + JUST),)),
            fails=((event(ago=AS_OF - start + JUST),), (event(ago=AS_OF - end),), ()),
        )
        for period, start, end in (
            ("today", day(6, 1), AS_OF),
            ("yesterday", day(5, 31), day(6, 1)),
            ("this_week", day(6, 1), AS_OF),
            ("last_week", day(5, 25), day(6, 1)),
            ("this_month", day(6, 1), AS_OF),
            ("last_month", day(5, 1), day(6, 1)),
            ("this_quarter", day(4, 1), AS_OF),
            ("last_quarter", day(1, 1), day(4, 1)),
            ("this_year", day(1, 1), AS_OF),
            ("last_year", day(1, 1, 2025), day(1, 1)),
        )
    ),
    Case(
        "filters joined by any",
        {
            "where": [
                {
                    "any": [
                        {"property": "category", "op": "equals", "value": "Hats"},
                        {"all": [{"property": "price", "op": "gt", "value": 10}, {"property": "gift", "op": "exists"}]},
                    ]
                }
            ]
        },
        holds=((HAT,), (event(properties={"price": 11, "gift": False}),)),
        fails=((SHOES,), (), (event(properties={"price": 9, "gift": True}),)),
    ),
    Case(
        "a filter that is not so, or not known",
        {"where": [{"not": {"any": [{"property": "price", "op": "gt", "value": 10}]}}]},
        holds=((HAT,), (event(),), (event(properties={"price": "12"}),)),
        fails=((SHOES,), ()),
    ),
)

VIEWED, BOUGHT, REFUNDED = "Product Viewed", "Order Completed", "Order Refunded"


def story(*told: tuple[str, float] | tuple[str, float, object]) -> tuple[Occurrence, ...]:
    """Events as (name, hours ago, product)."""
    return tuple(
        event(name, ago=timedelta(hours=hours), properties={"product": more[0]} if more else {})
        for name, hours, *more in told
    )


RELATIONS: Final = (
    Case(
        "one after the other",
        {"sequence": [{"performed": VIEWED}, {"performed": BOUGHT}]},
        holds=(story((VIEWED, 3), (BOUGHT, 2)), story((BOUGHT, 5), (VIEWED, 3), (BOUGHT, 2))),
        fails=((), story((VIEWED, 3)), story((BOUGHT, 3), (VIEWED, 2)), story((VIEWED, 2), (BOUGHT, -1))),
    ),
    Case(
        "at the same moment the message decides",
        {"sequence": [{"performed": BOUGHT, "where": IS_A}, {"performed": BOUGHT, "where": IS_B}]},
        holds=((message("a", kind="A"), message("b", kind="B")), (message("Z", kind="A"), message("a", kind="B"))),
        fails=((message("b", kind="A"), message("a", kind="B")), (message("a", kind="A"), message("a", kind="B"))),
    ),
    Case(
        "in time, half-open",
        {"sequence": [{"performed": VIEWED}, {"performed": BOUGHT, "within": {"hours": 1}}]},
        holds=(story((VIEWED, 3), (BOUGHT, 2.001)), story((VIEWED, 9), (VIEWED, 3), (BOUGHT, 2.5))),
        fails=(story((VIEWED, 3), (BOUGHT, 2)), story((VIEWED, 3), (BOUGHT, 1))),
    ),
    Case(
        "and then not, once its time is over",
        {"sequence": [{"performed": VIEWED}, {"not_performed": BOUGHT, "within": {"hours": 24}}]},
        holds=(story((VIEWED, 24)), story((VIEWED, 30), (BOUGHT, 6)), story((VIEWED, 60), (VIEWED, 30), (BOUGHT, 29))),
        fails=(story((VIEWED, 23.9)), story((VIEWED, 30), (BOUGHT, 6.001)), (), story((BOUGHT, 30))),
    ),
    Case(
        "the same product",
        {"sequence": [{"performed": VIEWED}, {"performed": BOUGHT}], "same": "product"},
        holds=(story((VIEWED, 3, "p1"), (BOUGHT, 2, "p1")), story((VIEWED, 3, 1), (BOUGHT, 2, 1.0))),
        fails=(
            story((VIEWED, 3, "p1"), (BOUGHT, 2, "p2")),
            story((VIEWED, 3), (BOUGHT, 2)),
            story((VIEWED, 3, "1"), (BOUGHT, 2, 1)),
            story((VIEWED, 3, ["p1"]), (BOUGHT, 2, ["p1"])),
        ),
    ),
    Case(
        "the same product was not bought",
        {"sequence": [{"performed": VIEWED}, {"not_performed": BOUGHT, "within": {"hours": 1}}], "same": "product"},
        holds=(story((VIEWED, 3, "p1"), (BOUGHT, 2.5, "p2")),),
        fails=(story((VIEWED, 3, "p1"), (BOUGHT, 2.5, "p1")), story((VIEWED, 3), (BOUGHT, 2.5))),
    ),
    Case(
        "three steps, the first in a window",
        {
            "sequence": [{"performed": VIEWED}, {"performed": BOUGHT}, {"performed": REFUNDED, "within": {"days": 2}}],
            "within": {"days": 3},
        },
        holds=(story((VIEWED, 60), (BOUGHT, 50), (REFUNDED, 3)),),
        fails=(story((VIEWED, 80), (BOUGHT, 50), (REFUNDED, 3)), story((VIEWED, 60), (BOUGHT, 52), (REFUNDED, 3))),
    ),
    Case(
        "more of one than of another",
        {"performed": BOUGHT, "op": "gt", "than": {"performed": VIEWED}},
        holds=(ONE, (*TWO, event(VIEWED))),
        fails=((), (event(VIEWED),), (event(), event(VIEWED))),
    ),
    Case(
        "as many, or none of both",
        {"performed": BOUGHT, "op": "gte", "than": {"performed": VIEWED}},
        holds=((), ONE, (event(), event(VIEWED))),
        fails=((event(VIEWED),),),
    ),
    Case(
        "spent more lately than twice what they spent before",
        {
            "performed": BOUGHT,
            "measure": "sum",
            "within": {"days": 30},
            "op": "gt",
            "than": {"performed": BOUGHT, "measure": "sum", "within": {"days": 30, "ago": {"days": 30}}},
            "times": 2,
        },
        holds=((event(value="21"), event(value="10", ago=timedelta(days=40))), (event(value="1"),)),
        fails=((event(value="20"), event(value="10", ago=timedelta(days=40))), (event(value="-1"),), ()),
    ),
    Case(
        "averages are compared undivided, and only where both are there",
        {
            "performed": BOUGHT,
            "measure": "average",
            "op": "lte",
            "than": {"performed": VIEWED, "measure": "average"},
        },
        holds=((event(value="1"), event(value="0"), event(value="0"), event(VIEWED, value="0.3334")),),
        fails=(
            (event(value="1"), event(value="0"), event(value="0"), event(VIEWED, value="0.3333")),
            (event(value="-5"),),
            (event(VIEWED, value="5"),),
            (),
        ),
    ),
)
