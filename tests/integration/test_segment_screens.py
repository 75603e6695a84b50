"""History, performance, overlap and comparison of segments on the screen: who may look, what is told, what is recorded."""

import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext

from cdp.audit.models import AuditEntry
from cdp.profiles.models import Trait
from consent.models import Decision, Purpose
from segments.comparing import Comparison, compare_segments
from segments.models import Segment
from segments.services import archive, save_version
from segments.sharing import share_segment
from tests.factories import BY, draft, identify, live, process_all, rule, track, tracker
from tests.integration.callers import Caller, decide, logged_in

pytestmark = pytest.mark.django_db

HOSTILE = "<img src=x onerror=alert(1)>"
SEGMENTS = "/admin/segments/segment/"
DAY = timedelta(days=1)


def reader(role: str = "marketer") -> Caller:
    caller = logged_in(role)
    User.objects.filter(pk=caller.user.pk).update(is_staff=True)
    return caller


def shown(response: HttpResponse, status: int = 200) -> str:
    assert response.status_code == status, response.content[:500]
    return re.sub(r"\s+", " ", response.content.decode())


def options(page: str, figure: str) -> dict[str, Any]:
    found = re.search(rf'<script id="{figure}-options" type="application/json">(.*?)</script>', page)
    assert found, f"no {figure}"
    return json.loads(found[1])  # type: ignore[no-any-return]


@pytest.fixture
def shop() -> tuple[Segment, Segment]:
    """Twelve of Bern and eight of Basel, three of whom are of both; the first four of Bern bought for 30 each."""
    source = tracker()
    bern = [identify(f"u{n}", traits={"bern": n < 12, "basel": n >= 9, "plan": "gold" if n < 9 else "basic",
                                      "age": 20 + n, "email": f"u{n}@example.com"}) for n in range(17)]  # fmt: skip
    source.send(*bern)
    source.send(*(track("Order Completed", f"u{n}", ago=(n + 2) * DAY, properties={"total": 30}) for n in range(4)))
    source.send(track("Order Completed", "u9", ago=200 * DAY, properties={"total": 999}))
    process_all()
    return live("bern", yes("bern")), live("basel", yes("basel"))


def yes(trait: str) -> dict[str, Any]:
    return {"trait": trait, "op": "equals", "value": True}


# ---- Doors -----------------------------------------------------------------------------------------------------------

ALL = {"marketer", "compliance", "integrator", "admin"}
READERS = ALL - {"integrator"}
WHO = {
    "history/": ALL,
    "history/size/": ALL,
    "history/difference/": ALL,
    "history/people/": READERS,
    "performance/": READERS,
    "performance/figures/": READERS,
    "../overlap/?segment=bern&segment=basel": ALL,
    "../overlap/figures/?segment=bern&segment=basel": ALL,
    "../compare/?a=bern&b=basel": ALL,
    "../compare/figures/?a=bern&b=basel": READERS,
}


@pytest.mark.parametrize("role", ["", "marketer", "compliance", "integrator", "admin"])
def test_each_page_opens_for_whom_it_is(shop: tuple[Segment, Segment], role: str) -> None:
    client = reader(role).client
    for path, roles in WHO.items():
        address = f"{SEGMENTS}{path[3:]}" if path.startswith("../") else f"{SEGMENTS}{shop[0].uuid}/{path}"
        answer = client.get(address).status_code
        assert answer == (200 if role in roles else 403), (path, answer)


def test_a_segment_that_was_not_shared_is_not_there(shop: tuple[Segment, Segment]) -> None:
    caller = reader("")
    share_segment(segment=shop[0], user=caller.user, by=BY)
    for path in WHO:
        if not path.startswith(".."):
            assert caller.client.get(f"{SEGMENTS}{shop[0].uuid}/{path}").status_code == 200, path
            assert caller.client.get(f"{SEGMENTS}{shop[1].uuid}/{path}").status_code == 404, path
    page = shown(caller.client.get(f"{SEGMENTS}overlap/?segment=bern&segment=basel"))
    assert "Bern" in page and "Basel" not in page
    assert "Basel" not in shown(caller.client.get(f"{SEGMENTS}compare/?a=bern&b=basel"))
    assert "two different segments" in shown(caller.client.get(f"{SEGMENTS}compare/figures/?a=bern&b=basel"))


def test_no_page_asks_more_often_for_more_segments_or_people(shop: tuple[Segment, Segment]) -> None:
    client = reader("admin").client
    addresses = [
        f"{SEGMENTS}{path[3:]}" if path.startswith("../") else f"{SEGMENTS}{shop[0].uuid}/{path}" for path in WHO
    ]

    def asked() -> dict[str, int]:
        found = {}
        for address in addresses:
            client.get(address)
            with CaptureQueriesContext(connection) as seen:
                client.get(address)
            found[address] = len(seen)
        return found

    few = asked()
    tracker().send(*(identify(f"v{n}", traits={"bern": True, "basel": True, "plan": "gold"}) for n in range(20)))
    process_all()
    for n in range(5):
        live(f"more-{n}", yes("bern"))
    assert asked() == few
    assert max(few.values()) < 60


# ---- History ---------------------------------------------------------------------------------------------------------


def test_size_and_changes_are_drawn_and_told_as_a_table(shop: tuple[Segment, Segment]) -> None:
    page = shown(reader().client.get(f"{SEGMENTS}{shop[0].uuid}/history/size/?span=2d"))
    assert options(page, "size")["series"][0]["data"][-1] == 12
    came, went = (one["data"] for one in options(page, "moved")["series"])
    assert (sum(came), sum(went), len(came)) == (12, 0, 49)
    assert "over 48 hours" in page.lower() and "As a table" in page
    assert '<td class="num">12</td>' in page
    assert (
        len(options(shown(reader().client.get(f"{SEGMENTS}{shop[0].uuid}/history/size/")), "size")["xAxis"]["data"])
        == 31
    )


def test_versions_come_in_pages_that_begin_below_a_number(shop: tuple[Segment, Segment]) -> None:
    for n in range(30):
        save_version(segment=shop[0], rule=rule({"trait": "age", "op": "gt", "value": n}), by=BY)
    client = reader().client
    first = shown(client.get(f"{SEGMENTS}{shop[0].uuid}/history/"))
    assert "Version 31<" in first and "Version 7<" in first and "Version 6<" not in first
    assert 'href="?before=7"' in first
    second = shown(client.get(f"{SEGMENTS}{shop[0].uuid}/history/?before=7"))
    assert "Version 6<" in second and "Version 1<" in second and "Version 7<" not in second
    assert client.get(f"{SEGMENTS}{shop[0].uuid}/history/?before=x&span=y").status_code == 200


def test_a_roll_back_shows_first_what_it_would_change(shop: tuple[Segment, Segment]) -> None:
    bern, _ = shop
    version = save_version(segment=bern, rule=rule({"any": [yes("bern"), yes("basel")]}), by=BY)
    caller = reader()
    address = f"{SEGMENTS}{bern.uuid}/history/difference/?after=2"
    page = shown(caller.client.get(address))
    assert "From version 1 to version 2" in page and "Put version 2 live" in page and "Roll back" not in page
    people = shown(caller.client.get(f"{SEGMENTS}{bern.uuid}/history/people/?before=1&after=2"))
    assert re.search(r"Would enter</dt><dd>5<", people) and re.search(r"Would leave</dt><dd>0<", people)
    assert re.search(r"Stay</dt><dd>12<", people)
    assert people.count("/admin/profiles/profile/") == 5 and "u12@example.com" not in people
    entry = AuditEntry.objects.get(action="segment.versions_compared")
    assert (entry.actor_label, entry.purpose, len(entry.detail["sample"])) == (
        caller.user.username, "internal_analysis", 5 + 0 + 5,
    )  # fmt: skip
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    done = caller.client.post(f"{SEGMENTS}{bern.uuid}/publish/2/", {"csrfmiddlewaretoken": token[1]})
    assert done.status_code == 302
    bern.refresh_from_db()
    assert bern.live_version == version
    assert "Roll back to version 1" in shown(caller.client.get(f"{SEGMENTS}{bern.uuid}/history/difference/?after=1"))
    assert "Roll back" not in shown(
        reader("integrator").client.get(f"{SEGMENTS}{bern.uuid}/history/difference/?after=1")
    )


def test_of_a_segment_that_was_archived_meanwhile_nothing_goes_live_and_it_is_said(
    shop: tuple[Segment, Segment],
) -> None:
    segment, caller = shop[0], reader().client
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', shown(caller.get(f"{SEGMENTS}{segment.uuid}/")))
    assert token
    archive(segment=segment, by=BY)
    sent = {"csrfmiddlewaretoken": token[1]}
    done = caller.post(f"{SEGMENTS}{segment.uuid}/publish/1/", sent, follow=True)
    assert done.status_code == 200 and "archived; restore it" in done.content.decode()


def test_who_objects_is_in_no_sample(shop: tuple[Segment, Segment]) -> None:
    save_version(segment=shop[0], rule=rule({"any": [yes("bern"), yes("basel")]}), by=BY)
    for n in range(12, 17):
        decide(f"u{n}", "internal_analysis", Decision.WITHDRAWN)
    people = shown(reader().client.get(f"{SEGMENTS}{shop[0].uuid}/history/people/?before=1&after=2"))
    assert "None of them permits" in people and "/admin/profiles/profile/" not in people


@pytest.mark.parametrize("query", ["before=9", "after=x", "before=-1", "after=99999999999"])
def test_a_version_that_is_not_there_is_not_found(shop: tuple[Segment, Segment], query: str) -> None:
    assert reader().client.get(f"{SEGMENTS}{shop[0].uuid}/history/difference/?{query}").status_code == 404


def test_a_rule_that_can_not_be_run_says_so(shop: tuple[Segment, Segment]) -> None:
    save_version(segment=shop[0], rule=rule({"trait": "plan", "op": "exists"}), by=BY)
    Trait.objects.filter(key="plan").update(key="tariff")
    page = shown(reader().client.get(f"{SEGMENTS}{shop[0].uuid}/history/people/?before=1&after=2"))
    assert "Can't be counted" in page and "plan" in page


# ---- Overlap ---------------------------------------------------------------------------------------------------------


def test_each_combination_is_drawn_and_each_pair_told(shop: tuple[Segment, Segment]) -> None:
    page = shown(reader().client.get(f"{SEGMENTS}overlap/figures/?segment=bern&segment=basel"))
    drawn = options(page, "overlap")["series"][0]["data"]
    assert [(one["said"], one["value"]) for one in drawn] == [
        ("Bern alone\n9 people", 9), ("Basel alone\n5 people", 5), ("Bern and Basel\n3 people", 3),
    ]  # fmt: skip
    assert "17 people in at least one" in page
    for share in ("25%", "38%"):
        assert re.search(rf"<span>{share}</span><svg.{{0,300}}</svg><small>3</small>", page)


def test_segments_are_added_by_name_up_to_eight(shop: tuple[Segment, Segment]) -> None:
    client = reader().client
    added = client.get(f"{SEGMENTS}overlap/?segment=bern&add=bas")
    assert (added.status_code, added["Location"]) == (302, f"{SEGMENTS}overlap/?segment=bern&segment=basel")
    assert "No segment that you may see" in shown(client.get(f"{SEGMENTS}overlap/?segment=bern&add=zürich"))
    assert "Several segments match" in shown(client.get(f"{SEGMENTS}overlap/?add=b"))
    for n in range(7):
        live(f"more-{n}", yes("bern"))
    keys = "&".join(f"segment=more-{n}" for n in range(7))
    assert "At most 8 segments" in shown(client.get(f"{SEGMENTS}overlap/?{keys}&segment=bern&add=basel"))


def test_a_draft_is_refused_with_its_name(shop: tuple[Segment, Segment]) -> None:
    draft("later", yes("bern"))
    page = shown(reader().client.get(f"{SEGMENTS}overlap/figures/?segment=bern&segment=later"))
    assert "“Later” is not live" in page
    assert "“Later” is not live" in shown(reader().client.get(f"{SEGMENTS}compare/figures/?a=bern&b=later"))


# ---- Compare ---------------------------------------------------------------------------------------------------------


def compared(shop: tuple[Segment, Segment]) -> Comparison:
    purpose = Purpose.objects.get(key="internal_analysis")
    return compare_segments(first=shop[0], second=shop[1], purpose=purpose, by=BY)


def test_what_two_segments_bring_is_told_of_the_last_days(shop: tuple[Segment, Segment]) -> None:
    one, other = compared(shop).bought
    assert (one.asked, one.orders, one.buyers, one.revenue, one.squares) == (12, 4, 4, 120, 3600)
    assert (other.asked, other.orders, other.buyers, other.revenue) == (8, 0, 0, 0), "200 days ago is long past"


def test_traits_are_told_by_value_and_numbers_by_quartiles_but_never_personal_data(
    shop: tuple[Segment, Segment],
) -> None:
    found = compared(shop)
    traits = {trait.key: {one.name: (one.found, one.told) for one in values} for trait, values in found.traits}
    assert traits["plan"] == {"gold": ((9, 0), (0.75, None)), "basic": ((3, 8), (None, 1.0))}
    assert traits["bern"]["yes"] == ((12, 3), (1.0, None)), "of fewer than five nothing is told"
    assert "email" not in traits
    (age,) = [one for one in found.numbers if one.trait.key == "age"]
    assert age.quartiles == ((22.75, 25.5, 28.25), (30.75, 32.5, 34.25)) and age.of == (12, 8)
    assert [one.name for one in found.most_different()] == ["Basel: yes", "Plan: basic", "Plan: gold", "Bern: yes"]


def test_who_permits_what_is_told_for_each_channel(shop: tuple[Segment, Segment]) -> None:
    for n in range(6):
        decide(f"u{n}", "marketing_email", Decision.GRANTED)
    email = Purpose.objects.get(key="marketing_email")
    (found,) = [one for one in compared(shop).channels if one.name == email.label]
    assert (found.found, found.told) == ((6, 0), (0.5, None))


def test_who_objects_is_not_asked_and_both_reads_are_recorded(shop: tuple[Segment, Segment]) -> None:
    decide("u0", "internal_analysis", Decision.WITHDRAWN)
    one, _ = compared(shop).bought
    assert (one.asked, one.revenue) == (11, 90)
    entries = AuditEntry.objects.filter(action="segment.compared")
    assert {entry.object_id for entry in entries} == {str(segment.uuid) for segment in shop}
    assert {entry.purpose for entry in entries} == {"internal_analysis"}


def test_of_a_few_people_nothing_is_compared(shop: tuple[Segment, Segment]) -> None:
    for n in range(12, 16):
        decide(f"u{n}", "internal_analysis", Decision.WITHDRAWN)
    found = compared(shop)
    assert not found.is_told and (found.traits, found.numbers, found.channels) == ([], [], [])
    page = shown(reader().client.get(f"{SEGMENTS}compare/figures/?a=bern&b=basel"))
    assert "Too few people to compare" in page and "gold" not in page


# ---- Names are texts -------------------------------------------------------------------------------------------------


def test_names_and_values_stay_text_wherever_they_are_shown(shop: tuple[Segment, Segment]) -> None:
    Segment.objects.filter(pk=shop[0].pk).update(name=HOSTILE, description=HOSTILE)
    Trait.objects.filter(key="plan").update(label=HOSTILE)
    tracker().send(*(identify(f"u{n}", traits={"plan": HOSTILE}) for n in range(9)))
    process_all()
    save_version(segment=shop[0], rule=rule({"trait": "plan", "op": "equals", "value": HOSTILE}), by=BY)
    client = reader("admin").client
    seen = 0
    for path in [*WHO, "history/people/?before=1&after=2", "history/difference/?before=1&after=2"]:
        address = f"{SEGMENTS}{path[3:]}" if path.startswith("../") else f"{SEGMENTS}{shop[0].uuid}/{path}"
        page = shown(client.get(address))
        assert "<img src=x" not in page, path
        seen += "<img src=x" in unescape(page) or "\\u003Cimg src=x" in page
    assert seen >= 8, "or nothing was tried"
