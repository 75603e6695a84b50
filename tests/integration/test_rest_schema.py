"""The API's description of itself: valid, complete, and readable in a browser under our content policy."""

import io
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from drf_spectacular.validation import validate_schema

from segments.rules import json_schema
from tests.integration.test_rest_doors import api_views


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    response = Client().get("/api/v1/schema/")
    assert response.status_code == 200
    return response.json()  # type: ignore[no-any-return]


def test_the_description_is_valid_and_made_without_a_warning(document: dict[str, Any]) -> None:
    validate_schema(document)  # type: ignore[no-untyped-call]
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=io.StringIO())


def test_every_address_is_described_with_its_errors(document: dict[str, Any]) -> None:
    ours = {"/" + re.sub(r"<\w+:(\w+)>", r"{\1}", address)
            for address, _ in api_views()} - {"/api/v1/schema/"}  # fmt: skip
    assert set(document["paths"]) == ours
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"] and operation["description"], f"{method} {path} says nothing"
            assert "application/problem+json" in operation["responses"]["default"]["content"]
            assert "Retry-After" in operation["responses"]["429"]["headers"]


def test_every_reference_of_the_description_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return here + [ref for value in node.values() for ref in references(value)]
        return [ref for value in node for ref in references(value)] if isinstance(node, list) else []

    for reference in references(document):
        node: Any = document
        for step in reference.removeprefix("#/").split("/"):
            assert step in node, reference
            node = node[step]


def test_the_rule_language_stands_in_the_description(document: dict[str, Any]) -> None:
    described = document["components"]["schemas"]["Rule"]
    assert described["$defs"].keys() == json_schema()["$defs"].keys()  # type: ignore[attr-defined]
    new = document["components"]["schemas"]["NewSegment"]["properties"]["rule"]
    assert new["$ref"] == "#/components/schemas/Rule" or {"$ref": "#/components/schemas/Rule"} in new.get("allOf", [])


def test_it_is_had_as_yaml_too() -> None:
    response = Client().get("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi"})
    assert response.content.startswith(b"openapi: 3.1.0")


class Inline(HTMLParser):
    """Finds what a strict content policy would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in_script = tag == "script"
        if tag == "style" or "style" in given or any(name.startswith("on") for name in given):
            self.found.append(tag)
        for name in ("src", "href"):
            if (given.get(name) or "").startswith(("http:", "https:", "//", "javascript:")):
                self.found.append(f"{tag} {given[name]}")

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.found.append(data)


@pytest.mark.django_db
def test_the_docs_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    response = Client().get("/api/v1/docs/")
    policy = response["Content-Security-Policy"]
    assert "unsafe" not in policy and "http" not in policy
    page = Inline()
    page.feed(response.content.decode())
    assert page.found == []
