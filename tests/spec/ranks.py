"""What conditions on percentiles mean, as tables, in a world where the 90th percentile is 100 and the 50th is 2.

Where thresholds come from doesn't belong here.
"""

from datetime import timedelta
from typing import Any, Final

from segments.rules import Occurrence
from tests.spec.performed import Case
from tests.spec.world import event

BOUGHT, VIEWED = "Order Completed", "Product Viewed"
OLD: Final = timedelta(days=40)


def ranked(op: str, percentile: float, **more: Any) -> dict[str, Any]:
    return {"performed": BOUGHT, "op": op, "than": {"percentile": percentile}, **more}


def spent(*values: str | None, name: str = BOUGHT, ago: timedelta = timedelta(days=1)) -> tuple[Occurrence, ...]:
    return tuple(event(name, value=value, ago=ago) for value in values)


SUM: Final = {"measure": "sum"}
AVERAGE: Final = {"measure": "average"}

RANKED: Final = (
    Case(
        "among the top 10 %: the threshold itself belongs",
        ranked("gte", 90, **SUM),
        holds=(spent("100"), spent("60", "40"), spent("1000", None)),
        fails=((), spent("99.9999"), spent(None), spent("500", name=VIEWED), spent("100", "-1")),
    ),
    Case(
        "above the threshold",
        ranked("gt", 90, **SUM),
        holds=(spent("100.0001"),),
        fails=((), spent("100"), spent("50")),
    ),
    Case(
        "below the threshold is false of who isn't ranked",
        ranked("lt", 90, **SUM),
        holds=(spent("99.9999"), spent("-500"), spent(None)),
        fails=((), spent("100"), spent("5", name=VIEWED), spent("5", ago=timedelta(days=-1))),
    ),
    Case(
        "among the bottom half",
        ranked("lte", 50, **SUM),
        holds=(spent("2"), spent("0")),
        fails=((), spent("2.0001")),
    ),
    Case(
        "a negation takes in who isn't ranked",
        {"not": ranked("gte", 90, **SUM)},
        holds=((), spent("99"), spent("500", name=VIEWED)),
        fails=(spent("100"),),
    ),
    Case(
        "only the window is looked at, and only what the filters let through",
        ranked("gte", 50, within={"days": 30}, where=[{"property": "kind", "op": "equals", "value": "A"}]),
        holds=((event(properties={"kind": "A"}),) * 2,),
        fails=(
            (),
            (event(properties={"kind": "A"}),),
            (event(properties={"kind": "A"}), event(properties={"kind": "B"})),
            (event(properties={"kind": "A"}), event(properties={"kind": "A"}, ago=OLD)),
        ),
    ),
    Case(
        "whoever has the event and no figure isn't ranked",
        ranked("lt", 90, measure="max", of="price"),
        holds=((event(properties={"price": 99}),),),
        fails=((event(),), (event(properties={"price": "99"}),), (event(properties={"price": 100}),)),
    ),
    Case(
        "an average is ranked by four decimals, rounded down",
        ranked("gte", 50, **AVERAGE),
        holds=(spent("2"), spent("1.9999", "2.0002"), spent("1", "2", "3")),
        fails=((), spent("2", "2", "1.9999"), spent(None)),
    ),
    Case(
        "an average above it is so by a whole step",
        ranked("gt", 50, **AVERAGE),
        holds=(spent("2.0001"), spent("2.0001", "2.0002", "2.0001")),
        fails=((), spent("2"), spent("2.0001", "2", "2"), spent("2.0001", "2.0001", "2")),
    ),
    Case(
        "an average at most it has the rest of the step",
        ranked("lte", 50, **AVERAGE),
        holds=(spent("2"), spent("2.0001", "2.0001", "2"), spent("-7")),
        fails=((), spent("2.0001"), spent("2.0001", "2.0002", "2.0001")),
    ),
    Case(
        "a negative average is rounded down, too",
        ranked("lt", 0.01, **AVERAGE),
        holds=(spent("-1.0001"), spent("-1", "-1", "-1.0001")),
        fails=((), spent("-1"), spent("-0.9999")),
    ),
    Case(
        "where nobody is ranked it is false of everybody",
        ranked("lt", 99.99, **SUM),
        holds=(),
        fails=((), spent("1"), spent("-1000")),
    ),
)
