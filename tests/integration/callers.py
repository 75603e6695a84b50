"""Who calls the API in tests: a key with its scopes, or somebody who is logged in."""

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.test import Client

from cdp.rest.models import ApiKey, Scope
from cdp.rest.services import create_api_key
from consent.models import Decision, Method, Purpose
from consent.services import record_decision
from segments.models import Segment
from segments.sharing import share_segment
from tests.factories import BY, person

_numbers = itertools.count(1)
ROOT = "/api/v1/"


@dataclass
class Caller:
    """Calls with the same credentials each time; ``path`` starts below /api/v1/."""

    user: User
    headers: dict[str, str] = field(default_factory=dict)
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))
    key: ApiKey | None = None

    def get(self, path: str, **query: Any) -> HttpResponse:
        address = path if path.startswith(("http", "/")) else ROOT + path
        return self.client.get(address, query or None, headers=self.headers)

    def post(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self._send("post", path, body, headers)

    def patch(self, path: str, body: Any, **headers: str) -> HttpResponse:
        return self._send("patch", path, body, headers)

    def put(self, path: str, body: Any) -> HttpResponse:
        return self._send("put", path, body, {})

    def delete(self, path: str, body: Any = None) -> HttpResponse:
        return self._send("delete", path, body, {})

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> HttpResponse:
        raw = body if isinstance(body, bytes | str) else json.dumps({} if body is None else body)
        send = getattr(self.client, method)
        return send(ROOT + path, raw, content_type="application/json", headers={**self.headers, **headers})


def key(*scopes: str, sees: Iterable[Segment] = ()) -> Caller:
    """A system with an API key of these scopes (all of them when none is named), which sees these segments."""
    made, secret = create_api_key(name=f"Key {next(_numbers)}", scopes=scopes or Scope.values, all_purposes=True, by=BY)
    for segment in sees:
        share_segment(segment=segment, user=made.user, by=BY)
    return Caller(made.user, {"Authorization": f"Bearer {secret}"}, key=made)


def logged_in(role: str = "") -> Caller:
    """Somebody with this role and a session."""
    user = User.objects.create_user(f"{role or 'nobody'}{next(_numbers)}", password="not used")
    if role:
        user.groups.add(Group.objects.get(name=role))
    caller = Caller(user, client=Client(raise_request_exception=False, enforce_csrf_checks=True))
    caller.client.force_login(user)
    return caller


def decide(user: str, purpose: str, decision: Decision) -> None:
    """This person said so, just now."""
    record_decision(
        profile=person(user),
        purpose=Purpose.objects.get(key=purpose),
        decision=decision,
        method=Method.FORM,
        at=datetime.now(UTC),
        by=BY,
    )


def problem(response: HttpResponse, status: int) -> dict[str, Any]:
    """The body of an answer that must be a problem of this status."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "code", "request_id"} <= body.keys()
    assert body["status"] == status
    assert body["request_id"] == response["X-Request-Id"]
    return body


def found(response: HttpResponse, status: int = 200) -> dict[str, Any]:
    """The body of an answer that must be right."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    return response.json()  # type: ignore[no-any-return]
