"""JSON schemas made so narrow that a small model comes to an end: what fits the narrow one fits the given one.

Left to itself a tiny model may write digits, letters or blanks for ever, all of which an open schema allows.
A server is given the schema as it is; `fits` tells afterwards whether it kept to it.
"""

from __future__ import annotations

import json
from typing import Any

LETTERS = 300  # of a text
ITEMS = 20  # of a list
LARGEST = 10**9
STEP = 0.0001  # between numbers, which bounds their digits
# For llguidance, which ONNX Runtime GenAI and xllamacpp decode with: blanks as json.dumps has them, and no others.
BLANKS = {"x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}}
ONE = ("items", "additionalProperties")  # keywords that hold a schema
MANY = ("properties", "$defs", "definitions", "anyOf", "allOf", "prefixItems")  # and those that hold several


COMBINED = {"$ref", "allOf", "anyOf", "oneOf", "if", "not", "patternProperties", "propertyNames", "dependentSchemas"}
VALUE = {"anyOf": [{"type": kind} for kind in ("string", "integer", "boolean", "null")]}  # of a field nobody described


def narrowed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with limits where it has none."""
    bounded: dict[str, Any] = _bounded(schema)
    return BLANKS | bounded


def fits(text: str, schema: dict[str, Any]) -> bool:
    """Whether `text` is JSON that follows the schema; a schema that is itself wrong forbids nothing."""
    import jsonschema  # here: only an answer to a schema needs it

    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, jsonschema.ValidationError):
        return False
    except jsonschema.SchemaError:  # the server took it, whatever it means by it
        pass
    return True


def _bounded(schema: Any, part: bool = False) -> Any:
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    for name in ONE:
        if name in made:
            made[name] = _bounded(made[name])
    for name in MANY:
        inner = made.get(name)
        if isinstance(inner, dict):
            made[name] = {key: _bounded(value) for key, value in inner.items()}
        elif isinstance(inner, list):
            made[name] = [_bounded(value, part=name == "allOf") for value in inner]
    kinds = made.get("type")
    if "object" in (kinds if isinstance(kinds, list) else [kinds]) and not part:
        made |= _fields(made)
    return {**_limits(made, kinds if isinstance(kinds, list) else [kinds]), **made}


def _fields(schema: dict[str, Any]) -> dict[str, Any]:
    """An object has the fields that are described; where none is, some with simple values."""
    if schema.keys() & COMBINED or schema.get("additionalProperties", True) is not True:
        return {}
    if not schema.get("properties"):
        return {
            "additionalProperties": _bounded(VALUE),
            "maxProperties": schema.get("maxProperties", max(ITEMS, schema.get("minProperties", 0))),
        }
    return {} if set(schema.get("required", ())) - schema["properties"].keys() else {"additionalProperties": False}


def _limits(schema: dict[str, Any], kinds: list[Any]) -> dict[str, Any]:
    """Keywords to add; those that the schema has itself win."""
    if "enum" in schema or "const" in schema:
        return {}
    limits: dict[str, Any] = {}
    if "string" in kinds and not {"pattern", "format"} & schema.keys():
        limits["maxLength"] = max(LETTERS, schema.get("minLength", 0))
    if "array" in kinds:
        limits["maxItems"] = max(ITEMS, schema.get("minItems", 0))
    if {"integer", "number"} & set(kinds):
        limits |= {} if "exclusiveMaximum" in schema else {"maximum": max(schema.get("minimum", 0), 0) + LARGEST}
        limits |= {} if "exclusiveMinimum" in schema else {"minimum": min(schema.get("maximum", 0), 0) - LARGEST}
    if "number" in kinds:
        limits["multipleOf"] = STEP
    return limits
