"""Who gets into the API, what is refused at its door, and how a refusal reads."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import URLPattern, URLResolver, get_resolver, path
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

import cdp.urls
from cdp.rest.models import ApiKey, Scope
from cdp.rest.permissions import ANY_CALLER, PUBLIC, needed
from cdp.rest.services import revoke_api_key
from cdp.rest.views import ApiView
from tests.factories import BY
from tests.integration.callers import Caller, found, key, logged_in, problem

pytestmark = pytest.mark.django_db


# ---- Who calls -----------------------------------------------------------------------------------------------


def test_without_a_key_the_answer_says_how_to_send_one() -> None:
    response = Caller(user=None).get("segments/")  # type: ignore[arg-type]
    assert problem(response, 401)["code"] == "not_authenticated"
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize("sent", ["Bearer", "Bearer ", "Bearer cdp_00000000_guess", "Bearer " + "x" * 5000, "Bearer é"])
def test_an_unknown_key_is_refused(sent: str) -> None:
    caller = Caller(user=None, headers={"Authorization": sent})  # type: ignore[arg-type]
    assert problem(caller.get("segments/"), 401)["code"] == "api_key_unknown"


def test_a_revoked_key_is_refused_from_its_next_request_on() -> None:
    caller = key()
    assert caller.get("segments/").status_code == 200
    assert caller.key
    revoke_api_key(key=caller.key, by=BY)
    assert problem(caller.get("segments/"), 401)["code"] == "api_key_not_usable"


def test_an_expired_key_is_refused() -> None:
    caller = key()
    ApiKey.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert problem(caller.get("segments/"), 401)["code"] == "api_key_not_usable"


def test_its_last_use_is_remembered_to_the_minute(django_assert_num_queries: Any) -> None:
    caller = key()
    caller.get("purposes/")
    first = ApiKey.objects.get().last_used_at
    assert first and first > datetime.now(UTC) - timedelta(seconds=20)
    with django_assert_num_queries(2):  # the key with its account, the purposes; no write
        caller.get("purposes/")
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
    caller.get("purposes/")
    last = ApiKey.objects.get().last_used_at
    assert last and last >= first


def test_somebody_logged_in_may_read_with_his_session_and_writes_only_with_the_csrf_token() -> None:
    marketer = logged_in("marketer")
    found(marketer.get("segments/"))
    assert problem(marketer.post("segments/preview/", {"rule": {"version": 1, "everyone": True}}), 403)
    page = marketer.client.get("/api/v1/docs/")
    token = page.context["csrf_token"]
    sent = {"rule": {"version": 1, "everyone": True}}
    assert marketer.post("segments/preview/", sent, **{"X-CSRFToken": str(token)}).status_code == 200


# ---- What they may do ----------------------------------------------------------------------------------------

DOORS = [
    ("get", "segments/", Scope.SEGMENTS_READ),
    ("post", "segments/", Scope.SEGMENTS_WRITE),
    ("get", "segments/any/", Scope.SEGMENTS_READ),
    ("patch", "segments/any/", Scope.SEGMENTS_WRITE),
    ("post", "segments/preview/", Scope.SEGMENTS_WRITE),
    ("post", "segments/any/refresh/", Scope.SEGMENTS_WRITE),
    ("post", "segments/any/pause/", Scope.SEGMENTS_WRITE),
    ("post", "segments/any/resume/", Scope.SEGMENTS_WRITE),
    ("get", "segments/any/members/", Scope.MEMBERS_READ),
    ("post", "segments/any/by-hand/add/", Scope.SEGMENTS_WRITE),
    ("post", "segments/any/by-hand/remove/", Scope.SEGMENTS_WRITE),
    ("post", "segments/any/by-hand/undo/", Scope.SEGMENTS_WRITE),
    ("get", "segments/any/history/", Scope.SEGMENTS_READ),
    ("get", "segments/any/flow/", Scope.SEGMENTS_READ),
    ("get", "segments/any/versions/1/diff/2/", Scope.SEGMENTS_READ),
    ("get", "segments/overlap/", Scope.SEGMENTS_READ),
    ("get", "segments/flow/", Scope.SEGMENTS_READ),
    ("get", "segments/templates/", Scope.SEGMENTS_READ),
    ("get", "segments/any/why/user_id:1/", Scope.PROFILES_READ),
    ("get", "profiles/user_id:1/", Scope.PROFILES_READ),
    ("get", "sources/", Scope.SOURCES_READ),
    ("get", "quarantine/", Scope.SOURCES_READ),
    ("post", "quarantine/1/replay/", Scope.SOURCES_WRITE),
    ("get", "tracking-plan/", Scope.SOURCES_READ),
    ("get", "lists/", Scope.SEGMENTS_READ),
    ("post", "lists/", Scope.SEGMENTS_WRITE),
    ("get", "lists/any/", Scope.SEGMENTS_READ),
    ("patch", "lists/any/", Scope.SEGMENTS_WRITE),
    ("delete", "lists/any/", Scope.SEGMENTS_WRITE),
    ("post", "lists/any/people/", Scope.SEGMENTS_WRITE),
    ("put", "lists/any/people/", Scope.SEGMENTS_WRITE),
    ("post", "lists/any/people/remove/", Scope.SEGMENTS_WRITE),
    ("get", "rfm/", Scope.ANALYSES_READ),
    ("get", "rfm/runs/", Scope.ANALYSES_READ),
    ("post", "rfm/runs/", Scope.ANALYSES_WRITE),
    ("get", "rfm/runs/7f8b2c9e-0000-4000-8000-000000000000/", Scope.ANALYSES_READ),
    ("get", "rfm/settings/", Scope.ANALYSES_READ),
    ("patch", "rfm/settings/", Scope.ANALYSES_WRITE),
    ("get", "clusterings/", Scope.ANALYSES_READ),
    ("get", "clusterings/any/", Scope.ANALYSES_READ),
    ("get", "clusterings/any/runs/", Scope.ANALYSES_READ),
    ("post", "clusterings/any/runs/", Scope.ANALYSES_WRITE),
    ("get", "clusterings/any/runs/1/", Scope.ANALYSES_READ),
    ("post", "clusterings/any/runs/1/accept/", Scope.ANALYSES_WRITE),
    ("post", "clusterings/any/runs/1/decline/", Scope.ANALYSES_WRITE),
    ("patch", "clusterings/any/clusters/1/", Scope.ANALYSES_WRITE),
    ("get", "personas/", Scope.ANALYSES_READ),
    ("get", "personas/any/", Scope.ANALYSES_READ),
    ("post", "portraits/", Scope.ANALYSES_WRITE),
    ("post", "consents/", Scope.CONSENTS_WRITE),
    ("get", "consents/imports/", Scope.CONSENTS_READ),
    ("post", "consents/imports/", Scope.CONSENTS_WRITE),
    ("get", "consents/imports/7f8b2c9e-0000-4000-8000-000000000000/", Scope.CONSENTS_READ),
    ("post", "consents/imports/7f8b2c9e-0000-4000-8000-000000000000/apply/", Scope.CONSENTS_WRITE),
    ("get", "consents/current/user_id:1/", Scope.CONSENTS_READ),
    ("get", "consents/history/user_id:1/", Scope.CONSENTS_READ),
    ("get", "consents/consent-mode/user_id:1/", Scope.CONSENTS_READ),
    ("get", "jobs/", Scope.JOBS_READ),
    ("get", "jobs/7f8b2c9e-0000-4000-8000-000000000000/", Scope.JOBS_READ),
    ("post", "jobs/7f8b2c9e-0000-4000-8000-000000000000/cancel/", Scope.JOBS_WRITE),
]


@pytest.mark.parametrize(("method", "address", "scope"), DOORS)
def test_a_key_without_the_scope_is_refused(method: str, address: str, scope: str) -> None:
    caller = key(*(one for one in Scope.values if one != scope))
    response = caller.get(address) if method == "get" else getattr(caller, method)(address, {})
    body = problem(response, 403)
    assert body["code"] == "scope_missing" and scope in body["detail"]


@pytest.mark.parametrize(("method", "address", "scope"), DOORS)
def test_somebody_without_a_role_is_refused(method: str, address: str, scope: str) -> None:
    nobody = logged_in()
    nobody.client.handler.enforce_csrf_checks = False
    response = nobody.get(address) if method == "get" else getattr(nobody, method)(address, {})
    assert problem(response, 403)["code"] == "permission_missing"


def api_views() -> list[tuple[str, type[APIView]]]:
    found: list[tuple[str, type[APIView]]] = []

    def walk(patterns: list[URLPattern | URLResolver], prefix: str) -> None:
        for one in patterns:
            address = prefix + str(one.pattern)
            if isinstance(one, URLResolver):
                walk(one.url_patterns, address)
            elif issubclass(getattr(one.callback, "cls", object), APIView):
                found.append((address, one.callback.cls))  # type: ignore[attr-defined]

    walk(get_resolver().url_patterns, "")
    return found


def test_every_view_declares_what_it_needs_and_nothing_of_people_is_public() -> None:
    views = api_views()
    assert len(views) >= 12
    undeclared, public = [], set()
    for address, view in views:
        for method in view().allowed_methods:
            if method == "OPTIONS":
                continue
            scope = needed(view, "required_scope", method)
            if scope == PUBLIC:
                public.add(address)
            elif scope is None or (scope != ANY_CALLER and not needed(view, "required_permission", method)):
                undeclared.append(f"{method} {address}")
    assert undeclared == []
    assert public == {"api/v1/schema/", "api/v1/rules/schema/"}


class Silent(ApiView):
    def get(self, request: Request) -> None:
        """Declares nothing of what it needs."""


def test_a_view_that_declares_nothing_lets_nobody_in() -> None:
    caller = key()
    request = APIRequestFactory().get("/", headers=caller.headers)
    response = Silent.as_view()(request)
    assert response.status_code == 403


# ---- How often -----------------------------------------------------------------------------------------------


def test_a_caller_past_his_rate_hears_when_to_come_back_and_others_go_on(settings: Any) -> None:
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {"per_key": "2/hour"}}
    cache.clear()
    caller = key()
    answers = [caller.get("purposes/") for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert [(one["RateLimit-Limit"], one["RateLimit-Remaining"]) for one in answers] == [
        ("2", "1"),
        ("2", "0"),
        ("2", "0"),
    ]
    assert all(1 <= int(one["RateLimit-Reset"]) <= 3600 for one in answers)
    response = caller.get("purposes/")
    assert problem(response, 429)["code"] == "throttled"
    assert response["Retry-After"].isdigit() and 1 <= int(response["Retry-After"]) <= 3600
    assert key().get("purposes/").status_code == 200


def test_while_nothing_can_be_counted_nobody_is_held_back(settings: Any) -> None:
    backend = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {"default": backend}
    answer = key().get("purposes/")
    assert answer.status_code == 200 and not answer.has_header("RateLimit-Limit")


# ---- What is refused, and how it reads -----------------------------------------------------------------------


def test_every_error_of_a_body_is_told_at_once_with_its_place() -> None:
    body = problem(key().post("segments/", {"refresh_minutes": 0, "name": "x" * 151}), 400)
    assert body["code"] == "invalid"
    assert {one["pointer"]: one["code"] for one in body["errors"]} == {
        "/name": "max_length",
        "/rule": "required",
        "/refresh_minutes": "min_value",
    }


def test_a_single_error_stands_at_the_top_too() -> None:
    body = problem(key().post("segments/", {"name": "Buyers"}), 400)
    assert (body["code"], body["pointer"], len(body["errors"])) == ("required", "/rule", 1)


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"",
        b"\xff\xfe",
        b'{"rule": NaN}',
        b'{"name": "a", "name": "b"}',
        b'{"rule": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"rule": ' + b"9" * 5000 + b"}",
        b"[1, 2]",
        b'"text"',
        b"null",
        b'{"name": "a\\u0000b", "rule": {}}',
        b'{"name": "a\\ud800b", "rule": {}}',
        b'{"name": "a", "rule": {"version": 1, "trait": "a\\ud800", "op": "\\ud800"}}',
        b'{"name": "a", "rule": {"version": 1, "trait": "a\\u0000", "op": "is", "value": "\\u0000"}}',
        b'{"name": "a", "rule": {"version": 1, "any": []}}',
        b'{"name": {"a": 1}, "rule": [], "key": 7, "publish": "perhaps"}',
        b'{"name": "a", "key": "Not A Key", "rule": {"version": 1, "everyone": true}}',
        b'{"name": "a", "key": "preview", "rule": {"version": 1, "everyone": true}}',
    ],
)
def test_a_bad_body_gets_a_problem_and_never_a_server_error(raw: bytes) -> None:
    response = key().post("segments/", raw)
    assert problem(response, response.status_code)["status"] in {400, 409}


def test_a_body_that_is_too_large_is_not_read() -> None:
    assert problem(key().post("segments/", b" " * 1_000_001), 413)["code"] == "body_too_large"


def test_only_json_is_taken() -> None:
    caller = key()
    response = caller.client.post("/api/v1/segments/", {"name": "x"}, headers=caller.headers)
    assert problem(response, 415)["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    "address", ["segments/?limit=0", "segments/?limit=1001", "segments/?limit=many", "segments/?limit=%D9%A3"]
)
def test_a_limit_out_of_range_is_refused_rather_than_bent(address: str) -> None:
    assert problem(key().get(address), 400)["code"] == "limit_out_of_range"


@pytest.mark.parametrize(
    "address", ["segments/?stauts=live", "jobs/?serach=x", "purposes/?purpose=x", "profiles/user_id:1/?limits=2"]
)
def test_a_misspelt_filter_is_refused_rather_than_ignored(address: str) -> None:
    assert problem(key().get(address), 400)["code"] == "unknown_parameter"


@pytest.mark.parametrize(
    "address",
    [
        "segments/?search=%00",
        "segments/?status=sleeping",
        "jobs/?state=1",
        "segments/?cursor=guess",
        "jobs/?cursor=%00",
    ],
)
def test_a_bad_parameter_gets_a_problem(address: str) -> None:
    problem(key().get(address), 400)


def test_an_unknown_address_and_a_wrong_method_answer_as_problems_too() -> None:
    assert problem(key().get("nothing/"), 404)["code"] == "not_found"
    assert problem(key().get("/api/v2/"), 404)["code"] == "not_found"
    response = key().post("purposes/", {})
    assert problem(response, 405)["code"] == "method_not_allowed"
    options = Caller(user=None).client.options("/api/v1/segments/")  # type: ignore[arg-type]
    assert problem(options, 405)


class Broken(ApiView):
    required_scope = ANY_CALLER

    def get(self, request: Request, **_: str) -> None:
        raise ZeroDivisionError("ann@example.com at /srv/secret")


broken = [path("api/v1/broken/", Broken.as_view()), path("api/v1/profiles/<path:identifier>/", Broken.as_view())]
urlpatterns = [*broken, *cdp.urls.urlpatterns]
handler500 = cdp.urls.handler500


def test_an_unforeseen_error_tells_nothing_of_itself(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    body = problem(key().get("broken/"), 500)
    assert body["code"] == "internal"
    assert "ann@" not in str(body) and "secret" not in str(body) and "ZeroDivision" not in str(body)


def test_a_look_up_that_fails_leaves_no_identifier_in_the_log(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.ROOT_URLCONF = __name__
    problem(key().get("profiles/email:bob@example.com/"), 500)
    assert "/api/v1/profiles/[personal]" in caplog.text
    assert "bob@" not in caplog.text


def test_outside_of_the_api_errors_stay_pages() -> None:
    response = Caller(user=None).client.get("/nothing/")  # type: ignore[arg-type]
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_no_proxy_may_keep_an_answer() -> None:
    assert "no-store" in key().get("purposes/")["Cache-Control"]
    assert "no-store" in Caller(user=None).get("purposes/")["Cache-Control"]  # type: ignore[arg-type]


# ---- What is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b'{"a/b":[1,{"c":"x\\ud800"}]}', "invalid_text", "/a~1b/1/c"),
        (b'{"evidence":{"\\u0000":1}}', "invalid_text", "/evidence"),
        (b'{"a":"\\\\ud800 \\ud83d\\ude00"}', "required", None),  # a backslash that is text, and a whole character
        (b'{"a":1e400}', "invalid_json", ""),
        (b'{"a":"\xed\xa0\x80"}', "invalid_json", ""),
        ('{"a":1}'.encode("utf-16"), "invalid_json", ""),
    ],
)
def test_what_could_be_neither_kept_nor_answered_is_refused_with_its_place(
    body: bytes, code: str, pointer: Any
) -> None:
    refused = problem(key().post("consents/", body), 400)
    found_codes = {refused["code"], *(one["code"] for one in refused.get("errors", ()))}
    assert code in found_codes and (pointer is None or refused.get("pointer", "") == pointer)
