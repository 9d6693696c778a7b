import json

import jsonschema
import pytest

from utils import Options, complete, connect
from utils.backends.schema import narrowed

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
        {"type": "object"},
        {"const": 5},
        {"not": {"type": "string"}},
        True,
    ],
)
def test_what_has_limits_keeps_them(schema):
    within = narrowed({"properties": {"x": schema}})["properties"]["x"]
    assert within == schema


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


@pytest.mark.parametrize("route", ["onnx", "llama.cpp"])
def test_open_schemas_come_to_an_end_and_fit(route):
    backend = connect(route, "pocket-phi-3-mini", mode="offline")
    for question in ("Booking: This is Mara Keller, we are 4. JSON:", "Tell me a story.", "What is 3 + 4?"):
        answer = complete(backend, question, Options(schema=OPEN, max_tokens=900))
        assert answer.finish_reason == "stop", answer.text[:300]
        jsonschema.validate(json.loads(answer.text), OPEN)
    backend.close()
