"""The Members page: in every order page by page, found, masked, taken away as a file, explained, and changed by hand; by whom it may be."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cdp.audit.models import AuditEntry
from cdp.profiles.score_services import Scored, add_scores, publish_run, start_run
from consent.models import Decision, Purpose
from consent.querysets import INTERNAL_ANALYSIS
from segments import paging_members, sorting_members
from segments.models import Membership, Segment
from segments.paging_members import page_of_members
from segments.screens import members as screen
from segments.sharing import share_segment
from segments.showing_members import columns_there_are
from segments.sorting_members import Order, names_among, order_of
from tests.factories import BY, draft, identify, live, members, performed, person, process_all, track, tracker
from tests.integration.callers import decide

pytestmark = pytest.mark.django_db

USERS = [f"u{n:02}" for n in range(12)]
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def segment(db: None) -> Segment:
    """Twelve buyers, with ties in when they came and in their points; u03 has no points, u05 objects to analysis."""
    source = tracker()
    for number, user in enumerate(USERS):
        traits: dict[str, Any] = {
            "email": f"{user}@example.com",
            "firstName": "Ann",
            "lastName": f"Smith{number}",
            "city": "Bern",
        }
        traits |= {"points": number // 3, EVIL: EVIL} if user != "u03" else {}
        source.send(identify(user, traits=traits), track("Order Completed", user))
    process_all()
    found = live("buyers", performed("Order Completed"))
    for number, user in enumerate(USERS):
        at = datetime(2026, 1, 1 + number // 4, tzinfo=UTC)
        Membership.objects.filter(segment=found, profile=person(user)).update(entered_at=at)
    decide("u05", INTERNAL_ANALYSIS, Decision.DENIED)
    return found


def client(role: str = "marketer") -> Client:
    user, _ = User.objects.get_or_create(username=role or "newcomer", defaults={"is_staff": True})
    if role:
        user.groups.add(Group.objects.get(name=role))
    made = Client()
    made.force_login(user)
    return made


def address(segment: Segment, rest: str = "") -> str:
    return f"/admin/segments/segment/{segment.uuid}/members/{rest}"


# ---- Pages -----------------------------------------------------------------------------------------------------------


def walked(segment: Segment, key: str, between: Callable[[], None] = lambda: None, **more: Any) -> list[str]:
    """User ids in the order of the pages, of four each; something may happen after the first."""
    columns = columns_there_are()
    purpose = Purpose.objects.get(key=INTERNAL_ANALYSIS)
    order = order_of(key, segment=segment, columns=columns, names=names_among(columns))
    assert order.key == key
    after, found = "", list[str]()
    while True:
        page = page_of_members(segment=segment, purpose=purpose, order=order, after=after, **more)
        found += [next(i.value for i in m.profile.identifiers.all() if i.namespace == "user_id") for m in page.members]
        if not after:
            between()
        if not page.next:
            return found
        after = page.next


ORDERS = ["newest", "oldest", "id", "name", "-name", "trait:points", "-trait:points", "trait:city"]


@pytest.mark.parametrize("key", [*ORDERS, "score:rfm.value", "-score:rfm.value", "score:rfm.group"])
def test_pages_hold_everybody_once_in_every_order_with_ties(
    segment: Segment, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr(paging_members, "PAGE", 4)
    permitting = [user for user in USERS if user != "u05"]
    pk = {user: person(user).pk for user in USERS}
    day = {user: USERS.index(user) // 4 for user in USERS}
    points = {user: USERS.index(user) // 3 for user in USERS if user != "u03"}
    value = {"u01": 3, "u02": Decimal("-0.5"), "u07": 10, "u08": 3}
    run = start_run(kind="rfm", version="1", by=BY)
    said = [Scored(pk[u], "value", number=Decimal(v)) for u, v in value.items()]
    scores = [*said, Scored(pk["u09"], "group", label="Best"), Scored(pk["u10"], "group", label="A")]
    add_scores(run=run, scores=scores)
    publish_run(run=run, by=BY)
    name = {user: f"smith{USERS.index(user)}" for user in USERS}
    expected = {
        "name": sorted(permitting, key=lambda u: (name[u], pk[u])),
        "-name": sorted(permitting, key=lambda u: (name[u], -pk[u]), reverse=True),
        "score:rfm.value": sorted(permitting, key=lambda u: (u not in value, value.get(u, 0), pk[u])),
        "-score:rfm.value": sorted(permitting, key=lambda u: (u not in value, -value.get(u, 0), pk[u])),
        "score:rfm.group": ["u10", "u09", *sorted({*permitting} - {"u09", "u10"}, key=lambda u: pk[u])],
        "newest": sorted(permitting, key=lambda u: (-day[u], -pk[u])),
        "oldest": sorted(permitting, key=lambda u: (day[u], pk[u])),
        "id": sorted(permitting, key=lambda u: pk[u]),
        "trait:points": sorted(permitting, key=lambda u: (u not in points, points.get(u, 0), pk[u])),
        "-trait:points": sorted(permitting, key=lambda u: (u not in points, -points.get(u, 0), pk[u])),
        "trait:city": sorted(permitting, key=lambda u: pk[u]),
    }
    assert walked(segment, key) == expected[key]


def test_who_comes_and_goes_between_pages_moves_nobody_else(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging_members, "PAGE", 4)

    def comes_and_goes() -> None:
        Membership.objects.filter(segment=segment, profile=person("u11")).delete()
        tracker().send(track("Order Completed", "late"))
        process_all()

    found = walked(segment, "newest", comes_and_goes)
    assert sorted(found) == sorted(set(USERS) - {"u05"}), "whoever was there all the time, each once"


def test_a_place_of_another_list_begins_at_the_first_page(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging_members, "PAGE", 4)
    purpose = Purpose.objects.get(key=INTERNAL_ANALYSIS)
    place = page_of_members(segment=segment, purpose=purpose, order=Order(key="id")).next
    assert place
    for after in (place, "x", place[:-1]):
        page = page_of_members(segment=segment, purpose=purpose, order=Order(key="newest"), after=after)
        assert page.members[0].profile_id == person("u11").pk


def test_personal_data_and_large_segments_are_not_sorted_by(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = columns_there_are()
    for refused in (
        "trait:email",
        "-trait:lastName",
        "trait:nothing",
        "trait:",
        "trait",
        "x",
        "name",
        "score:rfm.value",
    ):
        assert order_of(refused, segment=segment, columns=columns) == Order(key="newest")
    assert order_of("trait:points", segment=segment, columns=columns).trait is not None
    monkeypatch.setattr(sorting_members, "MOST_TO_SORT", 3)
    segment.refresh_from_db()
    assert order_of("trait:points", segment=segment, columns=columns) == Order(key="newest")
    page = client().get(address(segment)).content.decode()
    assert "too large to be sorted by a trait" in page


@pytest.mark.parametrize("key", ["newest", "oldest", "id"])
def test_an_index_gives_each_order_without_sorting(segment: Segment, key: str) -> None:
    purpose = Purpose.objects.get(key=INTERNAL_ANALYSIS)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute("SET LOCAL enable_incremental_sort = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute("SET LOCAL enable_hashjoin = off")
    with CaptureQueriesContext(connection) as seen:
        page_of_members(segment=segment, purpose=purpose, order=Order(key=key))
    [asked] = [one["sql"] for one in seen if "LIMIT" in one["sql"] and "segments_membership" in one["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {asked}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Sort" not in plan and "Seq Scan on segments_membership" not in plan, plan
    assert key == "id" or "segments_members_by_entry" in plan, (
        plan
    )  # of so few rows any index gives the numbers in order


def test_a_page_asks_as_often_for_many_as_for_few_and_shows_who_permits_it(segment: Segment) -> None:
    browser = client()
    browser.post(address(segment, "columns/"), {"column": ["trait:points", "trait:city", "trait:email"]})

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert browser.get(address(segment)).status_code == 200
        return len(seen)

    many = (queries(), queries())[1]
    page = browser.get(address(segment)).content.decode()
    assert str(person("u04").uuid) in page and str(person("u05").uuid) not in page
    Membership.objects.filter(segment=segment).exclude(profile=person("u04")).delete()
    assert queries() == many
    entry = AuditEntry.objects.filter(action="members.viewed").latest("recorded_at")
    assert (entry.purpose, entry.object_id) == (INTERNAL_ANALYSIS, str(segment.uuid))
    assert entry.detail["sample"] == [str(person("u04").uuid)]
    assert {"identifiers", "personal traits", "traits"} <= set(entry.detail["fields"]) and entry.detail["masked"]


# ---- What is shown, and found ----------------------------------------------------------------------------------------


def test_personal_data_is_masked_and_found_only_once_it_was_revealed(segment: Segment) -> None:
    officer = client("compliance")
    officer.post(address(segment, "columns/"), {"column": ["trait:email", "trait:city", "trait:nothing"]})

    def found(query: str) -> set[str]:
        page = officer.get(address(segment), {"q": query}).content.decode()
        return {user for user in USERS if f"/profile/{person(user).uuid}/" in page}

    page = officer.get(address(segment)).content.decode()
    assert "u04@example.com" not in page and "Smith4" not in page and "A. S." in page and "Bern" in page
    assert found("u04") == found("u04@example.com") == {"u04"}, "whoever knows an identifier finds them"
    assert found("u05") == set()
    assert found("smith4") == found("ann smith4") == set()
    assert len(found("BERN")) == 11
    assert officer.post(address(segment, "reveal/")).status_code == 302
    page = officer.get(address(segment)).content.decode()
    assert "u04@example.com" in page and "Ann Smith4" in page
    assert found("smith4") == found("Ann Smith4") == {"u04"}
    officer.post(address(segment, "reveal/"), {"mask": "yes"})
    assert "u04@example.com" not in officer.get(address(segment)).content.decode()
    assert AuditEntry.objects.filter(action="members.revealed").count() == 1
    assert client("marketer").post(address(segment, "reveal/")).status_code == 403


def test_names_and_values_of_traits_are_text_and_never_markup(segment: Segment) -> None:
    browser = client()
    browser.post(address(segment, "columns/"), {"column": [f"trait:{EVIL}"]})
    page = browser.get(address(segment)).content.decode()
    assert "<img" not in page and page.count("&lt;img src=x onerror=alert(1)&gt;") > 11


def test_figures_say_how_many_permit_it_and_why_others_do_not(segment: Segment) -> None:
    said = client().get(address(segment, "figures/")).content.decode()
    assert "<b>11</b>" in said and "of 12 permit" in said and "Said no" in said
    assert client().get(address(segment, "figures/"), {"purpose": "made_up"}).status_code == 404


def test_a_draft_has_no_members_and_says_so(segment: Segment) -> None:
    page = client().get(address(draft("new", performed("Order Completed")))).content.decode()
    assert "No members yet" in page


# ---- Taken away ------------------------------------------------------------------------------------------------------


def test_the_file_has_who_permits_it_in_parts_each_on_record_and_no_formula(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "CHUNK", 5)
    tracker().send(identify("u01", traits={"city": "=HYPERLINK(1)"}))
    process_all()
    browser = client()
    browser.post(address(segment, "columns/"), {"column": ["trait:city", "trait:email", "trait:points"]})
    assert browser.get(address(segment, "members.csv")).status_code == 405
    answer = browser.post(address(segment, "members.csv"), {"purpose": INTERNAL_ANALYSIS})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))  # type: ignore[attr-defined]
    assert [row["uuid"] for row in rows] == [str(person(user).uuid) for user in USERS if user != "u05"]
    assert rows[1]["city"] == "'=HYPERLINK(1)" and rows[3]["points"] == "" and rows[0]["email"] == "••••"
    parts = AuditEntry.objects.filter(action="members.exported").order_by("recorded_at")
    assert [one.detail["count"] for one in parts] == [5, 5, 1]
    from cdp.accountability.members_then import position_of

    assert [position_of(one.detail["cursor"]) for one in parts] == [0, person("u04").pk, person("u10").pk]
    none = browser.post(address(segment, "members.csv"), {"purpose": "marketing_email"})
    assert b"".join(none.streaming_content).count(b"\n") == 1  # type: ignore[attr-defined]


# ---- Why, and by hand ------------------------------------------------------------------------------------------------


def test_a_row_says_why_and_somebody_else_why_not(segment: Segment) -> None:
    tracker().send(identify("zoe", traits={"city": "Bern"}))
    process_all()
    browser = client()
    one = address(segment, f"{person('u04').uuid}/")
    part = browser.get(one, headers={"HX-Request": "true"}).content.decode()
    assert "Met" in part and "Not met" not in part and "who did Order Completed" in part
    assert f"/profile/{person('u04').uuid}/?before=" in part, "the event stands in their timeline"
    assert 'hx-swap-oob="true"' in part and 'aria-expanded="true"' in part
    closed = browser.get(one, {"closed": "1"}, headers={"HX-Request": "true"}).content.decode()
    assert 'aria-expanded="false"' in closed and "who did" not in closed
    assert "<html" in browser.get(one).content.decode(), "without htmx it is a page of its own"
    found = browser.get(address(segment, "find/"), {"who": "zoe"}).content.decode()
    assert "Not met" in found and "Add by hand" in found and "Out" in found
    assert "Nobody is known by this" in browser.get(address(segment, "find/"), {"who": "nobody"}).content.decode()
    assert "Nobody is known by this" in browser.get(address(segment, "find/"), {"who": "u05"}).content.decode()
    assert browser.get(address(segment, f"{person('u05').uuid}/")).status_code == 404
    explained = AuditEntry.objects.filter(action="profile.explained", object_id=str(person("zoe").uuid))
    assert explained.count() == 1


def test_somebody_is_added_and_removed_by_hand_and_that_is_taken_back(segment: Segment) -> None:
    tracker().send(identify("zoe"))
    process_all()
    browser = client()

    def act(user: str, act: str, reason: str = "asked") -> str:
        path = address(segment, f"{person(user).uuid}/by-hand/")
        page = browser.post(path, {"act": act, "reason": reason}, follow=True).content.decode()
        process_all()
        return page

    assert "Say why" in act("zoe", "include", " ") and "zoe" not in members(segment)
    assert "Added by hand" in act("zoe", "include", f"{EVIL} asked") and "zoe" in members(segment)
    assert "Removed by hand" in act("u00", "exclude") and "u00" not in members(segment)
    page = browser.get(address(segment)).content.decode()
    panel = page[page.index("bh-h") :]
    assert "&lt;img src=x onerror=alert(1)&gt; asked" in panel and "by marketer" in panel and "<img" not in page
    assert "by hand" in page[: page.index("bh-h")], "her row says so"
    why = browser.get(address(segment, f"{person('u00').uuid}/")).content.decode()
    assert "Removed by hand" in why and "was removed from" in why and "Take it back" in why
    assert "Taken back" in act("u00", "undo") and "u00" in members(segment)
    assert browser.post(address(segment, f"{person('u00').uuid}/by-hand/"), {"act": "x"}).status_code == 404
    path = address(segment, f"{person('u05').uuid}/by-hand/")
    assert browser.post(path, {"act": "exclude", "reason": "x"}).status_code == 404, "who may not be read"


DOORS = [
    ("get", "", "view_members"), ("get", "figures/", "view_members"), ("post", "columns/", "view_members"),
    ("post", "members.csv", "view_members"), ("get", "{person}/", "view_members"), ("get", "find/", "view_members"),
    ("post", "{person}/by-hand/", "edit_members"), ("post", "upload/include/", "edit_members"),
]  # fmt: skip


def test_each_door_opens_for_whom_it_is_meant(segment: Segment) -> None:
    may = {"marketer": {"view_members", "edit_members"}, "compliance": {"view_members"}, "integrator": set[str]()}
    may["admin"] = may["marketer"]
    for role, rights in may.items():
        browser = client(role)
        for method, rest, right in DOORS:
            path = address(segment, rest.format(person=person("u04").uuid))
            status = getattr(browser, method)(path, {"act": "include", "reason": "x"}).status_code
            assert (status in (200, 302)) == (right in rights), (role, rest, status)
            assert status in (200, 302, 403)
    newcomer = client("")
    assert newcomer.get(address(segment)).status_code == 403
    share_segment(segment=segment, user=User.objects.get(username="newcomer"), by=BY)
    assert newcomer.get(address(segment)).status_code == 200
    path = address(segment, f"{person('u04').uuid}/")
    assert newcomer.get(path).status_code == newcomer.post(f"{path}by-hand/", {"act": "undo"}).status_code == 403
    reader = User.objects.get(username="newcomer")
    reader.user_permissions.add(Permission.objects.get(codename="view_profile"))
    share_segment(segment=segment, user=reader, by=BY, permissions=["edit_members"])
    assert newcomer.get(path).status_code == 200
    assert newcomer.post(f"{path}by-hand/", {"act": "undo"}).status_code == 302
    assert Client().get(address(segment)).status_code == 302


def test_a_form_leads_back_only_to_these_members(segment: Segment) -> None:
    home = address(segment)
    for back, expected in (
        (f"{home}?q=x", f"{home}?q=x"),
        ("https://elsewhere.example/", home),
        ("//x", home),
        ("", home),
    ):
        answer = client().post(address(segment, "columns/"), {"back": back})
        assert answer["Location"] == expected
