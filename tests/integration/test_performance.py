"""How people did since they entered a segment, against figures worked out by hand."""

from datetime import UTC, date, datetime, timedelta
from math import sqrt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cdp.audit.models import AuditEntry
from cdp.errors import DomainError
from cdp.profiles.models import Profile, Workspace
from consent.models import Decision, Purpose
from segments.models import Segment
from segments.performance import Performance, Source, past_of, performance_of
from tests.factories import BY, Call, identify, live, performed, person, process_all, track, tracker
from tests.integration.callers import decide
from tests.integration.test_flows import empty, entered, exited

pytestmark = pytest.mark.django_db

# A Monday in Zurich, whose clocks were put forward the week before.
NOW = datetime(2026, 4, 6, 10, tzinfo=UTC)
TUESDAY = datetime(2026, 3, 3, 12, tzinfo=UTC)
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
FIRST = [f"a{n}" for n in range(6)]
SECOND = [f"b{n}" for n in range(5)]
LATE = [f"d{n}" for n in range(5)]
OTHERS = [f"c{n}" for n in range(10)]


def order(user: str, at: datetime, value: int, order_id: str = "") -> Call:
    said: dict[str, Any] = {"total": value, "currency": "USD"} | ({"order_id": order_id} if order_id else {})
    return track("Order Completed", user, timestamp=at.isoformat(), properties=said)


def refund(user: str, at: datetime, value: int, order_id: str) -> Call:
    said = {"total": value, "currency": "USD", "order_id": order_id}
    return track("Order Refunded", user, timestamp=at.isoformat(), properties=said)


@pytest.fixture
def segment() -> Segment:
    """Six entered on 3 March, five a week later, five on 24 March; ten never did."""
    Workspace.objects.update_or_create(pk=1, defaults={"time_zone": "Europe/Zurich", "frozen_at": NOW})
    shop = tracker()
    shop.send(*(identify(user, timestamp="2026-01-05T12:00:00Z") for user in [*FIRST, *SECOND, *LATE, *OTHERS]))
    shop.send(
        order("a0", TUESDAY, 100),  # it made them enter
        order("a0", TUESDAY + timedelta(hours=1), 50, "o1"),
        refund("a0", TUESDAY + 9 * DAY, 10, "o1"),
        order("a1", TUESDAY + 2 * WEEK, 30),  # the last moment of the second week
        order("a2", TUESDAY + 2 * WEEK + timedelta(seconds=1), 20),
        order("a3", NOW + DAY, 1000),  # not yet
        order("b0", TUESDAY + 8 * DAY, 40),
        order("c0", TUESDAY + DAY, 60),
        order("c1", TUESDAY + 9 * DAY, 20),
        order("c2", TUESDAY - DAY, 500),  # before anybody entered
    )
    process_all()
    Profile.objects.filter(identifiers__value__in=LATE).update(first_seen_at=TUESDAY + 2 * WEEK + 3 * DAY)
    segment = empty("vip")
    for users, at in ((FIRST, TUESDAY), (SECOND, TUESDAY + WEEK), (LATE, TUESDAY + 3 * WEEK)):
        for user in users:
            entered(segment, person(user).pk, at)
    exited(segment, person("a1").pk, TUESDAY + 2 * DAY)
    return segment


def asked(segment: Segment, **more: Any) -> Performance:
    return performance_of(segment=segment, purpose=Purpose.objects.get(key="internal_analysis"), by=BY, **more)


def test_cohorts_are_weeks_of_entering_and_tell_only_what_is_over_for_all(segment: Segment) -> None:
    cohorts = {one.begins: one for one in asked(segment).cohorts if one.people}
    # Those of 2 March have been in for four whole weeks, whoever entered on its last day too.
    assert {begins: (one.people, one.ordered) for begins, one in cohorts.items()} == {
        date(2026, 3, 2): (6, [1, 1, 1, 0]),
        date(2026, 3, 9): (5, [1, 0, 0]),
        date(2026, 3, 23): (5, [0]),
    }


def test_members_are_followed_from_their_own_entering_on(segment: Segment) -> None:
    found = asked(segment, horizon=2)
    assert found.members is not None
    assert dict(found.followed) == {2: 11, 4: 6, 8: 0, 12: 0}
    # 50 and 40 in the first week; 30 less the refund of 10 in the second.
    assert found.members.revenue == pytest.approx([90 / 11, 110 / 11])
    assert found.members.ordered == pytest.approx([2 / 11, 3 / 11])
    assert found.members.orders == pytest.approx(3 / 11)
    # 40, 30, 40 and eight times nothing: their sample variance is 300.
    reach = 1.959964 * sqrt(300 / 11)
    assert (found.members.revenue_low[-1], found.members.revenue_high[-1]) == pytest.approx((10 - reach, 10 + reach))
    # Wilson, 3 of 11.
    assert (found.members.ordered_low[-1], found.members.ordered_high[-1]) == pytest.approx((0.0975, 0.5656), abs=1e-4)


def test_beside_them_stand_all_who_had_not_entered_then(segment: Segment) -> None:
    everyone = asked(segment, horizon=2).everyone
    assert everyone is not None
    # Of the first week 15 (the five who entered a week later among them): 60, then 20 and 40. Of the second 10: 20.
    assert everyone.people == 25
    assert everyone.revenue == pytest.approx(
        [6 / 11 * 60 / 15 + 5 / 11 * 20 / 10, 6 / 11 * 120 / 15 + 5 / 11 * 20 / 10]
    )
    assert everyone.ordered == pytest.approx([6 / 11 * 1 / 15 + 5 / 11 / 10, 6 / 11 * 3 / 15 + 5 / 11 / 10])
    # Of the first week 60, 20, 40 and twelve times nothing; of the second 20 and nine times nothing.
    first, second = (5600 - 120 * 8) / 14, (400 - 20 * 2) / 9
    assert everyone.revenue_error == pytest.approx((6 / 11) ** 2 * first / 15 + (5 / 11) ** 2 * second / 10)


def test_who_does_not_permit_it_counts_on_neither_side(segment: Segment) -> None:
    decide("a0", "internal_analysis", Decision.WITHDRAWN)
    decide("c0", "internal_analysis", Decision.WITHDRAWN)
    found = asked(segment, horizon=2)
    assert found.members is not None and found.everyone is not None
    assert found.members.people == 10 and found.members.revenue[-1] == pytest.approx(70 / 10)
    assert found.everyone.people == 23
    assert found.everyone.revenue[-1] == pytest.approx(5 / 10 * 60 / 14 + 5 / 10 * 20 / 9)


def test_of_a_few_people_nothing_is_told(segment: Segment) -> None:
    for user in FIRST[:2]:
        decide(user, "internal_analysis", Decision.WITHDRAWN)
    found = asked(segment, horizon=4)
    assert (found.followed[4], found.members, found.everyone) == (4, None, None)
    assert [one.is_told for one in found.cohorts if one.people] == [False, True, True]


def test_the_time_followed_is_the_longest_for_which_there_are_people(segment: Segment) -> None:
    assert asked(segment).horizon == 2
    with pytest.raises(DomainError, match="weeks is one of"):
        asked(segment, horizon=3)


def test_weeks_begin_at_midnight_of_the_workspace(segment: Segment) -> None:
    monday = datetime(2026, 3, 15, 23, tzinfo=UTC)  # midnight in Zurich
    entered(segment, person("c0").pk, monday)
    entered(segment, person("c1").pk, monday - timedelta(microseconds=1))
    cohorts = {one.begins: one.people for one in asked(segment).cohorts if one.people}
    assert (cohorts[date(2026, 3, 9)], cohorts[date(2026, 3, 16)]) == (6, 1)


def test_an_amount_without_a_rate_is_told_of(segment: Segment) -> None:
    said = {"total": 5, "currency": "XTS"}
    tracker().send(track("Order Completed", "b1", timestamp=(TUESDAY + 8 * DAY).isoformat(), properties=said))
    process_all()
    found = asked(segment, horizon=2)
    assert found.unpriced == 1 and found.members is not None
    assert found.members.revenue[-1] == pytest.approx(10) and found.members.ordered[-1] == pytest.approx(4 / 11)


def test_looking_is_on_record_and_asks_no_more_often_for_more_people(segment: Segment) -> None:
    asked(segment, horizon=2)
    entry = AuditEntry.objects.get(action="segment.performance_read")
    assert (entry.object_id, entry.purpose) == (str(segment.uuid), "internal_analysis")
    assert entry.detail == {"source": "record", "weeks": 2, "members": 16}
    with CaptureQueriesContext(connection) as few:
        asked(segment, horizon=2)
    for user in OTHERS[3:]:
        entered(segment, person(user).pk, TUESDAY + WEEK)
    with CaptureQueriesContext(connection) as many:
        asked(segment, horizon=2)
    assert len(few) == len(many) < 20


# ---- Had the rule been live ------------------------------------------------------------------------------------------


def test_a_rule_on_events_tells_who_would_have_entered_on_which_monday(segment: Segment) -> None:
    buyers = live("buyers", performed("Order Completed", within={"days": 28}))
    found = asked(buyers, source=Source.RULE, horizon=2)
    cohorts = {one.begins: (one.people, one.ordered) for one in found.cohorts if one.people}
    # a0, c0 and c2 ordered in the week before 9 March; a1's order of the 17th is after that Monday, as a2's.
    assert cohorts == {
        date(2026, 3, 9): (3, [0, 0, 0]),
        date(2026, 3, 16): (2, [0, 0]),
        date(2026, 3, 23): (2, [0]),
    }
    assert past_of(buyers) == []


def test_a_rule_on_what_has_no_past_is_refused_with_the_reason(segment: Segment) -> None:
    tracker().send(identify("a0", traits={"city": "Bern"}))
    process_all()
    bern = live("bern", {"trait": "city", "op": "equals", "value": "Bern"})
    (reason,) = past_of(bern)
    assert "only conditions on events can be asked about a past moment" in reason and "whose City is" in reason
    with pytest.raises(DomainError, match="can't be asked about the past"):
        asked(bern, source=Source.RULE)
