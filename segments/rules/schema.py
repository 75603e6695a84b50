"""The JSON Schema (2020-12) of a rule document, made from the operators themselves.

What only the catalogue knows (which traits exist, of which types) can't be said in it, nor can the limits on depth.
"""

from collections.abc import Collection
from typing import Final

from segments.rules.calendar import PERIODS
from segments.rules.kinds import DATE, EXACT, NUMBER, Kind
from segments.rules.measures import MEASURES, RATES, Measure
from segments.rules.nodes import ORDERS, VERSION
from segments.rules.operators import OPERATORS, Operator
from segments.rules.parse import MAX_LEAVES, MAX_STEPS
from segments.rules.parse_standing import BUCKET_OPERATORS, HIGHEST_BUCKET, SCORE_KINDS, SCORE_OPERATORS
from segments.rules.reading import MAX_FILTERS, MAX_NAME
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
            "window": {"oneOf": [_rolling(), _span(), _since(), {"enum": list(PERIODS)}]},
            "filter": _filter(),
            "where": {"type": "array", "minItems": 1, "maxItems": MAX_FILTERS, "items": {"$ref": "#/$defs/filter"}},
            "nested": {"$ref": "#/$defs/condition", "unevaluatedProperties": False},
            "condition": {
                "type": "object",
                "oneOf": [
                    _form({"all": _group()}),
                    _form({"any": _group()}),
                    _form({"not": {"$ref": "#/$defs/nested"}}),
                    _form({"in_segment": {"$ref": "#/$defs/name"}}),
                    _form({"in_list": {"$ref": "#/$defs/name"}}),
                    _form({"consented": {"$ref": "#/$defs/name"}}),
                    _form({"everyone": {"const": True}}),
                    {"$ref": "#/$defs/trait"},
                    {"$ref": "#/$defs/performed"},
                    {"$ref": "#/$defs/compared"},
                    {"$ref": "#/$defs/ranked"},
                    {"$ref": "#/$defs/sequence"},
                    {"$ref": "#/$defs/score"},
                    {"$ref": "#/$defs/bucket"},
                ],
            },
            "trait": _trait(),
            "performed": _performed(),
            "compared": _compared(),
            "ranked": _ranked(),
            "sequence": _sequence(),
            "score": _score(),
            "bucket": _bucket(),
        },
    }


def _form(properties: Schema, optional: Schema | None = None) -> Schema:
    return {"required": list(properties), "properties": {**properties, **(optional or {})}}


def _group() -> Schema:
    return {"type": "array", "minItems": 1, "maxItems": MAX_LEAVES, "items": {"$ref": "#/$defs/nested"}}


def _trait() -> Schema:
    name: Schema = {"trait": {"$ref": "#/$defs/name"}}
    forms = []
    for one in OPERATORS.values():
        kinds = [kind for kind in one.kinds if kind is not EXACT]
        exact: Schema = {"exact": {"type": "boolean"}} if EXACT in one.kinds else {}
        forms.append(_form({**name, **_comparison(one, kinds)}, exact))
    return {"anyOf": forms}


def _filter() -> Schema:
    forms = [
        _form({"all": {"$ref": "#/$defs/where"}}),
        _form({"any": {"$ref": "#/$defs/where"}}),
        _form({"not": {"$ref": "#/$defs/filter"}}),
    ]
    for one in OPERATORS.values():
        kinds = [kind for kind in one.kinds if kind.in_properties]
        if kinds:
            forms.append(_form({"property": {"$ref": "#/$defs/name"}, **_comparison(one, kinds)}))
    return {"type": "object", "anyOf": forms, "unevaluatedProperties": False}


def _performed() -> Schema:
    event: Schema = {"performed": {"$ref": "#/$defs/name"}}
    optional: Schema = {"where": {"$ref": "#/$defs/where"}, "within": {"$ref": "#/$defs/window"}}
    forms = []
    for measure in MEASURES.values():
        named: Schema = {"measure": {"const": measure.key}}
        needed: Schema = {} if measure.key == "count" else dict(named)
        may: Schema = {**named, **optional}
        if measure.needs_property:
            needed["of"] = {"$ref": "#/$defs/name"}
        elif measure.takes_property:
            may["of"] = {"$ref": "#/$defs/name"}
        if measure.key == "periods":
            needed["each"] = {"$ref": "#/$defs/duration"}
            needed["within"] = _rolling()
        if measure.is_whole:
            forms.append(_form({**event, **needed}, may))
        amounts = [amount for one in OPERATORS.values() for amount in _amounts(one, measure)]
        forms += [_form({**event, **needed, **amount}, may) for amount in amounts]
        if measure.key == "count":
            per: Schema = {"per": {"enum": list(RATES)}, "within": _rolling()}
            rates = [_comparison(one, (NUMBER,)) for one in OPERATORS.values() if one.amount is not None]
            forms += [_form({**event, **per, **rate}, may) for rate in rates]
    return {"anyOf": forms, "not": {"required": ["than"]}}


def _compared() -> Schema:
    """A figure beside another. It shares "performed" with the form above, but never "than"."""
    figures = _figures()
    order: Schema = {
        "op": {"enum": list(ORDERS)},
        "than": {"type": "object", "anyOf": figures, "unevaluatedProperties": False},
    }
    return {**_form(order, {"times": {**NUMBER.schema, "exclusiveMinimum": 0}}), "anyOf": figures}


def _ranked() -> Schema:
    """A figure beside a percentile. That it has 2 decimals can't be said: validators divide by 0.01 as floats do."""
    percentile: Schema = {"percentile": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100}}
    than: Schema = {"type": "object", **_form(percentile), "additionalProperties": False}
    return {**_form({"op": {"enum": list(ORDERS)}, "than": than}), "anyOf": _figures()}


def _figures() -> list[Schema]:
    """What is measured, without anything that it is compared with."""
    figures = []
    for measure in MEASURES.values():
        if measure.kinds == (NUMBER,) and measure.key != "periods":
            named: Schema = {"measure": {"const": measure.key}}
            of: Schema = {"of": {"$ref": "#/$defs/name"}}
            needed: Schema = {"performed": {"$ref": "#/$defs/name"}, **(named if measure.key != "count" else {})}
            may: Schema = {**named, "where": {"$ref": "#/$defs/where"}, "within": {"$ref": "#/$defs/window"}}
            if measure.needs_property:
                needed |= of
            elif measure.takes_property:
                may |= of
            figures.append(_form(needed, may))
    return figures


def _amounts(one: Operator, measure: Measure) -> list[Schema]:
    """The ways in which an operator compares what a measure gives."""
    if measure.kinds == (NUMBER,):
        if one.amount is None:
            return []
        amount = _comparison(one, (NUMBER,))
        return [{**amount, "value": _whole_numbers(amount["value"])} if measure.is_whole else amount]
    kinds = [kind for kind in one.kinds if kind in measure.kinds]
    return [_comparison(one, kinds)] if kinds else []


def _sequence() -> Schema:
    name: Schema = {"$ref": "#/$defs/name"}
    where: Schema = {"where": {"$ref": "#/$defs/where"}}
    within: Schema = {"within": {"$ref": "#/$defs/duration"}}
    did, did_not = {"performed": name}, {"not_performed": name}
    closed: Schema = {"type": "object", "unevaluatedProperties": False}
    steps: Schema = {
        "type": "array",
        "minItems": 2,
        "maxItems": MAX_STEPS,
        "prefixItems": [{**closed, **_form(dict(did), where)}],
        "items": {**closed, "anyOf": [_form(dict(did), {**where, **within}), _form({**did_not, **within}, where)]},
    }
    return _form(
        {"sequence": steps}, {"same": name, "within": {"oneOf": [_rolling(), _span(), {"enum": list(PERIODS)}]}}
    )


def _score() -> Schema:
    name: Schema = {"score": {"$ref": "#/$defs/name"}}
    operators = [OPERATORS[key] for key in SCORE_OPERATORS]
    forms = [_form({**name, **_comparison(one, [k for k in one.kinds if k in SCORE_KINDS])}) for one in operators]
    return {"anyOf": forms}


def _bucket() -> Schema:
    name: Schema = {"bucket": {"$ref": "#/$defs/name"}}
    bound: Schema = {"type": "number", "minimum": 0, "maximum": HIGHEST_BUCKET}
    forms = []
    for one in (OPERATORS[key] for key in BUCKET_OPERATORS):
        comparison = _comparison(one, (NUMBER,))
        value = comparison["value"]
        assert isinstance(value, dict)
        bounded = {**value, "items": bound} if value["type"] == "array" else bound
        forms.append(_form({**name, **comparison, "value": bounded}))
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
    return {
        "type": "object",
        "minProperties": 1,
        "properties": {"from": moment, "to": moment},
        "additionalProperties": False,
    }


def _rolling() -> Schema:
    duration = duration_schema()
    units = duration["properties"]
    assert isinstance(units, dict)
    forms = [
        {
            "required": [unit],
            "properties": {unit: amount, "ago": {"$ref": "#/$defs/duration"}},
            "additionalProperties": False,
        }
        for unit, amount in units.items()
    ]
    return {"type": "object", "oneOf": forms}


def _since() -> Schema:
    return {**_form({"since": {"$ref": "#/$defs/name"}}), "type": "object", "additionalProperties": False}
