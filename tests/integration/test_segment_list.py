"""The list of segments: found, ordered and paged by key; and what is done to many of them at once."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.errors import DomainError
from consent.models import Purpose
from segments.models import MembershipChange, Segment, SegmentStatus
from segments.screens import many
from segments.services import archive, change_details, pause
from segments.sharing import share_segment
from tests.factories import BY, draft, live, performed, process_all, track, tracker

LIST = "/admin/segments/segment/"
BOUGHT = performed("Bought")
FILE = '{"format": "cdp.segments", "version": 1, "segments": '


@pytest.fixture
def shop(db: None) -> None:
    tracker().send(track("Bought", "ann"), track("Bought", "bob"))
    process_all()


def staff(role: str, name: str = "") -> Client:
    user = User.objects.create_user(name or role or "newcomer", is_staff=True)
    if role:
        user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def names(client: Client, **query: str) -> list[str]:
    return [row.segment.name for row in client.get(LIST, query).context["rows"]]


def walked(client: Client, **query: str) -> Iterator[list[str]]:
    """Page after page, as "Next" leads."""
    after = ""
    while True:
        page = client.get(LIST, {**query, **({"after": after} if after else {})})
        yield [row.segment.key for row in page.context["rows"]]
        after = page.context["page"].older
        if not after:
            return


@pytest.mark.parametrize("sort", ["name", "size", "change", "refresh"])
def test_pages_in_every_order_miss_nobody_and_repeat_nobody_among_ties(
    shop: None, sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segments.screens.listing.PAGE", 3)
    for number in range(8):
        draft(f"s-{number}", BOUGHT)
    Segment.objects.filter(key__in=["s-0", "s-1", "s-5"]).update(name="The same", member_count=9)
    Segment.objects.filter(key__in=["s-2", "s-3"]).update(last_refreshed_at=timezone.now(), member_count=10)
    for position, key in enumerate(["s-4", "s-4", "s-6"], 1):
        MembershipChange.objects.create(
            position=position, segment=Segment.objects.get(key=key), profile_id=1, kind="entered", why="event",
            profile_uuid="00000000-0000-0000-0000-000000000001", effective_at=timezone.now(),
        )  # fmt: skip
    client = staff("marketer")
    pages = list(walked(client, sort=sort))
    assert [len(page) for page in pages] == [3, 3, 2]
    seen = [key for page in pages for key in page]
    assert sorted(seen) == [f"s-{number}" for number in range(8)]
    first = {"name": "s-2", "size": "s-2", "change": "s-4", "refresh": "s-2"}[sort]
    assert seen[0] == first
    # And back again.
    last = client.get(LIST, {"sort": sort, "after": client.get(LIST, {"sort": sort}).context["page"].older})
    back = client.get(LIST, {"sort": sort, "before": last.context["page"].newer})
    assert [row.segment.key for row in back.context["rows"]] == pages[0]


def test_a_page_stays_right_when_what_came_before_it_goes(shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segments.screens.listing.PAGE", 2)
    for letter in "abcd":
        draft(letter, BOUGHT)
    client = staff("marketer")
    older = client.get(LIST).context["page"].older
    archive(segment=Segment.objects.get(key="a"), by=BY)
    assert names(client, after=older) == ["C", "D"]


def test_segments_are_found_by_any_word_of_them(shop: None) -> None:
    client = staff("marketer", "maria")
    maria = User.objects.get(username="maria")
    one = draft("loyal", BOUGHT, tags=["Spring Sale", "vip"], folder="Shops/DE", owner=maria)
    live("recent-buyers", BOUGHT)
    draft("percent", BOUGHT, tags=["50%"])
    for word in ("oya", "LOYAL", "spring", "shops/de", "vip loyal"):
        assert names(client, q=word) == ["Loyal"], word
    assert names(client, q="recent-b") == ["Recent-buyers"]
    assert names(client, q="%") == ["Percent"], "a sign of the pattern is a sign like any other"
    assert (
        names(client, tag="spring sale") == names(client, folder="Shops/DE") == names(client, owner="me") == ["Loyal"]
    )
    assert names(client, owner=str(maria.pk), status="live") == []
    assert names(client, status="live") == ["Recent-buyers"]
    pause(segment=Segment.objects.get(key="recent-buyers"), by=BY)
    assert names(client, status="paused") == ["Recent-buyers"]
    assert one.tags == ["spring sale", "vip"]
    assert "No segment matches" in client.get(LIST, {"q": "nothing of the kind"}).content.decode()


def test_words_and_tags_are_found_by_their_indexes(shop: None) -> None:
    for condition, index in (
        ("words LIKE '%spring%'", "segments_by_words"),
        ("tags @> ARRAY['x']::varchar[]", "segments_by_tag"),
    ):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN SELECT id FROM segments_segment WHERE {condition}")
            assert index in str(cursor.fetchall())


def test_the_list_costs_the_same_however_long_it_is_in_every_order(shop: None) -> None:
    client = staff("marketer")
    purpose = Purpose.objects.get(key="marketing_email")

    def cost(sort: str) -> int:
        client.get(LIST, {"sort": sort})
        with CaptureQueriesContext(connection) as seen:
            assert client.get(LIST, {"sort": sort, "q": "s"}).status_code == 200
        return len(seen)

    orders = ("name", "size", "change", "refresh")
    draft("s-0", BOUGHT, tags=["a"], purposes=[purpose.key])
    few = [cost(sort) for sort in orders]
    for number in range(1, 12):
        owner = User.objects.create_user(f"owner-{number}")
        draft(f"s-{number}", BOUGHT, tags=[f"t{number}"], folder=f"f{number}", purposes=[purpose.key], owner=owner)
    assert [cost(sort) for sort in orders] == few


def test_a_made_up_place_in_the_list_is_its_beginning(shop: None) -> None:
    draft("buyers", BOUGHT)
    client = staff("marketer")
    for place in ("x", "[]", '["a"]', '[1,"a"]', '["a\\u0000",1]', "[" * 3000, '["a",99999999999999999999]', "null"):
        assert names(client, after=place) == names(client, before=place) == ["Buyers"], place


# ---- Many at once ----------------------------------------------------------------------------------------------------


def act(client: Client, act: str, *segments: Segment, **more: str) -> Any:
    sent = {"segment": [str(one.uuid) for one in segments], "act": act, **more}
    return client.post(f"{LIST}many/", sent)


def said(client: Client) -> str:
    return " ".join(str(message) for message in client.get(LIST).context["messages"])


def test_many_are_tagged_and_untagged(shop: None) -> None:
    client = staff("marketer")
    one, other = draft("one", BOUGHT, tags=["old"]), draft("other", BOUGHT)
    response = act(client, "tag", one, other, tag=" Spring  Sale, new ", asked="sort=size&evil=//x&status=draft")
    assert response["Location"] == f"{LIST}?status=draft&sort=size"
    assert "Tagged 2 segments" in said(client)
    assert [s.tags for s in Segment.objects.order_by("key")] == [["new", "old", "spring sale"], ["new", "spring sale"]]
    act(client, "untag", one, tag="NEW")
    one.refresh_from_db()
    assert one.tags == ["old", "spring sale"]
    act(client, "tag", one, tag="x" * 41)
    assert "40 characters" in said(client)


def test_a_tag_that_somebody_else_gives_meanwhile_stays(shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    client, one = staff("marketer"), draft("one", BOUGHT, tags=["old"])
    changeable = many._changeable

    def late(request: Any, segments: list[Segment]) -> list[Segment]:
        found = changeable(request, segments)
        Segment.objects.filter(pk=one.pk).update(tags=["old", "theirs"])
        return found

    monkeypatch.setattr(many, "_changeable", late)
    act(client, "tag", one, tag="mine")
    one.refresh_from_db()
    assert one.tags == ["mine", "old", "theirs"]


def test_many_are_archived_in_the_order_in_which_they_can_be_and_who_is_in_use_stays(shop: None) -> None:
    client = staff("marketer")
    base, reader, kept = live("base", BOUGHT), live("reader", {"in_segment": "base"}), live("kept", BOUGHT)
    live("user", {"in_segment": "kept"})
    act(client, "archive", base, reader, kept)
    told = said(client)
    assert "Archived “Reader”, “Base”" in told and "“Kept” is used by “User”" in told
    assert set(Segment.objects.filter(status=SegmentStatus.ARCHIVED).values_list("key", flat=True)) == {
        "base",
        "reader",
    }


def test_nothing_is_done_to_segments_that_one_may_not_change_or_not_see(shop: None) -> None:
    mine, seen, hidden = draft("mine", BOUGHT), draft("seen", BOUGHT), draft("hidden", BOUGHT)
    client = staff("", "guest")
    guest = User.objects.get(username="guest")
    share_segment(segment=mine, user=guest, by=BY)
    share_segment(segment=seen, user=guest, by=BY, permissions=["view_segment"])
    act(client, "tag", mine, seen, hidden, tag="x")
    told = said(client)
    assert "You may not change “Seen”" in told and "Hidden" not in told
    assert {s.key: s.tags for s in Segment.objects.all()} == {"mine": ["x"], "seen": [], "hidden": []}
    assert act(client, "export", hidden)["Location"] == LIST, "there is nothing of his in it"


def test_who_may_see_no_segment_may_do_nothing_to_them(shop: None) -> None:
    segment = draft("buyers", BOUGHT)
    client = staff("")
    assert act(client, "export", segment).status_code == 403
    assert client.post(f"{LIST}{segment.uuid}/clone/").status_code == 403
    assert client.get(f"{LIST}import/").status_code == 403
    compliance = staff("compliance")
    for path in (f"{segment.uuid}/clone/", "import/", f"{segment.uuid}/pause/", f"{segment.uuid}/resume/"):
        assert compliance.post(f"{LIST}{path}").status_code == 403, path
    assert act(compliance, "archive", segment).status_code == 302
    assert Segment.objects.get().status == SegmentStatus.DRAFT


# ---- Carried over ----------------------------------------------------------------------------------------------------


def test_a_clone_is_a_draft_with_the_live_rule_of_whoever_made_it(shop: None) -> None:
    client = staff("marketer")
    segment = live("buyers", BOUGHT, tags=["a"], folder="f", purposes=["marketing_email"], cadence="daily")
    response = client.post(f"{LIST}{segment.uuid}/clone/")
    copy = Segment.objects.get(name="Copy of Buyers")
    assert response["Location"] == f"{LIST}{copy.uuid}/"
    assert (copy.status, copy.owner.username, copy.key) == ("draft", "marketer", "copy-of-buyers")
    assert (copy.tags, copy.folder, copy.cadence) == (["a"], "f", "daily")
    assert copy.versions.get().rule == segment.live_version.rule
    assert [one.key for one in copy.purposes.all()] == ["marketing_email"]


def test_what_is_exported_comes_back_as_drafts(shop: None) -> None:
    client = staff("marketer")
    segments = [draft("one", BOUGHT, tags=["a"], purposes=["sms"]), live("two", BOUGHT, folder="x")]
    file = act(client, "export", *segments)
    assert "attachment" in file["Content-Disposition"]
    assert AuditEntry.objects.get(action="segments.exported").detail == {"keys": ["one", "two"]}
    response = client.post(f"{LIST}import/", {"file": SimpleUploadedFile("s.json", file.content)})
    assert response.status_code == 302, response.content.decode()
    made = Segment.objects.exclude(pk__in=[one.pk for one in segments]).order_by("key")
    assert [(one.key, one.name, one.status, one.tags, one.folder) for one in made] == [
        ("one-2", "One", "draft", ["a"], ""),
        ("two-2", "Two", "draft", [], "x"),
    ]
    assert made[0].versions.get().rule == segments[0].versions.get().rule


def test_just_a_rule_is_taken_in_under_a_name(shop: None) -> None:
    client = staff("marketer")
    text = json.dumps({"version": 1, **BOUGHT})
    assert client.post(f"{LIST}import/", {"rule": text}).status_code == 422
    client.post(f"{LIST}import/", {"rule": text, "name": "Buyers"})
    assert Segment.objects.get().key == "buyers"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('{"version": 1,\n "all": [,]}', 2, "not JSON"),
        (f'{FILE}[\n {{"name": "a", "rule": {{"version": 1,\n "trait": "nope", "op": "exists"}}}}]}}', 3, "nope"),
        (f'{FILE}[\n{{"name": "a"}}]}}', 2, 'a "rule"'),
        (f'{FILE}[\n{{"name": "a",\n"tags": 7, "rule": {{}}}}]}}', 3, "list of texts"),
        (f'{FILE}{{}}}}', 1, "a list"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told_at_its_line_and_nothing_is_taken_in(
    shop: None, text: str, line: int, words: str
) -> None:
    page = staff("marketer").post(f"{LIST}import/", {"rule": text, "name": "x"})
    assert page.status_code == 422
    first = page.context["errors"][0]
    assert first.line == line and words in first.message, first
    assert not Segment.objects.exists()


# ---- Details ---------------------------------------------------------------------------------------------------------


def test_owner_tags_folder_and_purposes_are_changed_and_on_record(shop: None) -> None:
    client = staff("marketer")
    segment = draft("buyers", BOUGHT)
    maria = User.objects.create_user("maria", is_staff=True)
    sent = {"name": "Buyers", "description": "", "cadence": "minutes", "refresh_minutes": "15", "daily_hour": "5",
            "tags": "B, a,b", "folder": " Shops ", "has_purposes": "1", "meant_for": ["sms", "marketing_email"],
            "owner": str(maria.pk)}  # fmt: skip
    page = client.post(f"{LIST}{segment.uuid}/settings/", sent)
    assert page.status_code == 422 and "may not see the segment" in page.content.decode()
    share_segment(segment=segment, user=maria, by=BY, permissions=["view_segment"])
    assert client.post(f"{LIST}{segment.uuid}/settings/", sent).status_code == 302
    segment.refresh_from_db()
    assert (segment.tags, segment.folder, segment.owner) == (["a", "b"], "Shops", maria)
    entry = AuditEntry.objects.filter(action="segment.changed").latest("recorded_at")
    assert entry.detail["after"] == {
        "tags": ["a", "b"], "folder": "Shops", "owner": maria.pk, "purposes": ["marketing_email", "sms"],
    }  # fmt: skip
    head = client.get(f"{LIST}{segment.uuid}/").content.decode()
    assert "Used for" in head
    assert client.get(f"{LIST}{segment.uuid}/use/").context["purpose"].key in ("marketing_email", "sms")
    assert client.get(f"{LIST}{segment.uuid}/").context["chosen_purpose"] in ("marketing_email", "sms")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("tags", [f"t{n}" for n in range(21)], "tags_too_many"),
        ("tags", ["a,b"], "tag_malformed"),
        ("folder", "x" * 101, "folder_malformed"),
        ("purposes", ["privacy_rights"], "purpose_unknown"),
    ],
)
def test_details_that_cannot_be_are_refused(shop: None, field: str, value: Any, code: str) -> None:
    segment = draft("buyers", BOUGHT)
    with pytest.raises(DomainError) as refused:
        change_details(segment=segment, by=BY, **{field: value})
    assert (refused.value.code, refused.value.pointer) == (code, f"/{field}")


def test_a_week_of_changes_is_summed_up_from_an_index_alone(shop: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(
            "EXPLAIN SELECT sum(CASE kind WHEN 'entered' THEN 1 ELSE -1 END) FROM segments_membershipchange"
            " WHERE segment_id = %s AND recorded_at >= %s",
            [1, timezone.now() - timedelta(days=7)],
        )
        plan = str(cursor.fetchall())
    assert "Index Only Scan" in plan and "segments_change_by_time" in plan
