"""Why one person is in a rule, or isn't: over REST, on people made by hand, and only when both engines say the same."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection

from cdp.audit.models import AuditEntry
from cdp.profiles.models import Event, EventTotal, Trait
from cdp.rest.models import Scope
from consent.models import Decision
from segments.models import Segment
from segments.services import save_version
from segments.sharing import share_segment
from segments.why import MOST_EVENTS
from tests.factories import BY, draft, identify, live, performed, person, process_all, rule, track, tracker
from tests.integration.callers import Caller, decide, found, key, logged_in, problem
from tests.integration.shoppers import DAY, ann_bob_and_cyd

pytestmark = pytest.mark.django_db

SPENT = {"performed": "Bought", "measure": "sum", "op": "gt", "value": 500}
BOUGHT, LOOKED = performed("Bought"), performed("Looked")
OFTEN = performed("Bought", 5, within={"days": 30})
FROM_BERN = {"trait": "city", "op": "equals", "value": "Bern"}


@pytest.fixture
def shop(db: None) -> None:
    ann_bob_and_cyd()


def ask(caller: Caller, segment: Segment, identifier: str, **query: Any) -> Any:
    return caller.get(f"segments/{segment.key}/why/{quote(identifier, safe='')}/", **query)


def told(condition: Any, user: str, **query: Any) -> dict[str, Any]:
    segment = draft("asked", condition)
    return found(ask(key(sees=[segment]), segment, f"user_id:{user}", **query))


def test_every_condition_has_its_verdict_and_what_was_found(shop: None) -> None:
    body = told({"all": [OFTEN, SPENT, {"not": FROM_BERN}, {"any": [{"everyone": True}]}]}, "ann")
    assert (body["profile"], body["segment"], body["version"]) == (str(person("ann").uuid), "asked", 1)
    assert (body["holds"], body["tree"]["form"], body["tree"]["pointer"]) == (False, "all", "")
    often, spent, not_bern, any_ = body["tree"]["conditions"]
    assert [one["holds"] for one in body["tree"]["conditions"]] == [False, False, False, True]

    assert (often["pointer"], often["finding"]["said"]) == ("/all/0", "3 of at least 5 times")
    assert (often["finding"]["actual"], often["finding"]["event_count"]) == (3, 3)
    assert often["finding"]["hint"] == {
        "kind": "more_events", "amount": "2.0000", "sentence": "2 more Bought in the last 30 days",
    }  # fmt: skip
    assert spent["finding"]["said"] == "60.00 of more than 500.00"
    assert spent["finding"]["actual"] == "60.0000"
    (bern,) = not_bern["conditions"]
    assert (bern["wanted"], bern["finding"]["actual"], bern["finding"]["hint"]["kind"]) == (False, "Bern", "trait")
    assert any_["conditions"][0]["finding"] is None


def test_the_events_that_count_are_named_newest_first(shop: None) -> None:
    evidence = told(performed("Bought"), "ann")["tree"]["finding"]["events"]
    stored = Event.objects.filter(profile_id=person("ann").pk, value__isnull=False).order_by(
        "-occurred_at", "-message_id"
    )
    assert [(one["id"], one["message_id"], one["value"]) for one in evidence] == [
        (one.id, one.message_id, str(one.value)) for one in stored
    ]
    assert len(evidence) == 3


def test_how_the_person_stands_is_told_beside_the_verdict(shop: None) -> None:
    segment = live("buyers", performed("Bought"))
    save_version(segment=segment, rule=rule(performed("Bought", 2)), by=BY)
    caller = key(sees=[segment])
    body = found(ask(caller, segment, "user_id:bob"))
    assert (body["version"], body["holds"], body["is_member"]) == (1, True, True)
    assert body["entered_at"]
    body = found(ask(caller, segment, "user_id:bob", version=2))
    assert (body["version"], body["holds"], body["is_member"]) == (2, False, True)
    assert problem(ask(caller, segment, "user_id:bob", version=3), 404)["code"] == "version_not_found"


def test_another_segment_is_read_as_it_stands(shop: None) -> None:
    buyers = live("buyers", performed("Bought"))
    segment = draft("asked", {"not": {"in_segment": "buyers"}})
    body = found(ask(key(sees=[segment, buyers]), segment, "user_id:bob"))
    assert (body["holds"], body["tree"]["conditions"][0]["finding"]["said"]) == (False, 'is in the segment "Buyers"')


# ---- Past moments --------------------------------------------------------------------------------------------


def test_a_past_moment_is_judged_by_what_had_happened(shop: None) -> None:
    then = datetime.now(UTC) - 20 * DAY
    segment = draft("asked", {"all": [performed("Bought", within={"days": 30})]})
    caller = key(sees=[segment])
    for user, now_holds, then_held in (("ann", True, False), ("bob", False, True)):
        assert found(ask(caller, segment, f"user_id:{user}"))["holds"] is now_holds
        body = found(ask(caller, segment, f"user_id:{user}", as_of=then.isoformat()))
        assert body["holds"] is then_held
        assert datetime.fromisoformat(body["as_of"]) == then


def test_of_traits_and_segments_no_past_is_kept(shop: None) -> None:
    live("buyers", performed("Bought"))
    segment = draft("asked", {"all": [OFTEN, FROM_BERN, {"not": {"in_segment": "buyers"}}]})
    caller = key(sees=[segment])
    then = (datetime.now(UTC) - DAY).isoformat()
    body = problem(ask(caller, segment, "user_id:ann", as_of=then), 400)
    assert [(one["code"], one["pointer"]) for one in body["errors"]] == [
        ("no_history", "/rule/all/1/trait"),
        ("no_history", "/rule/all/2/not/in_segment"),
    ]
    ahead = (datetime.now(UTC) + DAY).isoformat()
    segment = draft("events", OFTEN)
    share_segment(segment=segment, user=caller.user, by=BY)
    assert problem(ask(caller, segment, "user_id:ann", as_of=ahead), 400)["code"] == "as_of_ahead"
    long_ago = found(ask(caller, segment, "user_id:ann", as_of="1970-01-01T00:00:00Z"))
    assert (long_ago["holds"], long_ago["tree"]["finding"]["actual"]) == (False, 0)
    assert problem(ask(caller, segment, "user_id:ann", as_of="0001-01-01T00:00:00Z"), 400)["code"] == "out_of_range"


# ---- Only what is certain ------------------------------------------------------------------------------------


def test_no_story_is_told_when_the_engines_disagree(shop: None) -> None:
    segment = draft("asked", performed("Bought", 3))
    caller = key(sees=[segment])
    assert found(ask(caller, segment, "user_id:ann"))["holds"] is True
    # Totals that have lost touch with the events they sum up: what the database goes by, and what is read.
    EventTotal.objects.filter(profile=person("ann"), name__name="Bought").update(count=2)
    body = problem(ask(caller, segment, "user_id:ann"), 500)
    assert body["code"] == "engines_disagree"
    assert AuditEntry.objects.filter(action="profile.explained").count() == 1, "the first read only"


def test_numbers_are_compared_as_they_were_sent(db: None) -> None:
    shop = tracker()
    # As a float it would be 0.00005, and round up.
    shop.send(track("Bought", "ann", properties={"weight": 1}))
    process_all()
    with connection.cursor() as cursor:
        cursor.execute("""UPDATE profiles_event SET properties = '{"weight": 0.00004999999999999999999999}'""")
    body = told({"performed": "Bought", "measure": "sum", "of": "weight", "op": "gt", "value": 0}, "ann")
    assert (body["holds"], body["tree"]["finding"]["said"]) == (False, "0 of more than 0")


def test_a_life_too_long_to_tell_is_refused_and_not_cut_short(shop: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO profiles_event (occurred_at, profile_id, name_id, type, message_id, source_id, received_at,"
            " properties, context) SELECT now() - interval '1 day', profile_id, name_id, 1, 'n' || n, 1, now(), '{}', '{}'"
            " FROM (SELECT profile_id, name_id FROM profiles_eventtotal WHERE profile_id = %s LIMIT 1) AS one,"
            " generate_series(1, %s) AS n",
            [person("bob").pk, MOST_EVENTS],
        )
    segment = draft("asked", {"any": [OFTEN, performed("Looked")]})
    assert problem(ask(key(sees=[segment]), segment, "user_id:bob"), 409)["code"] == "too_many_events"


# ---- Who may ask ---------------------------------------------------------------------------------------------


def test_personal_data_is_hidden_from_who_may_not_see_it(shop: None) -> None:
    tracker().send(identify("ann", traits={"email": "ann@example.com"}))
    process_all()
    Trait.objects.filter(key="city").update(is_pii=True)
    segment = draft("asked", {"all": [FROM_BERN, {"trait": "email", "op": "exists"}]})
    masked = key(Scope.PROFILES_READ, Scope.SEGMENTS_READ, sees=[segment])
    for caller in (masked, logged_in("compliance")):
        body = found(ask(caller, segment, "user_id:ann"))
        assert body["is_masked"] is True and body["holds"] is True
        for leaf in body["tree"]["conditions"]:
            assert (leaf["finding"]["is_hidden"], leaf["finding"]["actual"]) == (True, None)
            assert "ann@" not in str(leaf) and 'is "Bern"' not in leaf["finding"]["said"]
    body = found(ask(key(sees=[segment]), segment, "user_id:ann"))
    assert body["tree"]["conditions"][0]["finding"]["actual"] == "Bern"


def test_who_is_in_a_segment_that_is_not_shared_stays_hidden(shop: None) -> None:
    live("secret", performed("Bought"))
    inside = {"in_segment": "secret"}
    segment = draft("asked", {"all": [{"not": inside}, {"any": [inside, LOOKED]}, {"any": [inside, BOUGHT]}]})
    body = found(ask(key(sees=[segment]), segment, "user_id:ann"))
    outside, hangs, decided = body["tree"]["conditions"]
    (leaf,) = outside["conditions"]
    assert (leaf["holds"], leaf["finding"]["is_hidden"], leaf["finding"]["actual"]) == (None, True, None)
    assert leaf["finding"]["hint"] is None and "Secret" not in str(body)
    assert [one["holds"] for one in (outside, hangs, decided)] == [None, None, True]
    assert (body["holds"], body["tree"]["holds"]) == (False, None), "only of the whole is the verdict told"


def test_it_takes_the_right_to_the_person_and_the_right_to_the_segment(shop: None) -> None:
    segment = draft("asked", OFTEN)
    for scope in (Scope.PROFILES_READ, Scope.SEGMENTS_READ):
        others = [one for one in Scope.values if one != scope]
        body = problem(ask(key(*others, sees=[segment]), segment, "user_id:ann"), 403)
        assert body["code"] == "scope_missing" and scope in body["detail"]
    assert problem(ask(key(), segment, "user_id:ann"), 404)["code"] == "segment_not_found"
    assert problem(ask(logged_in(), segment, "user_id:ann"), 403)["code"] == "permission_missing"


def test_who_objects_can_not_be_told_from_who_is_unknown(shop: None) -> None:
    segment = draft("asked", OFTEN)
    caller = key(sees=[segment])
    decide("ann", "internal_analysis", Decision.WITHDRAWN)
    unknown, objecting = (problem(ask(caller, segment, f"user_id:{user}"), 404) for user in ("zoe", "ann"))
    assert {**unknown, "request_id": ""} == {**objecting, "request_id": ""}
    found(ask(caller, segment, "user_id:ann", purpose="privacy_rights"))
    assert problem(ask(caller, segment, "user_id:ann", purpose="curiosity"), 400)["code"] == "purpose_unknown"


def test_every_explanation_is_on_record_without_values(shop: None) -> None:
    segment = draft("asked", FROM_BERN)
    body = found(ask(key(sees=[segment]), segment, "user_id:ann"))
    entry = AuditEntry.objects.get(action="profile.explained")
    assert (entry.object_id, entry.purpose) == (str(person("ann").uuid), "internal_analysis")
    assert entry.detail.keys() == {"segment", "version", "as_of", "masked"}
    assert datetime.fromisoformat(body["as_of"]) == datetime.fromisoformat(entry.detail["as_of"])
    assert "Bern" not in str(entry.detail)


def test_an_explanation_costs_the_same_however_long_the_rule(shop: None, django_assert_max_num_queries: Any) -> None:
    leaves = [performed("Bought", number, within={"days": 30}) for number in range(1, 40)]
    segment = draft("asked", {"any": [*leaves, FROM_BERN]})
    caller = key(sees=[segment])
    with django_assert_max_num_queries(30):
        found(ask(caller, segment, "user_id:cyd"))


def test_a_rule_that_no_longer_fits_is_refused_with_its_places(shop: None) -> None:
    segment = draft("asked", {"all": [FROM_BERN, OFTEN]})
    Trait.objects.filter(key="city").update(key="town")
    body = problem(ask(key(sees=[segment]), segment, "user_id:ann"), 400)
    assert [(one["code"], one["pointer"]) for one in body["errors"]] == [("unknown_trait", "/rule/all/0/trait")]


def test_an_event_dated_ahead_has_not_happened(db: None) -> None:
    tracker().send(track("Bought", "ann", ago=-timedelta(hours=1)), track("Bought", "ann"))
    process_all()
    body = told(performed("Bought", 2), "ann")
    assert (body["holds"], body["tree"]["finding"]["actual"]) == (False, 1)
    ahead = Event.objects.latest("occurred_at").occurred_at
    finding = body["tree"]["finding"]
    assert datetime.fromisoformat(finding["turns_at"]) == ahead + timedelta(microseconds=1), "but it will have"
    assert finding["looked_until"] is None
