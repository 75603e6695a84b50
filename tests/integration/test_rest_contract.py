"""The REST API does what its description says, whoever calls: every operation there is, with requests made up from the description.

Nothing is listed here. A room that is added later is walked by itself, as its description has it; what it takes to lead its
addresses somewhere is said in `tests.integration.hostile_world`. Each request is undone, so that all meet the same world.
"""

import copy
import gc
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import Group
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.middleware.csrf import get_token
from django.test import RequestFactory, override_settings
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core import NotSet
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cdp.rest.openapi import document
from tests.integration import hostile_rest
from tests.integration.callers import key, logged_in
from tests.integration.hostile_world import World, make_world

NOT_COUNTED = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MADE_UP = 2
NOBODY, ANY_KEY, STRANGER = "no credentials", "a key with every scope", "a key that sees no object"
FULFILLED = {NOBODY: 0, ANY_KEY: 1}
"""How many for each operation are fulfilled at least, or little is looked at."""
CALLERS = (NOBODY, ANY_KEY, STRANGER, "marketer", "integrator", "compliance", "admin")


Credentials = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Requests:
    """What is sent in a world: for each operation the usual request, then made-up ones."""

    world: World
    cases: Mapping[str, list[Case]]


@pytest.fixture(autouse=True)
def _what_is_let_go_here_is_told_of_here() -> Iterator[None]:
    """Or Python comes to it in the midst of another test, which then fails for it."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def requests(modules_database: Any) -> Iterator[Requests]:
    with override_settings(CACHES=NOT_COUNTED, PUBLIC_URL="https://data.shop.example"), _one_connection():
        world = make_world()
        described, made_from = _loaded(document()), _loaded(_without_rules())
        cases = {}
        for one in hostile_rest.operations(world):
            operation = described[one.template][one.method.upper()]
            made_up = _made_up(made_from[one.template][one.method.upper()], one)
            cases[operation.label] = [*_usual(operation, one), *(_of(operation, case) for case in made_up)]
        yield Requests(world, cases)


@contextmanager
def _one_connection() -> Iterator[None]:
    """A server closes a connection on which a transaction is open between requests; here it is ours."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


def _loaded(description: dict[str, Any]) -> Any:
    loaded = schemathesis.openapi.from_dict(description)
    loaded.app = get_wsgi_application()
    loaded.config.update(base_url="http://testserver")
    return loaded


def _without_rules() -> dict[str, Any]:
    """The description with some rules instead of their language, which is too deep for requests to be made up from."""
    simple = copy.deepcopy(document())
    rules = simple["components"]["schemas"]["Rule"]["examples"]
    simple["components"]["schemas"]["Rule"] = {"enum": [*rules, {"version": 1, "everyone": True}, {"version": 1}, 7]}
    return simple


def _of(operation: Any, case: Case) -> Case:
    """The same request, as one that is held to the whole description."""
    body = {} if isinstance(case.body, NotSet) else {"body": case.body, "media_type": case.media_type}
    headers = {name: value for name, value in (case.headers or {}).items() if name.lower() != "authorization"}
    return operation.Case(path_parameters=case.path_parameters, query=case.query, headers=headers, **body)


def _usual(operation: Any, one: hostile_rest.Operation) -> Iterator[Case]:
    """With objects that there are, and each body that the description has as an example."""
    for body in one.bodies or [None]:
        given_body = {} if body is None else {"body": body, "media_type": one.media}
        yield operation.Case(path_parameters=dict(one.parts), query=dict(one.query), **given_body)


def _made_up(operation: Any, one: hostile_rest.Operation) -> list[Case]:
    """The same ones each time: what fails once fails again."""
    found: list[Case] = []
    # Whoever waits for changes would wait here for as long as is made up.
    fixed = {"wait": 0} if any(slot.place == ("wait",) for slot in one.slots) else None

    @seed(50)
    @settings(
        max_examples=MADE_UP, deadline=None, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck)
    )  # fmt: skip
    @given(case=operation.as_strategy(path_parameters=dict(one.parts), query=fixed))
    def collect(case: Case) -> None:
        found.append(case)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collect()
    return found


def _credentials(world: World, caller: str) -> Credentials:
    if caller == NOBODY:
        return {"headers": {}}
    if caller == ANY_KEY:
        return {"headers": dict(world.caller.headers)}
    if caller == STRANGER:
        return {"headers": dict(key().headers)}
    session = logged_in(caller).client.cookies["sessionid"].value
    request = RequestFactory().get("/")
    token = get_token(request)
    cookies = {"sessionid": session, "csrftoken": request.META["CSRF_COOKIE"]}
    return {"headers": {"X-CSRFToken": token}, "cookies": cookies}


def test_every_role_there_is_calls(requests: Requests) -> None:
    assert set(Group.objects.values_list("name", flat=True)) == set(CALLERS) - {NOBODY, ANY_KEY, STRANGER}


@pytest.mark.parametrize("caller", CALLERS)
def test_every_operation_answers_as_it_is_described(requests: Requests, caller: str) -> None:
    wrong, right = [], 0
    with transaction.atomic():
        credentials = _credentials(requests.world, caller)
        for label, cases in requests.cases.items():
            for case in cases[:1] if caller == NOBODY else cases:
                status, said = _sent(case, credentials)
                right += 200 <= status < 300
                wrong += [f"{label}: {status} {one}" for one in said]
        transaction.set_rollback(True)
    assert not wrong, "\n".join(dict.fromkeys(wrong))
    assert right >= len(requests.cases) * FULFILLED.get(caller, 0.1), (
        f"of {caller} only {right} requests were fulfilled"
    )


def _sent(case: Case, credentials: Credentials) -> tuple[int, list[str]]:
    with transaction.atomic():
        response = case.call(**copy.deepcopy(credentials))
        transaction.set_rollback(True)
    try:
        case.validate_response(response, checks=CHECKS)
    except (Failure, FailureGroup) as failure:
        found = failure.exceptions if isinstance(failure, FailureGroup) else [failure]
        return response.status_code, [" ".join(str(one).split())[:600] for one in found]
    return response.status_code, []
