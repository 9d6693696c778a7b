import json
from contextlib import closing

import jsonschema
import pytest

from utils import Options, complete, connect
from utils.backends.schema import fits, narrowed
from utils.errors import BadInput

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
    assert inside(made, "properties", "tags", "items", "maxLength") == 100  # twenty of them must come to an end
    assert inside(made, "properties", "note", "anyOf", 0, "maxLength") == 300
    assert OPEN["properties"]["name"] == {"type": "string"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "maxLength": 5},
        {"type": "string", "enum": ["a"]},
        {"type": "integer", "minimum": 1, "maximum": 3},
        {"type": "boolean"},
        {"const": 5},
        False,
    ],
)
def test_what_has_limits_keeps_them(schema):
    within = narrowed({"properties": {"x": schema, "y": {"const": 1}}})["properties"]
    assert within.get("x", False) == schema


B_FIELDS = {"type": "object", "patternProperties": {"^b": {"type": "string"}}}
A_IS_5 = {"type": "object", "properties": {"a": {"const": 5}}}
NODE = {"type": "object", "properties": {"v": {"const": 1}, "next": {"$ref": "#"}}, "required": ["v"]}


def list_of(depth):
    return {"v": 1, "next": list_of(depth - 1)} if depth else {"v": 1}


@pytest.mark.parametrize(
    ("schema", "kept", "left_out"),
    [
        ({"type": "string", "pattern": "^a+$"}, ["a", "a" * 25], ["a" * 500]),
        ({"type": "string", "pattern": "[0-9]{2,}"}, ["on 12 May", "12" * 10], ["1" * 500, "a" * 100 + "12"]),
        ({"type": "string", "pattern": "^(a|b*)$"}, ["a", "bbb"], ["b" * 500]),
        ({"type": "string", "pattern": r"^[+*]\+\d{3,}$"}, ["*+123"], ["*+" + "1" * 500]),
        ({"type": "string", "format": "email"}, ["a@b.org"], ["a" * 500 + "@b.org"]),
        ({"type": "object", "additionalProperties": {"const": 5}}, [{"k": 5, "größe": 5}], [{"k" * 99: 5}]),
        ({"type": "object", "patternProperties": {"^S_": {"const": 5}}}, [{"S_1": 5}], [{"S_" + "x" * 99: 5}]),
        ({**A_IS_5, "required": ["a", "b"]}, [{"a": 5, "b": "x"}], [{"a": 5, "b": 1, "c": 1}, {"a": 5}]),
        (
            {"allOf": [A_IS_5, {"type": "object", "properties": {"b": {"const": 6}}, "required": ["b"]}]},
            [{"a": 5, "b": 6}, {"b": 6}],
            [{"a": 5}, {"a": 5, "b": 6, "c": 7}],
        ),
        ({"allOf": [A_IS_5, B_FIELDS]}, [{"a": 5, "b": "x"}], [{"a": 6}, {"b": 1}, {"c": 1}]),
        (
            {"allOf": [B_FIELDS | {"additionalProperties": False}, A_IS_5 | B_FIELDS]},
            [{"b": "x"}],
            [{"a": 5}, {"b": 1}, {"c": 1}],
        ),
        ({**A_IS_5, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, [{"a": 5}, {"b": 1}], [{}, {"c": 1}]),
        ({"oneOf": [{"type": "integer"}, {"type": "null"}]}, [3, None], ["x", 10**12]),
        (NODE, [list_of(2)], [list_of(9), {"next": {"v": 1}}]),
        ({"$defs": {"x/y": NODE}, "$ref": "#/$defs/x~1y"}, [list_of(1)], [list_of(9)]),
        ({"type": "array"}, [[1, "x", None]], [[1] * 99, [[1]], ["x" * 500]]),
        ({}, [1, "x", [1], {"a": 1}, None], [[[1]], {"a": {}}, "x" * 500]),
        ({"properties": {"x": True}}, [{"x": 1}, {"x": [1]}], [{"x": [[1]]}, [], {"x": "x" * 500}]),
        ({"minLength": 2}, ["xx"], ["x", "x" * 500, 5]),
        ({"prefixItems": [{"const": 1}], "items": {"const": 2}, "type": "array"}, [[1, 2], [1]], [[2], [1] + [2] * 99]),
        ({"type": ["string", "null"], "enum": ["a", None, 5]}, ["a", None], [5]),
        (
            {"type": "array", "maxItems": 10**9, "items": {"type": "string", "maxLength": 10**9}},
            [["x"]],
            [["x" * 2000]],
        ),
    ],
)
def test_what_is_open_is_closed_and_stays_within_the_schema(schema, kept, left_out):
    made = narrowed(schema)
    assert [value for value in kept if not fits(json.dumps(value), made)] == []
    assert [value for value in kept if not fits(json.dumps(value), schema)] == []
    assert [value for value in left_out if fits(json.dumps(value), made)] == []


def test_an_older_schema_is_read_as_one_of_today():
    assert narrowed(OPEN | {"$schema": DRAFT_7}) == narrowed(OPEN)


def deep(depth):
    return {"type": "array", "items": deep(depth - 1)} if depth else {"type": "string"}


DRAFT_3, DRAFT_7 = (f"http://json-schema.org/draft-0{number}/schema#" for number in (3, 7))
ENDLESS = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
CHAIN = {
    f"d{n}": {"properties": {"a": {"$ref": f"#/$defs/d{n + 1}"}, "b": {"$ref": f"#/$defs/d{n + 1}"}}} for n in range(60)
}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "object", "minProperties": "x"}, "wrong at minProperties: 'x' is not of type 'integer'"),
        ({"type": "string", "minLength": "x"}, "wrong at minLength"),
        ({"type": "integer", "minimum": "x"}, "wrong at minimum"),
        ({"type": "array", "minItems": None}, "wrong at minItems"),
        ({"type": [{}]}, "wrong at type"),
        ({"type": "object", "properties": [1]}, "wrong at properties"),
        ({"type": "object", "properties": "abc"}, "wrong at properties"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": 5}, "wrong at required"),
        ({"type": "object", "required": [{}], "properties": {"a": {}}}, "wrong at required/0"),
        ({"type": "string", "pattern": "["}, "wrong at pattern"),
        ({"type": "string", "pattern": "a{99999999999}"}, "too large"),
        ({"$ref": 5}, "wrong at"),
        ({"$schema": []}, "wrong at $schema"),
        ({"$schema": DRAFT_3, "properties": {"a": {"type": "object", "required": True}}}, "wrong at properties/a/req"),
        ({"$schema": DRAFT_3, "type": [{"type": "string"}]}, "wrong at type"),
        ({"$schema": DRAFT_3, "type": "any"}, "wrong at type"),
        ({"$schema": DRAFT_7, "items": [{"type": "string"}], "additionalItems": False}, "wrong at items"),
        ({"$schema": DRAFT_7, "items": {"const": 1}, "additionalItems": False}, "uses additionalItems"),
        ({"$ref": "#/x"}, "refers to '#/x', which is not in it"),
        ({"$ref": "https://example.org/x"}, "which is not in it"),
        ({"type": "array", "minItems": 10**9}, "minItems is 1000000000, but an answer here has 100 at most"),
        ({"type": "string", "minLength": 10**9}, "minLength is 1000000000"),
        ({"properties": {"default": {"type": "array", "minItems": 10**9}}}, "minItems is 1000000000"),
        ({"type": "integer", "minimum": 10**400}, "too large or too small"),
        ({"const": -(2**63)}, "The value -9223372036854775808 is too large a number"),
        ({"type": "object", "properties": {"a": {"enum": [1, [{"b": 1e300}]]}}}, "The value 1e+300 is too large"),
        ({"type": "string", "pattern": "(a|b)" * 100}, "longer than 300 characters"),
        ({"type": "string", "pattern": "^a|b$"}, "looks around itself"),
        ({"type": "string", "pattern": "^(?=a)b$"}, "looks around itself"),
        ({"type": "string", "pattern": r"^(a)\1$"}, "looks around itself"),
        ({"type": "string", "format": "uri"}, "format: 'uri' cannot be followed here, only date"),
        ({"not": {"type": "null"}}, "uses not, which cannot be followed here"),
        ({"type": "number", "maximum": -0.5}, "use the type integer"),
        ({"exclusiveMaximum": 0}, "use the type integer"),
        ({"type": "integer", "maximum": -1, "multipleOf": 5}, "use the type integer"),
        ({"type": "array", "uniqueItems": True}, "uses uniqueItems"),
        ({"type": "object", "propertyNames": {"maxLength": 3}}, "uses propertyNames"),
        ({"oneOf": [A_IS_5, {"type": "object", "properties": {"b": {"const": 6}}}]}, "oneOf must differ"),
        ({"type": "object", "patternProperties": {"^S": {}, "^Sx": {}}}, "may mean the same field"),
        ({"properties": {"a": {}}, "patternProperties": {"^a": {"maximum": 3}}, "required": ["a"]}, "may mean 'a'"),
        ({"properties": {"ab": {}}, "patternProperties": {"b$": {}}}, "may mean 'ab'"),
        ({"allOf": [A_IS_5, {"patternProperties": {"^a": {"const": 6}}}]}, "may mean 'a'"),
        ({"allOf": [A_IS_5 | {"additionalProperties": False}, B_FIELDS]}, "additionalProperties at two places"),
        ({"allOf": [B_FIELDS, {"additionalProperties": {"type": "integer"}}]}, "additionalProperties at two places"),
        ({"allOf": [{"prefixItems": [{"const": "x"}]}, {"items": {"type": "integer"}}]}, "items at two places"),
        ({"allOf": [{"pattern": "^a$"}, {"pattern": "^b$"}]}, "two different things by pattern"),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "No answer can fit"),
        ({"type": "integer", "minimum": 5, "exclusiveMaximum": 6, "exclusiveMinimum": 5}, "No answer can fit"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "No answer can fit"),
        ({"type": "string", "const": 5}, "No answer can fit"),
        (ENDLESS, "No answer can fit"),
        ({"$ref": "#"}, "No answer can fit"),
        ({"$ref": "#/$defs/d0", "$defs": CHAIN}, "too deep"),
        (deep(60), "too large or too deep"),
        (deep(900), "too large or too deep"),
        ({"enum": list(range(6000))}, "too large or too deep"),
    ],
)
def test_what_cannot_be_followed_is_said(schema, said):
    with pytest.raises(BadInput) as caught:
        narrowed(schema)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_an_object_has_the_fields_that_are_described_or_a_few_simple_ones():
    assert narrowed({"type": "object", "properties": {"a": {"const": 5}}})["additionalProperties"] is False
    free = narrowed({"type": "object"})
    assert free["maxProperties"] == 20
    for value, good in (("x", True), (3, True), (None, True), ("x" * 301, False), ({}, False), ([], False)):
        assert fits(json.dumps({"a": value}), free) is good


def test_whether_an_answer_fits():
    assert fits('{"a": 1}', {"required": ["a"]}) and not fits('{"b": 1}', {"required": ["a"]})
    assert not fits('{"a": 1', {}) and fits("1", {"type": "nonsense"})


@pytest.mark.parametrize("ref", ["#", "#/nowhere", "http://127.0.0.1:9/schema", "http://[", "nonsense"])
def test_a_reference_that_leads_nowhere_forbids_nothing_and_fetches_nothing(ref, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *given, **named: pytest.fail("It asked the network."))
    assert not fits("[" * 9000, {"$ref": ref})
    assert fits("1", {"$ref": ref}) and fits("1", {"anyOf": [{"$ref": ref}, {"type": "null"}]})


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


AUDITED = {
    "dict": {"type": "object", "additionalProperties": {"type": "integer"}},
    "formats": {
        "type": "object",
        "properties": {"on": {"type": "string", "format": "date"}, "to": {"type": "string", "format": "email"}},
        "required": ["on", "to"],
    },
    "pattern": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]+$"},
    "recursive": {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "v": {"type": "integer"},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["v", "next"],
            }
        },
        "$ref": "#/$defs/node",
    },
    "array": {"type": "array"},
    "anything": {},
    "patternProperties": {"type": "object", "patternProperties": {"^S_": {"type": "string"}}},
    "allOf": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]},
        ]
    },
    "object": {"type": "object"},
    "more fields": {
        "type": "object",
        "properties": {"text": {"const": 5}},
        "required": ["text"],
        "additionalProperties": {"type": "boolean"},
    },
    "below 0": {"type": ["integer", "null"], "maximum": -3},
    "0 at most": {"type": "number", "maximum": 0},
    "texts in lists": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
}


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


@pytest.mark.parametrize("route", ["onnx", "llama.cpp"])
def test_what_the_runtime_rejects_is_not_written_freely(route):
    schema = {"type": "string", "pattern": "^(?>a)b$"}
    with (
        closing(connect(route, "pocket-phi-3-mini", mode="offline")) as backend,
        pytest.raises(BadInput, match="The schema cannot be followed"),
    ):
        complete(backend, "Hello!", Options(schema=schema))


@pytest.fixture(scope="module")
def onnx():
    backend = connect("onnx", "pocket-phi-3-mini", mode="offline")
    yield backend
    backend.close()


@pytest.mark.parametrize("schema", AUDITED.values(), ids=AUDITED)
def test_answers_end_and_fit_however_they_are_drawn(onnx, schema):
    for temperature, seed in ((0, 0), (1.0, 1), (1.0, 2), (1.7, 3), (1.7, 4)):
        for question in ("Give me some data.", "Tell me a story."):
            options = Options(schema=schema, max_tokens=900, temperature=temperature, seed=seed)
            answer = complete(onnx, question, options)
            assert answer.finish_reason == "stop", answer.text[:300]
            jsonschema.validate(json.loads(answer.text), schema)
