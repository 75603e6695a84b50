"""The console's lists: who may open them, and that their cost doesn't grow with what they show."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.errors import Forbidden
from cdp.ingestion.keys import create_source
from cdp.ingestion.models import SourceKind
from cdp.jobs.models import Job
from cdp.profiles.models import Trait
from cdp.rest.models import ApiKey, Scope
from cdp.rest.services import create_api_key
from consent.models import Decision, Purpose
from segments.models import Segment
from segments.services import archive
from segments.sharing import share_segment
from tests.factories import BY, draft, identify, live, performed, person, process_all, track, tracker
from tests.integration.callers import decide

LISTS = {
    "/admin/": set[str](),
    "/admin/profiles/profile/": {"marketer", "compliance"},
    "/admin/segments/segment/": {"marketer", "compliance", "integrator"},
    "/admin/profiles/trait/": {"marketer", "compliance", "integrator"},
    "/admin/profiles/eventname/": {"marketer", "compliance", "integrator"},
    "/admin/segments/segment/fields/": {"marketer", "compliance", "integrator"},
    "/admin/segments/staticlist/": {"marketer", "compliance", "integrator"},
    "/admin/segments/persona/": {"marketer", "compliance"},
    "/admin/webhooks/webhook/": {"marketer", "compliance", "integrator"},
    "/admin/exports/export/": {"marketer", "compliance", "integrator"},
    "/admin/exports/schedule/": {"marketer", "compliance", "integrator"},
    "/admin/exports/destination/": {"marketer", "compliance", "integrator"},
    "/admin/jobs/job/": {"marketer", "compliance", "integrator"},
    "/admin/ingestion/quarantined/": {"integrator"},
    "/admin/ingestion/source/": {"integrator"},
    "/admin/rest/apikey/": {"integrator"},
    "/admin/consent/consentrecord/": {"compliance"},
    "/admin/consent/consentconflict/": {"compliance"},
    "/admin/consent/notice/": {"marketer", "compliance"},
    "/admin/consent/rates/": {"marketer", "compliance"},
    "/admin/consent/purpose/": {"marketer", "compliance"},
    # Last: it has a filter for each kind of act, and reading the others is one.
    "/admin/audit/auditentry/": {"compliance"},
}


@pytest.fixture
def browse(db: None) -> Callable[[str], Client]:
    """A client logged in as somebody with this role; "" for staff without one."""

    def as_(role: str) -> Client:
        user, _ = User.objects.get_or_create(username=role or "newcomer", defaults={"is_staff": True})
        if role:
            user.groups.add(Group.objects.get(name=role))
        client = Client()
        client.force_login(user)
        return client

    return as_


@pytest.mark.parametrize("role", ["", "marketer", "compliance", "integrator", "admin"])
def test_a_list_opens_for_the_roles_it_is_for_and_for_nobody_else(browse: Callable[[str], Client], role: str) -> None:
    client = browse(role)
    for path, roles in LISTS.items():
        expected = 200 if path == "/admin/" or role == "admin" or role in roles else 403
        assert client.get(path).status_code == expected, path


def test_whoever_is_not_logged_in_sees_nothing(db: None) -> None:
    for path in LISTS:
        response = Client().get(path)
        assert (response.status_code, response["Location"].split("?")[0]) == (302, "/admin/login/"), path


def test_a_list_asks_as_often_for_many_rows_as_for_few(browse: Callable[[str], Client]) -> None:
    source = tracker()

    def more(first: int, last: int) -> None:
        source.send(*(identify(f"u{n}", traits={"email": f"u{n}@example.com"}) for n in range(first, last)))
        source.send(*({"type": "dance", "messageId": f"d{n}"} for n in range(first, last)))
        process_all()
        for n in range(first, last):
            live(f"s-{n}", performed("Order Completed"))
            decide(f"u{n}", "marketing_email", Decision.GRANTED)
            Job.objects.create(
                kind="segments.refresh", created_by=User.objects.get(username="admin"), state="succeeded"
            )

    source.send(track("Order Completed", "u0"))
    process_all()
    client = browse("admin")
    paths = list(LISTS)
    more(1, 4)
    few = [_queries(client, path) for path in paths]
    more(4, 16)
    many = [_queries(client, path) for path in paths]
    assert dict(zip(paths, many, strict=True)) == dict(zip(paths, few, strict=True))


def _queries(client: Client, path: str) -> int:
    client.get(path)  # whatever is learned once is known now
    with CaptureQueriesContext(connection) as seen:
        assert client.get(path).status_code == 200
    return len(seen)


def test_somebody_without_a_role_sees_just_the_segment_that_was_shared_with_them(
    browse: Callable[[str], Client],
) -> None:
    assert _known()
    shared, other = draft("mine", performed("Order Completed")), draft("theirs", performed("Order Completed"))
    client = browse("")
    share_segment(segment=shared, user=User.objects.get(username="newcomer"), by=BY)

    page = client.get("/admin/segments/segment/").content.decode()
    assert "Mine" in page and "Theirs" not in page
    assert client.get(f"/admin/segments/segment/{shared.uuid}/").status_code == 200
    assert client.get(f"/admin/segments/segment/{other.uuid}/").status_code == 404
    assert client.post(f"/admin/segments/segment/{other.uuid}/archive/").status_code == 404


def _known() -> bool:
    """The event that the rules name is in the catalogue."""
    tracker().send(track("Order Completed", "u0"))
    return bool(process_all().stored)


@pytest.mark.parametrize(
    ("role", "path", "codename"),
    [
        ("integrator", "refresh/", "refresh_segment"),
        ("compliance", "archive/", "change_segment"),
        ("compliance", "settings/", "change_segment"),
        ("compliance", "delete/", "delete_segment"),
    ],
)
def test_a_change_is_refused_without_its_permission(
    browse: Callable[[str], Client], role: str, path: str, codename: str
) -> None:
    assert _known()
    segment = live("buyers", performed("Order Completed"))
    before = Segment.objects.values().get()
    response = browse(role).post(f"/admin/segments/segment/{segment.uuid}/{path}", {"name": "x"})
    assert response.status_code == 403, codename
    assert Segment.objects.values().get() == before


def test_only_who_may_reveal_can_and_nothing_is_revealed_by_asking_for_it(browse: Callable[[str], Client]) -> None:
    tracker().send(identify("u1", traits={"email": "erika@example.com", "lastName": "Mustermann"}))
    process_all()
    url = f"/admin/profiles/profile/{person('u1').uuid}/"
    marketer = browse("marketer")
    assert marketer.post(f"{url}reveal/").status_code == 403
    assert "erika@example.com" not in marketer.get(url).content.decode()
    assert not AuditEntry.objects.filter(action="profile.revealed").exists()

    compliance = browse("compliance")
    compliance.post(f"{url}reveal/")
    assert "erika@example.com" in compliance.get(url).content.decode()
    seen = (
        AuditEntry.objects.filter(action="profile.viewed").order_by("recorded_at").values_list("actor_label", "detail")
    )
    assert list(seen) == [("marketer", {"masked": True}), ("compliance", {"masked": False})]


def test_who_objects_is_neither_listed_nor_opened_but_by_who_answers_their_requests(
    browse: Callable[[str], Client],
) -> None:
    tracker().send(identify("ann", traits={"country": "CH"}), identify("bob"))
    process_all()
    decide("ann", "internal_analysis", Decision.WITHDRAWN)
    ann = f"/admin/profiles/profile/{person('ann').uuid}/"
    people = "/admin/profiles/profile/"

    marketer = browse("marketer")
    page = marketer.get(people).content.decode()
    assert "bob" in page and "ann" not in page.replace("Channel", "")
    assert marketer.get(f"{people}?q=ann").status_code == 200
    assert [marketer.get(path).status_code for path in (ann, f"{ann}timeline/")] == [404, 404]

    compliance = browse("compliance")
    assert ann in compliance.get(people).content.decode()
    assert compliance.get(f"{people}?q=ann")["Location"] == ann
    assert [compliance.get(path).status_code for path in (ann, f"{ann}timeline/")] == [200, 200]

    reads = AuditEntry.objects.filter(action__startswith="profile").order_by("recorded_at")
    assert list(reads.values_list("actor_label", "action", "purpose", "detail")) == [
        ("marketer", "profiles.listed", "internal_analysis", {"count": 1, "further": False, "searched": False}),
        ("marketer", "profiles.listed", "internal_analysis", {"count": 0, "further": False, "searched": True}),
        ("compliance", "profiles.listed", "privacy_rights", {"count": 2, "further": False, "searched": False}),
        ("compliance", "profile.viewed", "privacy_rights", {"masked": True}),
        ("compliance", "profile.timeline_viewed", "privacy_rights", {"masked": True, "older": False}),
    ]


def test_a_country_that_counts_as_personal_is_not_listed(browse: Callable[[str], Client]) -> None:
    tracker().send(identify("ann", traits={"country": "Ruritania"}))
    process_all()
    client = browse("marketer")
    assert "Ruritania" in client.get("/admin/profiles/profile/").content.decode()
    Trait.objects.filter(key="country").update(is_pii=True)
    assert "Ruritania" not in client.get("/admin/profiles/profile/").content.decode()


def test_the_purposes_on_which_the_platform_itself_reads_people_stay(browse: Callable[[str], Client]) -> None:
    client = browse("admin")
    for purpose in Purpose.objects.all():
        expected = 403 if purpose.key in ("internal_analysis", "privacy_rights") else 200
        assert client.get(f"/admin/consent/purpose/{purpose.pk}/delete/").status_code == expected
    analysis = Purpose.objects.get(key="internal_analysis")
    sent = {"label": "x", "text": "x", "lawful_basis": "legitimate_interests", "mode": "notice_only", "reach": "person"}
    page = client.post(f"/admin/consent/purpose/{analysis.pk}/change/", sent).content.decode()
    assert "People can object to this lawful basis" in page


def test_a_reveal_ends_after_a_quarter_of_an_hour(browse: Callable[[str], Client]) -> None:
    tracker().send(identify("u1", traits={"email": "erika@example.com"}))
    process_all()
    url = f"/admin/profiles/profile/{person('u1').uuid}/"
    client = browse("compliance")
    client.post(f"{url}reveal/")
    session = client.session
    session["revealed"] = {uuid: until - 15 * 60 for uuid, until in session["revealed"].items()}
    session.save()
    assert "erika@example.com" not in client.get(url).content.decode()


def test_times_are_written_in_the_workspaces_time_zone(browse: Callable[[str], Client]) -> None:
    from cdp.profiles.models import Workspace

    workspace = Workspace.current()
    workspace.time_zone = "Asia/Tokyo"
    workspace.save()
    Job.objects.create(kind="segments.refresh", state="succeeded", created_at=timezone.now())
    page = browse("marketer").get("/admin/jobs/job/").content.decode()
    assert "+09:00" in page and "JST" in page


def test_every_log_in_and_every_refused_one_is_audited(db: None) -> None:
    User.objects.create_user("marketer", password="a-long-enough-password", is_staff=True)
    client = Client()
    client.post("/admin/login/", {"username": "marketer", "password": "my other password"})
    client.post("/admin/login/", {"username": "marketer", "password": "a-long-enough-password", "next": "/admin/"})
    entries = AuditEntry.objects.filter(action__startswith="user.").order_by("recorded_at")
    assert list(entries.values_list("action", "actor_label")) == [
        ("user.login_refused", "log-in"),
        ("user.logged_in", "marketer"),
    ]
    assert {entry.ip_prefix for entry in entries} == {"127.0.0.0/24"}
    assert "my other password" not in str(list(entries.values()))


def test_a_person_tells_of_no_segment_that_its_reader_may_not_see(browse: Callable[[str], Client]) -> None:
    assert _known()
    live("secret", performed("Order Completed"))
    mine = live("mine", performed("Order Completed"))
    url = f"/admin/profiles/profile/{person('u0').uuid}/"
    client = browse("")
    reader = User.objects.get(username="newcomer")
    reader.user_permissions.add(Permission.objects.get(codename="view_profile"))
    share_segment(segment=mine, user=reader, by=BY)
    for path in (url, f"{url}timeline/", f"{url}timeline/?kind=segments"):
        page = client.get(path).content.decode()
        assert "Mine" in page and "Secret" not in page, path


def test_a_job_names_no_segment_that_its_reader_may_not_see(browse: Callable[[str], Client]) -> None:
    assert _known()
    hidden, mine = live("hidden", performed("Order Completed")), live("mine", performed("Order Completed"))
    Job.objects.update(state="failed", finished_at=timezone.now(), error_code="broke", error_message="“Hidden” broke")
    client = browse("")
    reader = User.objects.get(username="newcomer")
    reader.user_permissions.add(Permission.objects.get(codename="view_job"))
    share_segment(segment=mine, user=reader, by=BY)
    job = Job.objects.get(params__segment=hidden.pk)
    Job.objects.exclude(pk=job.pk).update(error_message="It broke")
    for path in ("/admin/", "/admin/jobs/job/", f"/admin/jobs/job/{job.uuid}/"):
        page = client.get(path).content.decode()
        assert "Hidden" not in page and ("Mine" in page or str(job.uuid) in path), path
    assert "Hidden" in browse("marketer").get(f"/admin/jobs/job/{job.uuid}/").content.decode()


def test_a_person_s_head_counts_the_segments_that_are_listed(browse: Callable[[str], Client]) -> None:
    assert _known()
    live("buyers", performed("Order Completed"))
    page = browse("marketer").get(f"/admin/profiles/profile/{person('u0').uuid}/").content.decode()
    assert "<dt>Segments</dt><dd>1</dd>" in page


def test_a_person_is_in_no_archived_segment(browse: Callable[[str], Client]) -> None:
    assert _known()
    archive(segment=live("buyers", performed("Order Completed")), by=BY)
    page = browse("marketer").get(f"/admin/profiles/profile/{person('u0').uuid}/").content.decode()
    assert "In no live segment now." in page


def test_an_address_of_an_email_is_masked_in_whichever_trait_it_stands(browse: Callable[[str], Client]) -> None:
    tracker().send(identify("u1", traits={"contact": "erika@example.com"}))
    process_all()
    page = browse("marketer").get(f"/admin/profiles/profile/{person('u1').uuid}/").content.decode()
    assert "erika@example.com" not in page


@pytest.mark.parametrize("query", ["kind=²", "before=2026-01-01T00:00:00%2B00:00~99999999999999999999", "before=x~-5"])
def test_a_made_up_place_in_a_timeline_is_no_error(browse: Callable[[str], Client], query: str) -> None:
    assert _known()
    url = f"/admin/profiles/profile/{person('u0').uuid}/timeline/?{query}"
    assert browse("marketer").get(url).status_code == 200


def test_a_key_can_be_given_no_more_than_its_maker_may_do(browse: Callable[[str], Client]) -> None:
    client = browse("integrator")
    page = client.get("/admin/rest/apikey/new/").content.decode()
    assert "segments:read" in page and "jobs:write" in page
    assert not [
        scope for scope in ("members:read", "profiles:read", "profiles:reveal", "segments:write") if scope in page
    ]
    refused = client.post("/admin/rest/apikey/new/", {"name": "x", "scopes": ["segments:read", "profiles:read"]})
    assert refused.status_code == 422 and not ApiKey.objects.exists()
    with pytest.raises(Forbidden):
        create_api_key(name="x", scopes=["profiles:reveal"], by=BY, user=User.objects.get(username="integrator"))
    made = browse("admin").post("/admin/rest/apikey/new/", {"name": "x", "scopes": Scope.values})
    assert made.status_code == 200 and set(ApiKey.objects.get().scopes) == set(Scope.values)


def test_a_number_that_is_none_is_no_error(browse: Callable[[str], Client]) -> None:
    assert _known()
    segment = draft("mine", performed("Order Completed"))
    client = browse("admin")
    for number in ("²", "9" * 5000, "x"):
        assert client.get(f"/admin/segments/segment/{segment.uuid}/?version={number}").status_code == 200, number
        sent = client.post("/admin/ingestion/quarantined/replay/", {"message": [number]})
        assert sent.status_code == 302, number


def test_a_source_stays_of_its_kind_and_is_never_deleted(browse: Callable[[str], Client]) -> None:
    source = create_source(name="Site", kind=SourceKind.BROWSER, by=BY)
    client = browse("admin")
    url = f"/admin/ingestion/source/{source.pk}/"
    sent = {"name": "Site", "kind": "server", "allowed_origins": "https://shop.example", "is_enabled": "on"}
    assert client.post(f"{url}change/", sent).status_code == 302
    assert client.post(f"{url}delete/", {"post": "yes"}).status_code == 403
    source.refresh_from_db()
    assert (source.kind, source.allowed_origins) == ("browser", ["https://shop.example"])
