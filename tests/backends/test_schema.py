import json

import jsonschema
import pytest

from utils import Options, complete, connect
from utils.backends.schema import fits, narrowed

OPEN = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "guests": {"type": "integer"},
        "price": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["name", "guests", "price", "tags", "note"],
    "additionalProperties": False,
}


def inside(schema, *path):
    for step in path:
        schema = schema[step]
    return schema


def test_what_has_no_limit_gets_one():
    made = narrowed(OPEN)
    assert inside(made, "properties", "name", "maxLength") == 300
    assert inside(made, "properties", "guests", "maximum") == 10**9
    assert inside(made, "properties", "price", "multipleOf") == 0.0001
    assert inside(made, "properties", "tags", "maxItems") == 20
    assert inside(made, "properties", "tags", "items", "maxLength") == 300
    assert inside(made, "properties", "note", "anyOf", 0, "maxLength") == 300
    assert OPEN["properties"]["name"] == {"type": "string"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "maxLength": 5},
        {"type": "string", "enum": ["a"]},
        {"type": "string", "pattern": "^a+$"},
        {"type": "integer", "minimum": 1, "maximum": 3},
        {"type": "object", "additionalProperties": {"const": 5}},
        {"type": "object", "properties": {"a": {"const": 5}}, "required": ["a", "b"]},
        {"type": "object", "allOf": [{"type": "object", "properties": {"a": {"const": 5}}}]},
        {"const": 5},
        {"not": {"type": "string"}},
        True,
    ],
)
def test_what_has_limits_keeps_them(schema):
    within = narrowed({"properties": {"x": schema}})["properties"]["x"]
    assert within == schema


def test_an_object_has_the_fields_that_are_described_or_a_few_simple_ones():
    assert narrowed({"type": "object", "properties": {"a": {"const": 5}}})["additionalProperties"] is False
    free = narrowed({"type": "object"})
    assert free["maxProperties"] == 20
    for value, good in (("x", True), (3, True), (None, True), ("x" * 301, False), ({}, False), ([], False)):
        assert fits(json.dumps({"a": value}), free) is good


def test_whether_an_answer_fits():
    assert fits('{"a": 1}', {"required": ["a"]}) and not fits('{"b": 1}', {"required": ["a"]})
    assert not fits('{"a": 1', {}) and fits("1", {"type": "nonsense"})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 10**12},
        {"type": "integer", "maximum": -(10**12)},
        {"type": "string", "minLength": 1000},
        {"type": "array", "minItems": 50},
        {"type": ["integer", "null"], "exclusiveMinimum": 0},
    ],
)
def test_a_narrow_schema_can_still_be_met(schema):
    made = narrowed(schema)
    for low, high in (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")):
        assert made.get(low, 0) <= made.get(high, 10**99)


@pytest.mark.parametrize(
    "schema", [OPEN, {"type": "object"}, {"type": "object", "properties": {"a": {"type": "string"}}}]
)
@pytest.mark.parametrize("route", ["onnx", "llama.cpp"])
def test_open_schemas_come_to_an_end_and_fit(route, schema):
    backend = connect(route, "pocket-phi-3-mini", mode="offline")
    for question in ("Booking: This is Mara Keller, we are 4. JSON:", "Tell me a story.", "What is 3 + 4?"):
        answer = complete(backend, question, Options(schema=schema, max_tokens=900))
        assert answer.finish_reason == "stop", answer.text[:300]
        jsonschema.validate(json.loads(answer.text), schema)
    backend.close()
