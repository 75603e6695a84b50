"""What a caller has no right to isn't there for him: 404, at every address with an object in it and for every method.

The addresses are found, not listed. Only those are named whose objects everybody with the scope may see, and why.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.contrib.auth.models import Permission
from django.db import transaction
from django.http import HttpResponse
from django.test import override_settings

from cdp.rest.models import Scope
from cdp.rest.permissions import needed
from tests.integration.callers import Caller, key, logged_in
from tests.integration.hostile_rest import Operation, operations
from tests.integration.hostile_world import World, make_world
from tests.integration.test_rest_doors import api_views

NOT_COUNTED = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
EVERYBODYS: dict[str, str] = {
    "segments/preview/": "one's own running preview; a token that nobody else knows, and the answer is the same for any other",
    "lists/": "people by name, that every rule may mention; those of one segment are that segment's",
    "profiles/": "people: what limits who is read is what each permits for a purpose, and for which the key may read",
    "consents/": "the same people's decisions, for whoever proves them; none is one caller's own",
    "notices/": "what everybody is shown before they decide",
    "privacy-requests/": "for whoever handles rights, who must find all of them",
    "rfm/runs/": "figures of the whole shop",
    "clusterings/": "figures of the whole shop",
    "personas/": "figures of groups of five people or more",
    "quarantine/": "for whoever runs the integration: messages that belong to nobody yet",
    "catalogue/": "names of fields of the whole shop",
    "export-destinations/": "where files can go: addresses, without their secrets",
    "slots/": "what a site shows to whom: its own content, and of segments their keys",
    "keys/": "for whoever has keys:read; what they may do is limited by what the caller may, see test_rest_keys",
}
"""Addresses below /api/v1/, by their beginning: objects that everybody with the scope may see, and why."""


@pytest.fixture
def world(db: None) -> Iterator[World]:
    with override_settings(CACHES=NOT_COUNTED, PUBLIC_URL="https://data.shop.example"):
        yield make_world()


def _answered(caller: Caller, operation: Operation, world: World) -> HttpResponse:
    with transaction.atomic():
        answer = operation.send(replace(world, caller=caller), {})
        transaction.set_rollback(True)
    return answer


def _named(operation: Operation) -> str | None:
    """The address of the table that this one is below."""
    below = operation.template.removeprefix("/api/v1/")
    return next((beginning for beginning in EVERYBODYS if below.startswith(beginning)), None)


def _role_without_objects() -> Caller:
    """Somebody who may use every door and sees no object: with the permissions that doors ask for, but without those on segments."""
    of_doors = {
        needed(view, "required_permission", method) for _, view in api_views() for method in view().allowed_methods
    }
    caller = logged_in()
    for name in of_doors - {None}:
        label, _, codename = str(name).partition(".")
        if (label, codename.partition("_")[2]) not in OF_OBJECTS:
            caller.user.user_permissions.add(Permission.objects.get(content_type__app_label=label, codename=codename))
    caller.client.handler.enforce_csrf_checks = False
    return caller


OF_OBJECTS = {("segments", "segment"), ("segments", "members"), ("jobs", "job")}
"""Permissions that are rights to every segment or job if they aren't given on one."""


def test_a_key_with_every_scope_finds_nothing_that_was_not_shared_with_it(world: World) -> None:
    stranger, wrong = key(), []
    for operation in operations(world):
        if operation.parts and _named(operation) is None:
            answer = _answered(stranger, operation, world)
            if answer.status_code != 404 or answer.headers.get("ETag"):
                wrong.append(f"{operation}: {answer.status_code} {answer.content[:100]!r}")
    assert not wrong, "\n".join(wrong)


def test_a_key_of_one_scope_finds_no_more_than_one_of_all(world: World) -> None:
    """Or the door would tell by 403 what is there."""
    for scope in Scope.values:
        stranger = key(scope)
        for operation in operations(world):
            if operation.parts and _named(operation) is None:
                answer = _answered(stranger, operation, world)
                assert answer.status_code in (403, 404), f"{scope} at {operation}: {answer.status_code}"
                assert answer.status_code == 404 or answer.json()["code"] == "scope_missing", f"{scope} at {operation}"


def test_who_may_use_the_doors_but_sees_no_object_finds_none(world: World) -> None:
    somebody, wrong = _role_without_objects(), []
    for operation in operations(world):
        if operation.parts and _named(operation) is None:
            answer = _answered(somebody, operation, world)
            is_shut = answer.status_code == 403 and answer.json()["code"] == "permission_missing"
            if answer.status_code != 404 and not is_shut:
                wrong.append(f"{operation}: {answer.status_code} {answer.content[:100]!r}")
    assert not wrong, "\n".join(wrong)


def test_what_isnt_there_answers_as_what_is_anothers(world: World) -> None:
    stranger = key()
    for operation in operations(world):
        if "key" in operation.parts and _named(operation) is None:
            theirs = _answered(stranger, operation, world).json()
            there_isnt = replace(operation, parts={**operation.parts, "key": "nothing-of-that-name"})
            none = _answered(stranger, there_isnt, world).json()
            assert theirs | {"request_id": ""} == none | {"request_id": ""}, f"{operation} tells them apart"


def test_the_table_names_what_is_there(world: World) -> None:
    used = {_named(operation) for operation in operations(world) if operation.parts}
    assert EVERYBODYS.keys() <= used, "said of what isn't there"
