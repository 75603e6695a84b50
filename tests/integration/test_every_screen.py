"""What holds for each screen there is: who may open it, that it weighs little, asks no more of a larger database, and takes nothing
from another site's form.

The screens are found by their addresses, as for hostile texts; what an address is opened with is in `tests.integration.hostile_world`.
"""

import gzip
import re
from http.cookies import SimpleCookie

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.staticfiles import finders
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.factories import identify, live, performed, process_all, track, tracker
from tests.harness.harmless import Watch
from tests.integration.hostile_screens import Address, Screens
from tests.integration.hostile_world import World, make_world
from tests.integration.who_may import DONE, OPENED

MOST_BYTES = 150 * 1024
# Loaded only where they are used, and not ours.
APART = re.compile(r"vendor/(echarts|swagger-ui)/")
SHUT = (403, 404, 405)
ROLES = ("", "marketer", "compliance", "integrator", "admin")


@pytest.fixture
def world(db: None) -> World:
    return make_world()


@pytest.fixture
def screens(world: World) -> list[Address]:
    """One address for each name: the first that it can be opened with."""
    found: dict[str, Address] = {}
    for one in Screens(world, Watch()).all():
        found.setdefault(one.name, one)
    return list(found.values())


def is_page(response: HttpResponse) -> bool:
    return (
        response.status_code == 200
        and not response.streaming
        and response.content.lstrip()[:15].lower() == b"<!doctype html>"
    )


def weight(page: HttpResponse) -> int:
    """Bytes of the page and of what it loads, compressed."""
    text = page.content.decode()
    loaded = set(re.findall(r'(?:src|href)="/static/([^"#?]+\.(?:js|css|svg))', text))
    total = len(gzip.compress(page.content))
    for name in loaded:
        if APART.search(name):
            continue
        path = finders.find(name)
        assert path is not None, name
        with open(path, "rb") as file:
            total += len(gzip.compress(file.read()))
    return total


def test_each_page_weighs_less_than_150_kb(world: World, screens: list[Address]) -> None:
    client = world.client()
    weights = {one.name: weight(page) for one in screens if is_page(page := client.get(one.path))}
    assert len(weights) > 60
    assert {name: n for name, n in weights.items() if n > MOST_BYTES} == {}


def queries(client: Client, path: str) -> int | None:
    client.get(path)  # whatever is learned once is known now
    with CaptureQueriesContext(connection) as seen:
        status = client.get(path).status_code
    return len(seen) if status == 200 else None


def test_no_page_asks_more_often_for_more_segments_and_more_people(world: World, screens: list[Address]) -> None:
    source, client = tracker(), world.client()

    def more(first: int, last: int) -> None:
        source.send(
            *(identify(f"m{n}", traits={"email": f"m{n}@example.com", "points": n}) for n in range(first, last))
        )
        source.send(*(track("Order Completed", f"m{n}") for n in range(first, last)))
        process_all()
        for n in range(first, last):
            live(f"many-{n}", performed("Order Completed"), tags=[f"tag-{n}"], folder=f"Folder {n}")

    def asked() -> dict[str, int]:
        found = {}
        for one in screens:
            with transaction.atomic():
                count = queries(client, one.path)
                transaction.set_rollback(True)
            if count is not None:
                found[one.name] = count
        return found

    more(0, 3)
    few = asked()
    more(3, 15)
    many = asked()
    assert len(few) > 60
    assert {name: (few[name], n) for name, n in many.items() if n > few.get(name, n)} == {}


@pytest.fixture
def people(db: None) -> dict[str, User]:
    """Somebody with each role; "" has none."""
    found = {}
    for role in ROLES:
        found[role] = User.objects.create_user(role or "newcomer", is_staff=True)
        found[role].groups.set(Group.objects.filter(name=role))
    return found


@pytest.mark.parametrize(("method", "table"), [("get", OPENED), ("post", DONE)])
def test_each_role_opens_and_does_what_it_may_and_nothing_else(
    world: World, screens: list[Address], people: dict[str, User], method: str, table: dict[str, str]
) -> None:
    may = {name: _roles(who) for who, names in table.items() for name in names.split()}
    assert may.keys() == {one.name for one in screens}, "each address is in the table"
    for role, user in people.items():
        client = Client(raise_request_exception=False)
        client.force_login(user)
        logged_in, statuses = client.cookies.output(), {}
        for one in screens:
            client.cookies = SimpleCookie(logged_in.replace("Set-Cookie: ", ""))  # logging out is one of the acts
            with transaction.atomic():
                statuses[one.name] = getattr(client, method)(one.path).status_code
                transaction.set_rollback(True)
        odd = {name: status for name, status in statuses.items() if (status not in SHUT) is not (role in may[name])}
        assert odd == {}, role
        assert not [name for name, status in statuses.items() if status >= 500], role


def _roles(who: str) -> set[str]:
    if who == "anybody":
        return set(ROLES)
    return set() if who == "nobody" else {*who.split(), "admin"}


def test_nothing_is_done_for_a_form_of_another_site(world: World, screens: list[Address]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.master)
    sent = {"do": "show", "rule": "{}"}
    taken = [
        one.name
        for one in screens
        if one.path.startswith("/admin/") and client.post(one.path, sent).status_code not in SHUT
    ]
    assert taken == []


def test_whoever_is_not_logged_in_gets_nothing_but_the_log_in(world: World, screens: list[Address]) -> None:
    for one in screens:
        if not one.path.startswith("/admin/") or one.name in ("login", "logout", "jsi18n"):
            continue
        for method in ("get", "post"):
            answer = getattr(Client(), method)(one.path)
            where = answer.get("Location", "")
            assert answer.status_code == 302 and where.startswith("/admin/login/"), (one.name, answer.status_code)
