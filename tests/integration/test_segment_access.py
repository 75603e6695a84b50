"""Who may see a segment: sharing it from the console, the doors around that, and what an API key's page says of it."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cdp.audit.models import AuditEntry
from cdp.rest.services import create_api_key, revoke_api_key
from segments.models import Segment
from segments.sharing import Share, change_share, share_segment, shares_of
from tests.factories import BY, draft, live
from tests.integration import callers

EVERYONE = {"everyone": True}
LIST = "/admin/segments/segment/"
Browse = Callable[..., Client]


@pytest.fixture
def browse(db: None) -> Browse:
    """A client logged in as a user of this name: with this role, or without one."""

    def as_(name: str, role: str = "") -> Client:
        user, _ = User.objects.get_or_create(username=name, defaults={"is_staff": True})
        if role:
            user.groups.add(Group.objects.get(name=role))
        client = Client()
        client.force_login(user)
        return client

    return as_


def url(segment: Segment, rest: str = "") -> str:
    return f"{LIST}{segment.uuid}/{rest}"


def who(name: str) -> User:
    return User.objects.get(username=name)


def granted(segment: Segment) -> dict[str, list[str]]:
    return {share.user.username: share.permissions for share in shares_of(segment)}


def test_a_marketer_shares_a_segment_with_a_key_which_sees_it_from_then_on(browse: Browse) -> None:
    segment = live("mine", EVERYONE)
    key = callers.key()
    assert callers.found(key.get("segments/"))["results"] == []
    marketer = browse("mara", "marketer")

    answer = marketer.post(url(segment, "access/"), {"who": key.user.pk, "may": ["view_members"]})
    assert answer.status_code == 302
    assert granted(segment) == {key.user.username: ["view_segment", "view_members"]}
    assert [found["key"] for found in callers.found(key.get("segments/"))["results"]] == ["mine"]
    callers.problem(key.post("segments/mine/refresh/"), 403)

    marketer.post(url(segment, f"access/{key.user.pk}/remove/"))
    assert granted(segment) == {}
    callers.problem(key.get("segments/mine/"), 404)
    entries = AuditEntry.objects.filter(action__in=["segment.shared", "segment.unshared"]).order_by("recorded_at")
    assert [(entry.action, entry.actor_label, entry.detail["name"]) for entry in entries] == [
        ("segment.shared", "mara", key.user.username),
        ("segment.unshared", "mara", key.user.username),
    ]


def test_a_share_is_changed_to_just_what_was_ticked(browse: Browse) -> None:
    segment = draft("mine", EVERYONE)
    browse("newcomer")
    share_segment(segment=segment, user=who("newcomer"), by=BY, permissions=["view_segment", "refresh_segment"])
    marketer = browse("mara", "marketer")

    page = marketer.get(url(segment, "access/"), {"who": who("newcomer").pk}).content.decode()
    assert "Change what newcomer may" in page
    assert 'value="refresh_segment" checked' in page and 'value="view_members" checked' not in page

    marketer.post(url(segment, "access/"), {"who": who("newcomer").pk, "may": ["view_members"]})
    assert granted(segment) == {"newcomer": ["view_segment", "view_members"]}


def test_changing_a_share_to_what_it_is_leaves_no_trace(browse: Browse) -> None:
    segment = draft("mine", EVERYONE)
    browse("newcomer")
    share_segment(segment=segment, user=who("newcomer"), by=BY)
    before = AuditEntry.objects.count()
    change_share(segment=segment, user=who("newcomer"), by=BY, permissions=granted(segment)["newcomer"])
    assert AuditEntry.objects.count() == before


def test_nobody_passes_on_what_they_may_not_do_themselves(browse: Browse) -> None:
    segment = draft("mine", EVERYONE)
    editor = browse("editor")
    browse("newcomer")
    share_segment(segment=segment, user=who("editor"), by=BY, permissions=["view_segment", "change_segment"])
    share_segment(segment=segment, user=who("newcomer"), by=BY, permissions=["view_segment", "view_members"])

    page = editor.get(url(segment, "access/")).content.decode()
    assert 'value="change_segment"' in page and 'value="view_members"' not in page
    everything = ["change_segment", "refresh_segment", "view_members", "delete_segment"]
    editor.post(url(segment, "access/"), {"who": who("editor").pk, "may": everything})
    editor.post(url(segment, "access/"), {"who": who("newcomer").pk, "may": everything})
    assert granted(segment) == {
        "editor": ["view_segment", "change_segment"],
        # What the editor can't pass on stays as somebody else granted it.
        "newcomer": ["view_segment", "change_segment", "view_members"],
    }


@pytest.mark.parametrize("role", ["compliance", "integrator"])
def test_who_may_not_change_a_segment_may_not_share_it(browse: Browse, role: str) -> None:
    segment = draft("mine", EVERYONE)
    client = browse("reader", role)
    browse("newcomer")
    assert "Who may see it" not in client.get(url(segment)).content.decode()
    assert client.get(url(segment, "access/")).status_code == 403
    assert client.post(url(segment, "access/"), {"who": who("reader").pk}).status_code == 403
    assert client.post(url(segment, f"access/{who('newcomer').pk}/remove/")).status_code == 403
    assert granted(segment) == {}


def test_a_segment_is_not_shared_with_nobody_nor_with_a_revoked_key(browse: Browse) -> None:
    segment = draft("mine", EVERYONE)
    key, _ = create_api_key(name="Old", scopes=["segments:read"], by=BY)
    revoke_api_key(key=key, by=BY)
    marketer = browse("mara", "marketer")
    for given in ("", "x", "0", str(key.user_id)):
        answer = marketer.post(url(segment, "access/"), {"who": given})
        assert answer.status_code == 422 and "Choose a person, an API key or a group." in answer.content.decode()
    assert shares_of(segment) == []


def test_a_key_without_the_scope_for_its_right_is_said_to_lack_it(browse: Browse) -> None:
    segment = draft("mine", EVERYONE)
    key, _ = create_api_key(name="Mail tool", scopes=["segments:read"], by=BY)
    share_segment(segment=segment, user=key.user, by=BY, permissions=["view_segment", "view_members"])
    page = browse("mara", "marketer").get(url(segment, "access/")).content.decode()
    assert "But the key lacks <code>members:read</code>" in page


def test_people_without_a_role_get_to_what_was_shared_with_them_and_no_further(browse: Browse) -> None:
    shared, other = live("mine", EVERYONE), live("theirs", {"in_segment": "mine"})
    client = browse("newcomer")
    assert f'href="{LIST}"' not in client.get("/admin/").content.decode()
    share_segment(segment=shared, user=who("newcomer"), by=BY, permissions=["view_segment", "change_segment"])

    home = client.get("/admin/").content.decode()
    assert f'href="{LIST}"' in home and "Mine" in home and "Theirs" not in home
    rows = client.get(LIST).content.decode()
    assert "Mine" in rows and "Theirs" not in rows
    assert "sound" in client.post(f"{LIST}check/", {"rule": '{"version": 1, "everyone": true}'}).content.decode()
    assert client.post(f"{LIST}preview/", {"rule": '{"version": 1, "everyone": true}'}).status_code == 403
    settings = client.get(url(shared, "settings/")).content.decode()
    assert url(other) not in settings and "1 that you may not see" in settings

    # Taking their own share back leaves them nothing to stand on.
    answer = client.post(url(shared, f"access/{who('newcomer').pk}/remove/"))
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert client.get(LIST).status_code == 403


def test_a_keys_page_lists_what_it_sees_and_counts_what_the_reader_may_not(browse: Browse) -> None:
    key, _ = create_api_key(name="Mail tool", scopes=["segments:read"], by=BY)
    page = f"/admin/rest/apikey/{key.pk}/"
    integrator = browse("ines", "integrator")
    assert "It sees nothing yet" in integrator.get(page).content.decode()
    share_segment(segment=draft("mine", EVERYONE), user=key.user, by=BY)
    draft("theirs", EVERYONE)

    seen = integrator.get(page).content.decode()
    assert "Sees 1 segment<" in seen and "Mine" in seen and "Theirs" not in seen
    assert "1 segment<" in integrator.get("/admin/rest/apikey/").content.decode()
    assert browse("mara", "marketer").get(page).status_code == 403

    integrator.logout()
    blind = browse("ben")
    who("ben").user_permissions.add(*Group.objects.get(name="integrator").permissions.filter(codename="view_apikey"))
    told = blind.get(page).content.decode()
    assert "Mine" not in told and "1 that you may not see" in told


def test_a_revoked_key_sees_nothing_any_more(browse: Browse) -> None:
    key, _ = create_api_key(name="Old", scopes=["segments:read"], by=BY)
    share_segment(segment=draft("mine", EVERYONE), user=key.user, by=BY)
    revoke_api_key(key=key, by=BY)
    admin = browse("ada", "admin")
    assert "nothing any more" in admin.get("/admin/rest/apikey/").content.decode()
    page = admin.get(f"/admin/rest/apikey/{key.pk}/").content.decode()
    assert "Would see 1 segment<" in page and "#share" not in page


def test_the_accounts_of_keys_are_not_listed_as_people(browse: Browse) -> None:
    key = callers.key().user
    admin = browse("ada", "admin")
    page = admin.get("/admin/auth/user/").content.decode()
    assert "ada" in page and key.username not in page
    assert admin.get(f"/admin/auth/user/{key.pk}/change/").status_code == 302


def test_the_page_asks_as_often_for_many_shares_as_for_few(browse: Browse) -> None:
    segment = draft("mine", EVERYONE)
    marketer = browse("mara", "marketer")

    def queries(shares: int) -> int:
        for _ in range(shares):
            share_segment(segment=segment, user=callers.key().user, by=BY)
        marketer.get(url(segment, "access/"))
        with CaptureQueriesContext(connection) as seen:
            assert marketer.get(url(segment, "access/")).status_code == 200
        return len(seen)

    assert queries(2) == queries(8)


def test_shares_go_with_the_segment(browse: Browse) -> None:
    from guardian.models import UserObjectPermission

    segment = draft("mine", EVERYONE)
    share_segment(segment=segment, user=callers.key().user, by=BY)
    browse("mara", "marketer").post(url(segment, "delete/"))
    assert not Segment.objects.exists() and not UserObjectPermission.objects.exists()


def test_people_come_before_keys(db: None) -> None:
    segment = draft("mine", EVERYONE)
    key, person = callers.key().user, User.objects.create_user("zoe", is_staff=True)
    for user in (key, person):
        share_segment(segment=segment, user=user, by=BY, permissions=["view_segment"])
    assert shares_of(segment) == [
        Share(user=person, permissions=["view_segment"]),
        Share(user=key, permissions=["view_segment"]),
    ]


def test_nobody_takes_back_a_right_that_they_could_not_have_given(browse: Browse) -> None:
    segment = draft("mine", EVERYONE)
    browse("ann"), browse("bob")
    share_segment(segment=segment, user=who("ann"), by=BY, permissions=["view_segment", "change_segment"])
    share_segment(segment=segment, user=who("bob"), by=BY, permissions=["view_segment", "delete_segment"])
    assert browse("ann").post(url(segment, f"access/{who('bob').pk}/remove/")).status_code == 302
    assert granted(segment)["bob"] == ["view_segment", "delete_segment"]
    share_segment(segment=segment, user=who("ann"), by=BY, permissions=["delete_segment"])
    assert browse("ann").post(url(segment, f"access/{who('bob').pk}/remove/")).status_code == 302
    assert "bob" not in granted(segment)
