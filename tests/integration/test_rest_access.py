"""Whom a segment is shared with over REST: people, keys and groups, and no more than the caller may do."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from guardian.models import UserObjectPermission

from cdp.audit.models import AuditEntry
from segments.models import Segment, SegmentGroupPermission, SegmentUserPermission
from segments.services import delete_segment
from segments.sharing import SHAREABLE, may, share_segment, shared_counts, visible_segments
from tests.factories import BY, draft
from tests.integration.callers import Caller, found, key, problem

pytestmark = pytest.mark.django_db
EVERYONE = {"everyone": True}


@pytest.fixture
def sharer() -> Caller:
    caller = key()
    share_segment(segment=draft("mine", EVERYONE), user=caller.user, by=BY, permissions=SHAREABLE)
    return caller


def mine() -> Segment:
    return Segment.objects.get(key="mine")


def test_a_segment_is_shared_with_a_person_a_key_and_a_group_and_taken_back(sharer: Caller) -> None:
    User.objects.create_user("newcomer", is_staff=True)
    Group.objects.create(name="Agency")
    other = key()
    assert other.key
    for holder in ("users/newcomer", "groups/Agency", f"keys/{other.key.prefix}"):
        shared = found(sharer.put(f"segments/mine/access/{holder}/", {"permissions": ["export_members"]}))
        assert shared["permissions"] == ["view_segment", "export_members"]
    found(other.get("segments/mine/"))
    shares = {f"{one['kind']}/{one['name']}" for one in found(sharer.get("segments/mine/access/"))["shares"]}
    assert {"users/newcomer", "groups/Agency", f"keys/{other.key.prefix}"} < shares
    for holder in ("users/newcomer", "groups/Agency", f"keys/{other.key.prefix}"):
        assert sharer.delete(f"segments/mine/access/{holder}/").status_code == 204
        assert found(sharer.get(f"segments/mine/access/{holder}/"))["permissions"] == []
    problem(other.get("segments/mine/"), 404)
    entries = AuditEntry.objects.filter(action="segment.unshared", actor_kind="api_key")
    assert {entry.detail["name"] for entry in entries} == {"newcomer", "Agency", other.user.username}


def test_who_is_in_a_group_may_what_it_was_granted() -> None:
    group, user = Group.objects.create(name="Agency"), User.objects.create_user("newcomer", is_staff=True)
    segment, other = draft("mine", EVERYONE), draft("theirs", EVERYONE)
    share_segment(segment=segment, user=group, by=BY, permissions=["view_segment", "activate_segment"])
    user.groups.add(group)
    assert list(visible_segments(user)) == [segment]
    assert may(user, "activate_segment", segment) and not may(user, "activate_segment", other)
    assert not may(user, "export_members", segment)


def test_nobody_passes_on_what_they_lack() -> None:
    caller, segment = key("segments:read", "segments:write"), draft("mine", EVERYONE)
    held = ["view_segment", "change_segment", "view_members"]
    share_segment(segment=segment, user=caller.user, by=BY, permissions=held)
    User.objects.create_user("newcomer", is_staff=True)
    address = "segments/mine/access/users/newcomer/"
    # The first it was not granted; the second its scopes don't open.
    for right in ("export_members", "view_members"):
        refused = problem(caller.put(address, {"permissions": [right]}), 403)
        assert refused["code"] == "right_beyond_yours"
    share_segment(segment=segment, user=User.objects.get(username="newcomer"), by=BY, permissions=["export_members"])
    assert problem(caller.delete(address), 403)["code"] == "right_beyond_yours"


def test_who_may_not_change_a_segment_sees_no_shares_and_strangers_no_segment(sharer: Caller) -> None:
    reader = key(sees=[])
    problem(reader.get("segments/mine/access/"), 404)
    share_segment(segment=mine(), user=reader.user, by=BY, permissions=["view_segment"])
    problem(reader.get("segments/mine/access/"), 403)
    problem(reader.put("segments/mine/access/users/x/", {"permissions": []}), 403)


@pytest.mark.parametrize("holder", ["users/nobody", "keys/cdp_00000000", "groups/Nobody", "robots/x"])
def test_an_unknown_holder_is_not_found(sharer: Caller, holder: str) -> None:
    assert (
        problem(sharer.put(f"segments/mine/access/{holder}/", {"permissions": []}), 404)["code"] == "holder_not_found"
    )


def test_the_account_of_a_key_is_no_user_to_share_with(sharer: Caller) -> None:
    other = key().user.username
    problem(sharer.put(f"segments/mine/access/users/{other}/", {"permissions": []}), 404)


def test_grants_go_with_the_segment_by_the_database_itself(sharer: Caller) -> None:
    share_segment(segment=mine(), user=Group.objects.create(name="Agency"), by=BY)
    delete_segment(segment=mine(), by=BY)
    assert not SegmentUserPermission.objects.exists() and not SegmentGroupPermission.objects.exists()
    assert not UserObjectPermission.objects.filter(content_type__model="segment").exists()


def test_a_list_asks_as_often_for_thirty_segments_as_for_three() -> None:
    caller, group = key(), Group.objects.create(name="Agency")
    caller.user.groups.add(group)
    made: list[Segment] = []

    def queries(segments: int) -> int:
        while len(made) < segments:
            made.append(draft(f"s{len(made)}", EVERYONE))
            share_segment(
                segment=made[-1], user=(caller.user, group)[len(made) % 2], by=BY, permissions=["view_segment"]
            )
        caller.get("segments/")
        with CaptureQueriesContext(connection) as seen:
            assert len(found(caller.get("segments/"))["results"]) == segments
        return len(seen)

    assert queries(3) == queries(30)
    assert shared_counts([caller.user]) == {caller.user.pk: 15}


def test_grants_that_were_kept_by_type_and_number_are_carried_over(sharer: Caller) -> None:
    from importlib import import_module

    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.models import ContentType

    carry: Any = import_module("segments.migrations.0019_grants_with_foreign_keys")
    segment, user = mine(), User.objects.create_user("newcomer")
    kind = ContentType.objects.get_for_model(Segment)
    right = Permission.objects.get(content_type=kind, codename="view_segment")
    UserObjectPermission.objects.bulk_create(
        UserObjectPermission(user=user, permission=right, content_type=kind, object_pk=str(number))
        for number in (segment.pk, 999_999)  # of the second the segment is gone
    )
    with connection.schema_editor() as editor:
        carry.carry(None, editor)
    assert list(user.segmentuserpermission_set.values_list("content_object", "permission")) == [(segment.pk, right.pk)]
    assert not UserObjectPermission.objects.exists()
