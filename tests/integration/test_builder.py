"""The builder's answers over HTTP: who gets one, what is in it, and that nothing of a rule becomes markup."""

import gzip
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from cdp.profiles.models import EventName, Trait, Workspace
from segments.fields.models import FieldStatistics
from segments.models import Segment
from segments.text import lay_out
from tests.factories import draft, performed

pytestmark = pytest.mark.django_db

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def known(db: None) -> None:
    EventName.objects.create(name="Bought", label="Bought")
    Trait.objects.create(key="colour", label=HOSTILE, type="text")


def client_of(role: str) -> Client:
    user = User.objects.create_user(role, password="not used", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def size_is(number: int) -> dict[str, Any]:
    return {"property": f"size{number}", "op": "equals", "value": "L"}


def build(client: Client, document: Any, **given: str) -> Any:
    text = document if isinstance(document, str) else lay_out({"version": 1, **document})
    return client.post(reverse("admin:segments_segment_build"), {"rule": text, **given})


def test_a_step_comes_back_as_the_draft_after_it(known: None) -> None:
    marketer = client_of("marketer")
    answer = build(marketer, {"all": []}, do="add", into="/all", subject="performed:Bought")
    assert answer.status_code == 200
    rule = json.loads(answer.context["text"])
    assert rule["all"] == [{"performed": "Bought", "op": "gte", "value": 1, "within": {"days": 30}}]
    page = answer.content.decode()
    assert 'data-said="Add Bought"' in page and "The rule is sound" in page and "who did Bought" in page
    refused = build(marketer, {"all": []}, do="remove", what="/all/7")
    assert refused.status_code == 422 and "no such place" in refused.content.decode()
    assert json.loads(refused.context["text"]) == {"version": 1, "all": []}
    broken = build(marketer, "{")
    assert broken.status_code == 422 and "not JSON" in broken.content.decode()
    assert broken.content.decode().count(f'"{reverse("admin:segments_segment_build")}"') == 2, (
        "so that it can be mended"
    )


def test_what_is_in_a_rule_or_a_catalogue_is_never_markup(known: None) -> None:
    marketer = client_of("marketer")
    document = {"all": [{"trait": "colour", "op": "any_of", "value": [HOSTILE]}, {HOSTILE: HOSTILE}, {"performed": HOSTILE, "where": [
        {"property": HOSTILE, "op": "equals", "value": HOSTILE}]}, {"in_segment": HOSTILE}]}  # fmt: skip
    page = build(marketer, document).content.decode()
    assert "<img" not in page and page.count("&lt;img") >= 6


def test_the_page_of_a_rule_has_no_list_of_what_conditions_can_be_about(known: None) -> None:
    EventName.objects.bulk_create(EventName(name=f"Event {n}", label=f"Event {n}") for n in range(300))
    Trait.objects.bulk_create(Trait(key=f"trait{n}", label=f"Trait {n}", type="text") for n in range(300))
    marketer = client_of("marketer")
    kinds = [
        {"trait": "colour", "op": "any_of", "value": ["a"]}, performed("Bought", 3),
        {"performed": "Bought", "measure": "sum", "op": "gt", "value": 500, "within": {"days": 30}},
        {"performed": "Bought", "where": [{"property": "size", "op": "equals", "value": "L"}], "within": {"days": 7}},
        {"sequence": [{"performed": "Bought"}, {"not_performed": "Bought", "within": {"hours": 24}}]},
    ]  # fmt: skip
    segment = draft("large", {"all": [kinds[n % len(kinds)] for n in range(30)]})
    page = marketer.get(reverse("admin:segments_segment_detail", args=[segment.uuid])).content
    assert (
        page.count(b'role="group" aria-label="Condition') == 30
        and b"Event 299" not in page.split(b'id="builder"')[1].split(b"</section>")[0]
    )
    linked = {one.decode() for one in re.findall(rb'(?:href|src)="/static/([^"]+\.(?:css|js))"', page)}
    assert {"cdp/js/picker.js", "cdp/css/builder.css"} <= {re.sub(r"\.[0-9a-f]{12}", "", one) for one in linked}
    ours = [Path(str(finders.find(re.sub(r"\.[0-9a-f]{12}", "", one)))).read_bytes() for one in linked]
    weight = sum(len(gzip.compress(one)) for one in (page, *ours))
    assert weight < 150_000, f"{weight:,} bytes, {len(gzip.compress(page)):,} of them the page"


def test_a_property_is_asked_for_by_what_its_values_are_and_money_in_its_currency(known: None) -> None:
    counted = {"kind": "property", "event": "Bought", "filled": 9, "of": 9, "as_of": timezone.now()}
    FieldStatistics.objects.create(key="price", type="number", **counted)
    FieldStatistics.objects.create(key="is_gift", type="boolean", **counted)
    where = [{"property": "price", "op": "equals"}, {"property": "is_gift", "op": "equals"}]
    document = {
        "all": [
            {"performed": "Bought", "where": where, "measure": "sum", "op": "gt", "value": 5, "within": {"days": 3}}
        ]
    }
    for role, may_count in (("marketer", True), ("integrator", False)):
        page = build(client_of(role), document).content.decode()
        assert "Value in USD" in page and "<option>true</option><option>false</option>" in page
        assert ("&quot;figure&quot;" in page) == may_count and page.count("see its distribution") == 1 + may_count
    marketer = Client()
    marketer.force_login(User.objects.get(username="marketer"))
    answer = build(
        marketer,
        document,
        do="set",
        node="/all/0/where/0",
        at="/all/0/where/0/value",
        part="2",
        value="1,200",
        **{"as": "number"},
    )
    assert json.loads(answer.context["text"])["all"][0]["where"][0] == {
        "property": "price",
        "op": "equals",
        "value": 1200,
    }


def test_days_are_offered_in_words_to_who_sees_segments(known: None) -> None:
    address = reverse("admin:segments_segment_phrases")
    Workspace.current()
    Workspace.objects.update(frozen_at=datetime(2026, 7, 31, 23, tzinfo=UTC), time_zone="Asia/Tokyo")
    marketer = client_of("marketer")
    page = marketer.get(address, {"q": "30 days ago", "moving": "yes"}).content.decode()
    assert 'data-value="2026-07-02"' in page and "Within the last 30 days" in page, "it is August already in Tokyo"
    assert "Within" not in marketer.get(address, {"q": "30 days ago"}).content.decode()
    hostile = marketer.get(address, {"q": HOSTILE}).content.decode()
    assert "<img" not in hostile and 'role="option"' not in hostile
    nobody = Client()
    nobody.force_login(User.objects.create_user("nobody", password="not used", is_staff=True))
    assert nobody.get(address).status_code == 403
    since = (
        build(marketer, {"all": [{"performed": "Bought", "within": {"from": "2026-01-01"}}]})
        .context["root"]
        .rows[0]
        .controls[-1]
    )
    given = {**json.loads(since.set), "value": "yesterday"}
    answer = build(marketer, {"all": [{"performed": "Bought", "within": {"from": "2026-01-01"}}]}, **given)
    assert json.loads(answer.context["text"])["all"][0]["within"] == {"from": "2026-07-31"}


def test_who_sees_no_segments_builds_none(known: None) -> None:
    for role in ("marketer", "compliance", "integrator"):
        assert build(client_of(role), {"all": []}).status_code == 200
    nobody = Client()
    nobody.force_login(User.objects.create_user("nobody", password="not used", is_staff=True))
    assert build(nobody, {"all": []}).status_code == 403
    assert Client().post(reverse("admin:segments_segment_build"), {}).status_code == 302


def test_a_page_asks_as_much_of_the_database_for_a_large_rule_as_for_a_small_one(known: None) -> None:
    marketer = client_of("marketer")
    small, large = (
        draft(f"s{size}", {"all": [{**performed("Bought", n + 1), "where": [size_is(n)]} for n in range(size)]})
        for size in (2, 40)
    )
    asked = []
    for segment in (small, large, small, large):
        with CaptureQueriesContext(connection) as queries:
            assert marketer.get(reverse("admin:segments_segment_detail", args=[segment.uuid])).status_code == 200
        asked.append(len(queries))
    assert asked[2] == asked[3]
    assert Segment.objects.count() == 2


@pytest.mark.parametrize("text", ["{", '{"version": 1, "all": [{"performed": "Bought"}]}', "", "[" * 500])
def test_whatever_is_shown_its_steps_go_to_the_builder_and_nowhere_else(known: None, text: str) -> None:
    """An empty address would be the page's own, where a segment is saved."""
    client = client_of("marketer")
    for answer in (build(client, text), build(client, text, do="remove", what="/all/7")):
        asked = set(re.findall(r'hx-(?:post|get)="([^"]*)"', answer.content.decode()))
        assert reverse("admin:segments_segment_build") in asked and "" not in asked
