"""Whoever reads the description of the API sees an example of every request and every answer, and all of them are right."""

from collections.abc import Iterator
from typing import Any

import jsonschema

from cdp.rest.description import examples
from cdp.rest.openapi import document

JSON = ("application/json", "application/ld+json")
LACKING = """add it at the view, or to api_examples.json of its package:
{operation_id: {"request": {name: value}, "response": {name: value}}}"""


def _contents() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(Operation, request or response, media type, what the description says of it)."""
    for operations in document()["paths"].values():
        for operation in operations.values():
            name = operation["operationId"]
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                yield name, "request", media, content
            for status, response in operation["responses"].items():
                for media, content in response.get("content", {}).items() if status.startswith("2") else ():
                    if media in JSON:
                        yield name, "response", media, content


def test_every_request_and_every_answer_has_an_example() -> None:
    lacking = [f"{name} {what} {media}" for name, what, media, content in _contents() if not content.get("examples")]
    assert not lacking, "\n".join([LACKING, *lacking])


def test_every_example_fits_its_schema() -> None:
    wrong = []
    for name, what, media, content in _contents():
        if media not in JSON:
            continue
        schema = {**content["schema"], "components": document()["components"]}
        validator = jsonschema.Draft202012Validator(schema)
        for title, example in content.get("examples", {}).items():
            wrong += [
                f"{name} {what} “{title}” /{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
                for error in validator.iter_errors(example["value"])
            ]
    assert not wrong, "\n".join(wrong)


def test_no_file_of_examples_is_of_an_operation_that_isnt_there() -> None:
    there = {one["operationId"] for operations in document()["paths"].values() for one in operations.values()}
    assert examples().keys() <= there
