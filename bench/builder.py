"""How long the builder takes from what somebody does to the rows drawn again, on a rule of 30 conditions; people aren't counted.

Run by `make bench ARGS=builder`. Each step is a request of a logged-in marketer through all middleware; the floor is the same step
on a rule with nothing in it.
"""

import gzip
import json
import statistics
import time
from typing import Any

import django

django.setup()

from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from bench.report import Row, publish
from cdp.audit import SYSTEM
from cdp.profiles.models import EventName, Trait
from segments.catalogue import catalog
from segments.rules.edit import blank
from segments.rules.parts import parts
from segments.services import create_segment

CONDITIONS, TRAITS, EVENTS, SEGMENTS = 30, 80, 60, 60
ROUNDS = 12
MOST_MS = 100
ASKED_KB = 150


def fill_catalogue() -> None:
    """As many things to choose from as a shop in use has."""
    Trait.objects.bulk_create(
        Trait(key=f"trait_{n}", label=f"Trait {n}", type=("text", "number", "date", "boolean")[n % 4])
        for n in range(TRAITS)
    )
    EventName.objects.bulk_create(EventName(name=f"Event {n}") for n in range(EVENTS))
    for n in range(SEGMENTS):
        create_segment(name=f"Segment {n}", rule={"version": 1, "everyone": True}, by=SYSTEM)


def rule_of(conditions: int) -> dict[str, Any]:
    """Conditions of all sorts in groups of five, a third of them with a filter, each sixth group denied."""
    groups: list[Any] = []
    for n in range(conditions):
        if n % 5 == 0:
            groups.append({"any": []} if n % 10 else {"all": []})
        leaf: dict[str, Any]
        match n % 3:
            case 0:
                leaf = {"trait": f"trait_{n % TRAITS // 4 * 4}", "op": "any_of", "value": ["red", "green", "blue"]}
            case 1:
                leaf = {
                    "performed": f"Event {n}",
                    "measure": "sum",
                    "op": "gt",
                    "value": 10 * n,
                    "within": {"days": 30},
                }
            case _:
                leaf = {
                    "performed": f"Event {n}", "op": "gte", "value": 3, "within": {"days": 90},
                    "where": [{"property": "category", "op": "equals", "value": "Shoes"}],
                }  # fmt: skip
        next(iter(groups[-1].values())).append(leaf)
    return {"version": 1, "all": groups}


def control(document: dict[str, Any], node: str, name: str) -> dict[str, str]:
    """How the page names the control of that part of a condition."""
    leaf = document["all"][0]["all"][int(node[-1])]
    number = next(n for n, part in enumerate(parts(leaf, catalog())) if part.at == (name,))
    return {"node": node, "at": f"{node}/{name}", "part": str(number)}


def steps(document: dict[str, Any]) -> list[dict[str, str]]:
    """One of each kind of step, at places that the rule has."""
    if not document["all"]:
        return [
            {"do": "add", "into": "/all", "subject": "trait:trait_0"},
            {"do": "group", "into": "/all", "kind": "any"},
        ]
    return [
        {"do": "add", "into": "/all/0/all", "subject": "trait:trait_1"},
        {"do": "add", "into": "/all", "subject": "performed:Event 7"},
        {"do": "set", "value": "1,200", **control(document, "/all/0/all/1", "value")},
        {"do": "list_add", "value": "black", **control(document, "/all/0/all/0", "value")},
        {"do": "down", "what": "/all/0"},
        {"do": "move", "what": "/all/0/all/2", "into": "/all/3/any", "position": "0"},
        {"do": "negate", "what": "/all/1"},
        {"do": "wrap", "what": "/all/2", "kind": "any"},
        {"do": "duplicate", "what": "/all/0/all/3"},
        {"do": "remove", "what": "/all/4"},
        {"do": "show"},
    ]


def milliseconds(client: Client, document: dict[str, Any]) -> tuple[list[float], bytes]:
    url, text = reverse("admin:segments_segment_build"), json.dumps(document)
    taken, page = [], b""
    for round_number in range(ROUNDS):
        for step in steps(document):
            began = time.perf_counter()
            answer = client.post(url, {"rule": text, **step}, headers={"hx-request": "true"})
            took = 1000 * (time.perf_counter() - began)
            assert answer.status_code == 200, (step, answer.status_code)
            page = answer.content
            if round_number:  # the first has templates and plans to make
                taken.append(took)
    return taken, page


def p95(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=20)[-1]


def main() -> None:
    fill_catalogue()
    marketer = User.objects.create_user("bench", is_staff=True)
    marketer.groups.set([Group.objects.get(name="marketer")])
    client = Client(headers={"host": "localhost"})
    client.force_login(marketer)
    empty, _ = milliseconds(client, blank())
    taken, page = milliseconds(client, rule_of(CONDITIONS))
    size = f"{CONDITIONS} conditions, {len(taken)} steps"
    print(f"  p50 {statistics.median(taken):.1f} ms, p95 {p95(taken):.1f} ms, most {max(taken):.1f} ms")
    publish(
        [
            Row(name="builder: p95 of a step, beside what is allowed", size=size, value=p95(taken), floor=MOST_MS, unit="ms", goal=1),
            Row(name="builder: median of a step, beside an empty rule", size=size, value=statistics.median(taken),
                floor=statistics.median(empty), unit="ms"),
            Row(name="builder: compressed answer, beside what a page may weigh", size=size, value=len(gzip.compress(page)) / 1024,
                floor=ASKED_KB, unit="KiB", goal=1),
        ]
    )  # fmt: skip


if __name__ == "__main__":
    main()
