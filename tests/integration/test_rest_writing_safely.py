"""Writes that are sent twice, edits that began from an older version, and addresses on their way out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

import cdp.urls
from cdp.audit.models import AuditEntry
from cdp.rest import idempotency
from cdp.rest.models import ApiKey, DoneRequest
from cdp.rest.permissions import ANY_CALLER
from cdp.rest.views import ApiView, Deprecation
from segments.models import Segment, StaticList
from segments.sharing import share_segment
from tests.factories import BY, live
from tests.integration.callers import Caller, found, key, problem

pytestmark = pytest.mark.django_db
NEW = {"name": "Friends", "key": "friends"}
HEADER = {"Idempotency-Key": "7c9e6679-7425-40de-944b"}


# ---- Sent twice ------------------------------------------------------------------------------------------------------


def test_a_write_that_is_sent_again_answers_as_before_and_does_nothing() -> None:
    caller = key()
    first = caller.post("lists/", NEW, **HEADER)
    again = caller.post("lists/", NEW, **HEADER)
    assert found(first, 201) == found(again, 201)
    assert first["Location"] == again["Location"]
    assert again["Idempotency-Replayed"] == "true" and not first.has_header("Idempotency-Replayed")
    assert StaticList.objects.filter(key="friends").count() == 1
    assert AuditEntry.objects.filter(object_type__contains="staticlist").count() == 1


def test_the_same_key_with_another_body_or_address_is_refused() -> None:
    caller = key()
    found(caller.post("lists/", NEW, **HEADER), 201)
    for send in (
        lambda: caller.post("lists/", NEW | {"name": "Foes"}, **HEADER),
        lambda: caller.patch("lists/friends/", NEW, **HEADER),
    ):
        assert problem(send(), 422)["code"] == "idempotency_key_reused"


def test_a_key_of_one_caller_is_nothing_to_another() -> None:
    found(key().post("lists/", NEW, **HEADER), 201)
    assert not key().post("lists/", NEW | {"key": "foes"}, **HEADER).has_header("Idempotency-Replayed")


def test_what_was_refused_is_tried_anew() -> None:
    caller = key()
    problem(caller.post("lists/", {"name": ""}, **HEADER), 400)
    found(caller.post("lists/", NEW, **HEADER), 201)


def test_a_key_that_is_too_short_or_has_spaces_is_refused() -> None:
    for given in ("short", "with a space in it", "x" * 201):
        refused = key().post("lists/", NEW, **{"Idempotency-Key": given})
        assert problem(refused, 400)["code"] == "idempotency_key_unreadable"


def test_a_write_that_fails_half_way_leaves_nothing_and_no_answer(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    assert key().post("half/", {}, **HEADER).status_code == 500
    assert not StaticList.objects.exists() and not DoneRequest.objects.exists()


def test_the_answer_that_held_a_key_is_not_kept() -> None:
    caller = key()
    wanted = {"name": "Made once", "scopes": ["segments:read"]}
    made = found(caller.post("keys/", wanted, **HEADER), 201)
    assert problem(caller.post("keys/", wanted, **HEADER), 409)["code"] == "answer_held_secret"
    assert ApiKey.objects.filter(name="Made once").count() == 1
    assert DoneRequest.objects.get().answer is None and made["key"]


def test_kept_answers_can_be_read_by_nobody_but_the_caller() -> None:
    found(key().post("lists/", NEW, **HEADER), 201)
    kept = DoneRequest.objects.get()
    assert b"Friends" not in bytes(kept.answer or b"") and HEADER["Idempotency-Key"].encode() not in bytes(kept.key)


def test_answers_are_kept_for_a_day() -> None:
    caller = key()
    found(caller.post("lists/", NEW, **HEADER), 201)
    DoneRequest.objects.update(created_at=datetime.now(UTC) - timedelta(hours=25))
    assert problem(caller.post("lists/", NEW, **HEADER), 409)["code"] != "idempotency_in_progress"
    assert idempotency.purge() == 1 and not DoneRequest.objects.exists()


def test_what_only_asks_answers_anew() -> None:
    caller = key()
    asked = {"rule": {"version": 1, "everyone": True}}
    for _ in range(2):
        assert not caller.post("segments/preview/", asked, **HEADER).has_header("Idempotency-Replayed")
    assert not DoneRequest.objects.exists()


# ---- Edits of an older version ---------------------------------------------------------------------------------------


@pytest.fixture
def editor() -> Caller:
    caller = key()
    share_segment(segment=live("all", {"everyone": True}), user=caller.user, by=BY)
    return caller


def test_an_edit_of_what_somebody_changed_meanwhile_is_refused(editor: Caller) -> None:
    read = editor.get("segments/all/")["ETag"]
    changed = editor.patch("segments/all/", {"name": "Mine"}, **{"If-Match": read})
    assert found(changed)["name"] == "Mine" and changed["ETag"] == editor.get("segments/all/")["ETag"] != read
    refused = editor.patch("segments/all/", {"name": "Theirs"}, **{"If-Match": read})
    assert problem(refused, 412)["code"] == "changed_meanwhile"
    assert Segment.objects.get(key="all").name == "Mine"
    found(editor.patch("segments/all/", {"name": "Theirs"}, **{"If-Match": f'"x", W/{changed["ETag"]}'}))


def test_members_that_come_and_go_refuse_no_edit_but_are_shown(editor: Caller) -> None:
    read = editor.get("segments/all/")["ETag"]
    Segment.objects.update(member_count=12)
    assert editor.get("segments/all/")["ETag"] != read
    found(editor.patch("segments/all/", {"name": "Mine"}, **{"If-Match": read}))


@pytest.mark.parametrize("address", ["segments/all/", "rfm/settings/", "keys/{prefix}/"])
def test_what_the_caller_has_is_not_sent_again(editor: Caller, address: str) -> None:
    assert editor.key
    address = address.format(prefix=editor.key.prefix)
    editor.get(address)
    tag = editor.get(address)["ETag"]
    response = editor.client.get(f"/api/v1/{address}", headers={**editor.headers, "If-None-Match": tag})
    assert (response.status_code, response.content, response["ETag"]) == (304, b"", tag)


def test_an_edit_without_a_version_is_refused_only_where_the_setting_says_so(editor: Caller, settings: Any) -> None:
    found(editor.patch("segments/all/", {"name": "Mine"}))
    settings.API_REQUIRES_IF_MATCH = True
    assert problem(editor.patch("segments/all/", {"name": "Theirs"}), 428)["code"] == "if_match_missing"


# ---- On its way out --------------------------------------------------------------------------------------------------


class Old(ApiView):
    required_scope = ANY_CALLER
    deprecated = Deprecation(
        since=datetime(2026, 11, 1, tzinfo=UTC), sunset=datetime(2027, 5, 1, tzinfo=UTC), successor="/api/v1/new/"
    )

    def get(self, request: Request) -> Response:
        return Response({})


class Half(ApiView):
    required_scope = ANY_CALLER

    def post(self, request: Request) -> Response:
        StaticList.objects.create(key="half", name="Half")
        raise ZeroDivisionError


urlpatterns = [path("api/v1/old/", Old.as_view()), path("api/v1/half/", Half.as_view()), *cdp.urls.urlpatterns]
handler500 = cdp.urls.handler500


def test_an_address_on_its_way_out_says_until_when_and_what_comes_next(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    response = key().get("old/")
    assert response["Deprecation"] == "@1793491200"
    assert response["Sunset"] == "Sat, 01 May 2027 00:00:00 GMT"
    assert response["Link"] == '</api/v1/new/>; rel="successor-version"'
