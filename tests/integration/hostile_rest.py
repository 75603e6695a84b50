"""Every place of the REST API in which somebody can write something, as its own description has them, and requests that use them.

What is written there is `tests.harness.hostile`; what must not come of it, `tests.harness.harmless`.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from django.http import HttpResponse

from cdp.rest.openapi import document
from tests.harness.hostile import SEPARATOR, is_text, raw, sheet
from tests.integration.hostile_world import YESTERDAY, Unknown, World, api_part

Place = tuple[str, ...]
DEEPEST = 5
PLACEHOLDER = "@@as-it-is@@"
FREE = f"x-{PLACEHOLDER.strip('@')}"


@dataclass(frozen=True)
class Slot:
    """One place: a part of the path, a parameter, or a value within the body. ``kind`` says what is meant to stand there."""

    where: str
    place: Place
    kind: str

    def __str__(self) -> str:
        return f"{self.where} {'/'.join(self.place)}".strip()


@dataclass(frozen=True)
class AsItIs:
    """A value of JSON as it is written, which may be no JSON."""

    text: str


@dataclass
class Operation:
    method: str
    template: str
    parts: dict[str, str]
    slots: list[Slot]
    query: dict[str, str] = field(default_factory=dict)
    bodies: list[Any] = field(default_factory=list)
    media: str = "application/json"

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.template}"

    def send(self, world: World, given: Mapping[Slot, str | AsItIs], *, body: int = 0) -> HttpResponse:
        """The answer, with what is given in these places and what is right in the others."""
        parts, query = dict(self.parts), dict(self.query)
        sent = copy.deepcopy(self.bodies[body % len(self.bodies)]) if self.bodies else None
        as_they_are: list[str] = []
        for slot, value in given.items():
            text = value.text if isinstance(value, AsItIs) else value
            if slot.where == "path":
                parts[slot.place[0]] = text
            elif slot.where == "query":
                query[slot.place[0]] = text
            elif isinstance(value, AsItIs):
                sent = _with(sent, slot.place, f"{PLACEHOLDER}{len(as_they_are)}")
                as_they_are.append(text)
            else:
                sent = _with(sent, slot.place, text)
        path = self.template
        for name, text in parts.items():
            path = path.replace("{" + name + "}", quote(raw(text), safe=":"))
        asked = "&".join(f"{quote(name)}={quote(raw(text))}" for name, text in query.items())
        content = b"" if sent is None else self._encoded(sent, as_they_are)
        headers = {**world.caller.headers}
        return world.caller.client.generic(
            self.method.upper(), f"{path}?{asked}", content, content_type=self.media, headers=headers
        )

    def _encoded(self, sent: Any, as_they_are: Sequence[str]) -> bytes:
        if self.media != "application/json":
            return raw(sent) if sent in self.bodies or SEPARATOR not in sent else sheet(sent)
        written = json.dumps(sent)
        if (
            not is_text(json.dumps(sent, ensure_ascii=False)) and len(written) % 2
        ):  # half of them as bytes, half as escapes
            written = json.dumps(sent, ensure_ascii=False)
        for number, text in enumerate(as_they_are):
            written = written.replace(json.dumps(f"{PLACEHOLDER}{number}"), text)
        return raw(written)


def operations(world: World) -> list[Operation]:
    """Every operation that the API describes, with all its places."""
    described = document()
    schemas = described["components"]["schemas"]
    return [
        _operation(world, schemas, method, template, said)
        for template, methods in described["paths"].items()
        for method, said in methods.items()
    ]


def _operation(
    world: World, schemas: Mapping[str, Any], method: str, template: str, said: Mapping[str, Any]
) -> Operation:
    parts: dict[str, str] = {}
    slots: list[Slot] = []
    query: dict[str, str] = {}
    for parameter in said.get("parameters", ()):
        name, where, schema = parameter["name"], parameter["in"], _resolved(parameter["schema"], schemas)
        slots.append(Slot(where, (name,), where if where == "path" else f"{where} {_family(schema)}"))
        if where == "path":
            parts[name] = api_part(world, template, name)
        elif parameter.get("required"):
            query[name] = _asked(name, schema, template)
    operation = Operation(method, template, parts, slots, query)
    for media, content in said.get("requestBody", {}).get("content", {}).items():
        operation.media = media
        if media != "application/json":
            examples = [one["value"] for one in content.get("examples", {}).values()]
            operation.bodies = [FILE, *examples]
            slots.append(Slot("body", (), SHEET))
            continue
        schema = content["schema"]
        operation.bodies = [_known(one["value"]) for one in content.get("examples", {}).values()] or [
            _made(schema, schemas)
        ]
        slots += dict.fromkeys(Slot("body", place, f"body {kind}") for place, kind in _places(schema, schemas))
    return operation


SHEET = "a file"
# What is asked for where it must be.
QUERY = {"purpose": "internal_analysis", "segment": "everybody", "event": "audience.entered"}
FILE = f"namespace,value,purpose,decision,collected_at,evidence_form\nuser_id,ann,sms,granted,{YESTERDAY},"
USER = {"namespace": "user_id", "value": "ann"}


def _asked(name: str, schema: Mapping[str, Any], template: str) -> str:
    if schema.get("format") == "date-time":
        return YESTERDAY
    if name not in QUERY:
        raise Unknown(f"parameter {name} of {template}: say in `QUERY` what is usually asked for")
    return QUERY[name]


def _known(example: Any) -> Any:
    """An example of the description, about people and words that there are."""
    if isinstance(example, list):
        return [_known(one) for one in example]
    if not isinstance(example, dict):
        return example
    known = {name: _known(value) for name, value in example.items()}
    if set(known) == {"namespace", "value"}:
        return USER
    if "collected_at" in known:
        known |= {
            "collected_at": YESTERDAY,
            **({"notice": {"key": "newsletter", "version": 2, "locale": "de-CH"}} if "notice" in known else {}),
        }
    return known


def _resolved(schema: Any, schemas: Mapping[str, Any]) -> dict[str, Any]:
    while isinstance(schema, dict) and "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if isinstance(schema, dict) and len(schema.get("allOf", ())) == 1:
        return _resolved(schema["allOf"][0], schemas)
    return schema if isinstance(schema, dict) else {}


def _is_rule(schema: Any) -> bool:
    return "Rule" in json.dumps(schema.get("$ref", schema.get("allOf", ""))) and "RuleSchema" not in json.dumps(schema)


def _variants(schema: Mapping[str, Any]) -> Sequence[Any]:
    return [one for one in (*schema.get("oneOf", ()), *schema.get("anyOf", ())) if one.get("type") != "null"]


def _family(schema: Mapping[str, Any]) -> str:
    """Whether any text may stand there, or something that is read as a number, a moment, an id or a word of ours."""
    types = schema.get("type", "anything")
    is_text = "string" in types and "format" not in schema and "enum" not in schema and not _variants(schema)
    return "text" if is_text else "typed"


def _places(schema: Any, schemas: Mapping[str, Any], place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Each value of a body, with what is meant to be there; also the body itself, and a name that nobody has declared."""
    if _is_rule(schema):
        yield from (((*place, *within), "text") for within in RULE_PLACES)
        return
    found = _resolved(schema, schemas)
    yield place, _family(found) if place else "typed"
    if len(place) >= DEEPEST:
        return
    for variant in _variants(found):
        yield from (one for one in _places(variant, schemas, place) if one[0] != place)
    for name, inner in found.get("properties", {}).items():
        if not inner.get("readOnly"):
            yield from _places(inner, schemas, (*place, name))
    if found.get("type") == "array":
        yield from _places(found.get("items", {}), schemas, (*place, "0"))
    if "additionalProperties" in found:
        yield (*place, FREE), "text"
        yield (*place, FREE, FREE), "text"


# Where a rule holds what somebody typed. What its own reader makes of anything is in the tests of rules.
FIRST = ("all", "0")
RULE_PLACES: tuple[Place, ...] = (
    *((), ("version",), ("all",), FIRST, (FREE,), (*FIRST, "where", "0", "property")),
    *((*FIRST, name) for name in ("performed", "trait", "op", "value", "within", "in_list", "in_segment", "score")),
    (*FIRST, "consented"),
)
RULE = {"version": 1, "all": [{"performed": "Order Completed"}]}


def _made(schema: Any, schemas: Mapping[str, Any]) -> Any:
    """A body that is right as far as its description goes."""
    if _is_rule(schema):
        return copy.deepcopy(RULE)
    found = _resolved(schema, schemas)
    if variants := _variants(found):
        return _made(variants[0], schemas)
    if "enum" in found:
        return found["enum"][0]
    match found.get("type"):
        case "object":
            return {
                name: _made(inner, schemas)
                for name, inner in found.get("properties", {}).items()
                if not inner.get("readOnly")
            }
        case "array":
            return [_made(found.get("items", {}), schemas)]
        case "integer" | "number":
            return found.get("minimum", 1)
        case "boolean":
            return False
        case _:
            return {"date-time": YESTERDAY, "date": YESTERDAY[:10], "uuid": "0b0e7d5c-6f5f-4c68-9f0e-2f3f4f0f7a11"}.get(
                found.get("format", ""), "user_id:ann"
            )


def _with(body: Any, place: Place, value: Any) -> Any:
    """The body with the value in this place; what leads there is made where it isn't."""
    if not place:
        return value
    step, rest = place[0], place[1:]
    if step == "0" or (isinstance(body, list) and step.isdigit()):
        items = list(body) if isinstance(body, list) else []
        return [_with(items[0] if items else None, rest, value), *items[1:]]
    known = dict(body) if isinstance(body, dict) else {}
    if step == FREE and not rest and isinstance(value, str) and not value.startswith(PLACEHOLDER):
        return {**known, value: value}  # a name is typed, too
    return {**known, step: _with(known.get(step), rest, value)}
