"""What makes the description of the API good to read and true to check: rooms in their order, an example of everything.

Hooks of drf-spectacular. What one operation takes and gives is described at its view; examples that would be long there are
in ``api_examples.json`` of its package, as ``{operation_id: {"request": {name: value}, "response": {name: value}}}``; where
an operation gives several forms, by their media types instead.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.conf import settings

ROOMS: Final = {
    "segments": "Groups of people by rules: what they are, who is in them and why.",
    "audiences": "Who of a segment may be reached for a purpose, and how that changes.",
    "lists": "Groups of people by name.",
    "profiles": "Single people, for a purpose.",
    "consents": "What people decided, and receipts of it.",
    "purposes": "What people may be read for.",
    "notices": "What people are shown before they decide.",
    "privacy-requests": "What people ask for about their own data.",
    "links": "Pages of one person, for whoever writes to them.",
    "rfm": "How lately, how often and for how much people bought.",
    "clusterings": "Groups that were found rather than defined.",
    "personas": "What typical members of groups are like.",
    "sources": "Where events come from, and what became of them.",
    "catalogue": "Which traits and events there are.",
    "exports": "Files and tables of people, for a purpose.",
    "webhooks": "Being told when something happens.",
    "content": "Content that depends on who looks.",
    "jobs": "Long work: how far it is.",
    "keys": "API keys, what they may and when they end.",
    "audit": "Who did what, to what, when and for which purpose.",
}
"""In the order in which they are read. A room that isn't named here comes after them."""
WITHIN: Final = {
    "rules": "segments",
    "portraits": "personas",
    "quarantine": "sources",
    "tracking-plan": "sources",
    "hooks": "webhooks",
    "slots": "content",
}
"""Addresses that belong to a room of another name."""


def put_in_rooms(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Tags every operation with its room, in an order in which they can be read."""
    used = set()
    for operation in _operations(result):
        operation["tags"] = [WITHIN.get(tag, tag) for tag in operation["tags"]]
        used.update(operation["tags"])
    known = [{"name": name, "description": said} for name, said in ROOMS.items() if name in used]
    result["tags"] = known + [{"name": name} for name in sorted(used - ROOMS.keys())]
    place = {tag["name"]: number for number, tag in enumerate(result["tags"])}
    result["paths"] = dict(sorted(result["paths"].items(), key=lambda item: _place(item[1], place)))
    return result


def _place(operations: dict[str, Any], place: dict[str, int]) -> int:
    return min(place[tag] for operation in operations.values() for tag in operation["tags"])


def let_null_be(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Takes back what no value can be: exactly one of anything and null, which null is both of."""
    for node in _nodes(result):
        if {} in node.get("oneOf", ()) and {"type": "null"} in node["oneOf"]:
            del node["oneOf"]
    return result


def add_examples(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Adds the examples that stand in files."""
    for operation in _operations(result):
        found = examples().get(operation["operationId"], {})
        request = operation.get("requestBody", {}).get("content", {})
        _add(request, found, "request")
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                _add(response.get("content", {}), found, "response")
    return result


def _add(content: dict[str, Any], examples_of: dict[str, Any], what: str) -> None:
    for name, media in content.items():
        found = examples_of.get(name, examples_of.get(what))
        if found and name.endswith("json") and not media.get("examples"):
            media["examples"] = {title: {"summary": title, "value": value} for title, value in found.items()}


@cache
def examples() -> dict[str, dict[str, dict[str, Any]]]:
    """By the id of the operation."""
    here = Path(settings.BASE_DIR)
    packages = [Path(app.path) for app in apps.get_app_configs() if here in Path(app.path).parents]
    files = [file for package in sorted(packages) if (file := package / "api_examples.json").exists()]
    return {name: one for file in files for name, one in json.loads(file.read_text(encoding="utf-8")).items()}


def _operations(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in result["paths"].values():
        yield from operations.values()


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _nodes(inner)
