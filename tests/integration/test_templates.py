"""Ready rules as this workspace and this reader may use them: over REST, and in the form of a new segment."""

from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from cdp.profiles.models import EventName, Trait
from segments.models import Segment
from segments.services import key_for
from segments.templates import TEMPLATES
from segments.text import lay_out
from segments.views import FIRST_RULE
from tests.factories import draft, identify, process_all, track, tracker
from tests.integration.callers import found, key, logged_in, problem

pytestmark = pytest.mark.django_db
AT_RISK = next(one for one in TEMPLATES if one.key == "at_risk")
FILL = "/admin/segments/segment/fill/"


def by_key(caller: Any) -> dict[str, Any]:
    return {one["key"]: one for one in found(caller.get("segments/templates/"))["templates"]}


# ---- Over REST ---------------------------------------------------------------------------------------------------


def test_each_is_told_with_its_rule_its_sentence_and_whether_it_can_be_used() -> None:
    before = by_key(key())
    assert before.keys() == {one.key for one in TEMPLATES}
    recent = before["recent_buyer"]
    assert recent["is_usable"] is False
    assert recent["reasons"] == [
        {"code": "unknown_event", "detail": 'there is no event "Order Completed"', "pointer": "/performed"}
    ]
    assert recent["sentence"] == "People who did Order Completed in the last 7 days."
    source = tracker()
    source.send(track("Order Completed", "ann", properties={"order_id": "1"}))
    process_all()
    after = by_key(key())["recent_buyer"]
    assert after == {**recent, "is_usable": True, "reasons": []}


def test_what_it_gives_can_be_made_a_segment() -> None:
    tracker().send(track("Order Completed", "ann", properties={"order_id": "1", "revenue": 20, "currency": "USD"}))
    process_all()
    caller = key()
    usable = [one for one in by_key(caller).values() if one["is_usable"]]
    assert {"recent_buyer", "top_spenders", "stopped", "started_again", "regular"} <= {one["key"] for one in usable}
    for one in usable:
        made = caller.post("segments/", {"name": one["name"], "rule": one["rule"], "publish": True})
        assert made.status_code == 201, made.content
        assert found(caller.post("segments/preview/", {"rule": one["rule"]}))["sentence"] == one["sentence"]


def test_who_may_not_read_people_is_told_so_and_gets_no_rule_on_personal_data() -> None:
    tracker().send(identify("ann", traits={"birthday": "1990-06-01"}))
    process_all()
    Trait.objects.filter(key="birthday").update(type="date", is_pii=True)
    reading, blind = by_key(key()), by_key(key("segments:read"))
    assert reading["birthday_soon"]["is_usable"]
    assert [one["code"] for one in blind["birthday_soon"]["reasons"]] == ["personal_data"]


def test_the_list_costs_the_same_however_many_there_are(django_assert_max_num_queries: Any) -> None:
    caller = key()
    by_key(caller)
    with django_assert_max_num_queries(12):
        by_key(caller)


def test_its_address_is_no_segment_s() -> None:
    caller = key()
    body = problem(
        caller.post("segments/", {"name": "T", "key": "templates", "rule": {"version": 1, "everyone": True}}), 409
    )
    assert (body["code"], body["pointer"]) == ("key_taken", "/key")
    assert key_for("Templates") == "templates-2"
    assert draft("others", {"everyone": True}).key == "others"
    assert problem(caller.get("segments/templates/?what=1"), 400)
    assert problem(logged_in().get("segments/templates/"), 403)


# ---- In the form -------------------------------------------------------------------------------------------------


@pytest.fixture
def marketer() -> Client:
    user = User.objects.create_user("mia", is_staff=True)
    user.groups.add(Group.objects.get(name="marketer"))
    client = Client()
    client.force_login(user)
    return client


def form(**given: str) -> dict[str, str]:
    """As a browser sends it, with its line ends."""
    sent = {"name": "", "description": "", "cadence": "daily", "refresh_minutes": "7", "daily_hour": "4"}
    sent |= {"rule": lay_out(FIRST_RULE), **given}
    return {name: value.replace("\n", "\r\n") for name, value in sent.items()}


def page(response: Any) -> str:
    return unescape(response.content.decode())


def test_a_template_fills_name_description_and_rule_and_leaves_the_rest(marketer: Client) -> None:
    EventName.objects.get_or_create(name="Order Completed")
    told = page(marketer.post(FILL, form(template="at_risk")))
    assert f'value="{AT_RISK.name}"' in told and f'value="{AT_RISK.purpose}"' in told
    assert f">{lay_out(AT_RISK.document)}</textarea>" in told
    assert "Filled in from “At risk”" in told
    assert '<option value="daily" selected>' in told and 'value="7"' in told and 'value="4"' in told
    assert "Put back what I had" not in told, "there was nothing yet"
    assert not Segment.objects.exists(), "it fills a form and makes nothing"


def test_what_was_written_by_hand_is_kept_and_put_back(marketer: Client) -> None:
    mine = '{"version": 1,\n "everyone": true}'
    told = page(marketer.post(FILL, form(template="at_risk", rule=mine, name="Mine")))
    assert "Put back what I had" in told
    assert 'name="kept_name" value="Mine"' in told and "everyone" in told
    back = form(template="", name=AT_RISK.name, rule=lay_out(AT_RISK.document))
    told = page(marketer.post(FILL, back | {"kept_name": "Mine", "kept_description": "", "kept_text": mine}))
    assert 'name="name" value="Mine"' in told and '[{"everyone": true}]' in told
    # From one template to the next nothing of anybody's own is lost.
    told = page(marketer.post(FILL, form(
        template="stopped", name=AT_RISK.name, description=AT_RISK.purpose, rule=lay_out(AT_RISK.document)
    )))  # fmt: skip
    assert "Put back what I had" not in told


def test_an_unknown_template_is_none_and_a_guest_fills_nothing(marketer: Client) -> None:
    assert marketer.post(FILL, form(template="nowhere")).status_code == 404
    assert marketer.get(FILL).status_code == 405
    guest = Client()
    guest.force_login(User.objects.create_user("guest", is_staff=True))
    assert guest.post(FILL, form(template="at_risk")).status_code == 403


def test_where_nothing_was_ever_seen_the_form_says_what_is_lacking(marketer: Client) -> None:
    EventName.objects.filter(pk__gt=0).delete()
    told = page(marketer.get("/admin/segments/segment/new/"))
    assert "Begin with a template" in told
    assert 'There is no event "Order Completed"' in told
