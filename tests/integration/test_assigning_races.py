"""Assigning races with itself, with objections and with new events; what comes of it must be as if they had queued."""

from typing import Any

from cdp.profiles.models import Profile
from consent.models import StopKind
from consent.stops import stop
from segments.clustering.assigning import assign, assign_arrived
from tests.factories import BY, identify, person, process_all, track, tracker
from tests.integration.books import assert_books_balance
from tests.integration.crew import crew
from tests.integration.live_clusters import arrive, cluster, live_clustering, shop


def test_two_who_assign_at_once_an_objection_and_new_events_end_as_if_they_had_queued(own_database: Any) -> None:
    shop()
    made = live_clustering()
    for number in range(6):
        arrive(f"new{number}", looks=10, points=2)
    tracker().send(*(track("Product Viewed", "u0") for _ in range(12)), identify("u0", traits={"points": 0}))
    everybody = list(Profile.objects.values_list("pk", flat=True))

    def object_to_it() -> None:
        for user in ("u1", "new1", "new2"):
            stop(profile=person(user), kind=StopKind.PROFILING, by=BY)

    with crew(4) as workers:
        workers.race([assign_arrived, lambda: assign(everybody, clustering=made), object_to_it, process_all])
    assert cluster("u1") is None and cluster("new1") is None and cluster("new2") is None
    assign_arrived()
    assert cluster("u0") == cluster("new0") == cluster("u3")
    assert assign(everybody, clustering=made).changed == 0
    process_all()
    assert_books_balance()
