"""The JSON Schema (2020-12) of a rule document, made from the operators themselves.

What only the catalogue knows (which traits exist, of which types) can't be said in it, nor can the limits on depth.
"""

from collections.abc import Collection
from typing import Final

from segments.rules.kinds import DATE, NUMBER, Kind
from segments.rules.nodes import VERSION, Measure
from segments.rules.operators import OPERATORS, Operator
from segments.rules.parse import MAX_FILTERS, MAX_LEAVES, MAX_NAME
from segments.rules.shapes import duration_schema

Schema = dict[str, object]

SCHEMA_ID: Final = f"urn:cdp:segment-rule:{VERSION}"


def json_schema() -> Schema:
    """The schema of a whole document: one condition, with `version` beside it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Segment rule",
        "type": "object",
        "required": ["version"],
        "properties": {"version": {"const": VERSION}},
        "$ref": "#/$defs/condition",
        "unevaluatedProperties": False,
        "$defs": {
            "name": {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
            "duration": duration_schema(),
            "window": {"oneOf": [{"$ref": "#/$defs/duration"}, _span()]},
            "filter": _filter(),
            "nested": {"$ref": "#/$defs/condition", "unevaluatedProperties": False},
            "condition": {
                "type": "object",
                "oneOf": [
                    _form({"all": _group()}),
                    _form({"any": _group()}),
                    _form({"not": {"$ref": "#/$defs/nested"}}),
                    _form({"in_segment": {"$ref": "#/$defs/name"}}),
                    _form({"everyone": {"const": True}}),
                    {"$ref": "#/$defs/trait"},
                    {"$ref": "#/$defs/performed"},
                ],
            },
            "trait": _trait(),
            "performed": _performed(),
        },
    }


def _form(properties: Schema, optional: Schema | None = None) -> Schema:
    return {"required": list(properties), "properties": {**properties, **(optional or {})}}


def _group() -> Schema:
    return {"type": "array", "minItems": 1, "maxItems": MAX_LEAVES, "items": {"$ref": "#/$defs/nested"}}


def _trait() -> Schema:
    name: Schema = {"trait": {"$ref": "#/$defs/name"}}
    return {"anyOf": [_form({**name, **_comparison(one, one.kinds)}) for one in OPERATORS.values()]}


def _filter() -> Schema:
    forms = []
    for one in OPERATORS.values():
        kinds = [kind for kind in one.kinds if kind.in_properties]
        if kinds:
            forms.append(_form({"property": {"$ref": "#/$defs/name"}, **_comparison(one, kinds)}))
    return {"type": "object", "anyOf": forms, "unevaluatedProperties": False}


def _performed() -> Schema:
    event: Schema = {"performed": {"$ref": "#/$defs/name"}}
    optional: Schema = {
        "where": {"type": "array", "minItems": 1, "maxItems": MAX_FILTERS, "items": {"$ref": "#/$defs/filter"}},
        "within": {"$ref": "#/$defs/window"},
    }
    count: Schema = {"measure": {"const": Measure.COUNT.value}}
    total: Schema = {"measure": {"const": Measure.SUM.value}}
    forms = [_form(event, {**count, **optional})]
    for one in OPERATORS.values():
        if one.amount is not None:
            amount = _comparison(one, (NUMBER,))
            whole = {**amount, "value": _whole_numbers(amount["value"])}
            forms.append(_form({**event, **whole}, {**count, **optional}))
            forms.append(_form({**event, **total, **amount}, {"of": {"$ref": "#/$defs/name"}, **optional}))
    return {"anyOf": forms}


def _comparison(one: Operator, kinds: Collection[Kind]) -> Schema:
    op: Schema = {"op": {"const": one.key}}
    return {**op, "value": one.shape.schema(kinds)} if one.shape.takes_value else op


def _whole_numbers(schema: object) -> Schema:
    whole: Schema = {"type": "integer", "minimum": 0, "exclusiveMaximum": 10**15}
    if isinstance(schema, dict) and schema.get("type") == "array":
        return {**schema, "items": whole}
    return whole


def _span() -> Schema:
    moment: Schema = dict(DATE.schema)
    return {**_form({"from": moment, "to": moment}), "type": "object", "additionalProperties": False}
