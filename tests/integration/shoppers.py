"""Three people whom tests about segments know by heart, and the rules that tell them apart."""

from datetime import timedelta

from tests.factories import Tracker, identify, performed, process_all, track, tracker

DAY = timedelta(days=1)
BUYERS = performed("Bought")
LOYAL = performed("Bought", 2)


def ann_bob_and_cyd() -> Tracker:
    """Ann bought 3 times, Bob once, long ago; Cyd only looked."""
    shop = tracker()
    shop.send(*(track("Bought", "ann", properties={"revenue": 10 * n}) for n in (1, 2, 3)))
    shop.send(track("Bought", "bob", ago=40 * DAY, properties={"revenue": 500}), track("Looked", "cyd"))
    shop.send(
        identify("ann", traits={"city": "Bern", "tags": ["vip"], "age": 30}),
        identify("bob", traits={"city": "Rome", "tags": ["old"]}),
        identify("cyd", traits={"age": 71}),
    )
    process_all()
    return shop
