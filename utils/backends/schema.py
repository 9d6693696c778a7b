"""JSON schemas made so narrow that a small model comes to an end: what fits the narrow one fits the given one.

Left to itself a tiny model may write digits, letters or blanks for ever, all of which an open schema allows.
A server is given the schema as it is; `fits` tells afterwards whether it kept to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from math import ceil, inf
from typing import Any

from utils.backends.schema_patterns import check_apart, ending
from utils.backends.schema_plain import kinds, plain
from utils.errors import BadInput

LETTERS = (300, 100, 25, 10)  # of a text, of one in a list, in a list of lists and deeper
ITEMS = (20, 4, 2, 2)  # of a list, likewise
FIELDS = 20  # of an object that describes none
MANY = 1000  # letters or items: a limit above that is none
LARGEST = 10**9
STEP = 0.0001  # between numbers, which bounds their digits
FORMATS = {  # that the runtimes know, and how long a text of each is at most
    **{"date": 10, "time": 24, "date-time": 35, "duration": 24, "uuid": 36},
    **{"ipv4": 15, "ipv6": 39, "hostname": 40, "email": 40},
}
# For llguidance, which ONNX Runtime GenAI and xllamacpp decode with: blanks as json.dumps has them, and no others.
BLANKS = {"x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}}

KEY = r"^[\w -]{1,24}$"  # of a field that nobody named
FREE_LETTERS = 80  # of a value that nobody described
SIMPLE = ({"type": "string", "maxLength": FREE_LETTERS}, {"type": "integer"}, {"type": "boolean"}, {"type": "null"})
VALUE = {"anyOf": [*SIMPLE]}
ANYTHING = {"anyOf": [*SIMPLE, {"type": "array"}, {"type": "object"}]}
KEYWORDS = {  # what tells the type where nobody names it
    "object": {"properties", "patternProperties", "additionalProperties", "required", "minProperties", "maxProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "pattern", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}


def narrowed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with limits where it has none. Raises BadInput for one that is wrong or cannot be followed."""
    bounded: dict[str, Any] | bool = _bounded(plain(schema))
    if isinstance(bounded, bool):
        raise BadInput("No answer can fit the schema: it contradicts itself, or never comes to an end.")
    return BLANKS | bounded


def fits(text: str, schema: dict[str, Any]) -> bool:
    """Whether `text` is JSON that follows the schema; one that is wrong or cannot be followed forbids nothing."""
    import jsonschema  # here: only an answer to a schema needs it
    import referencing

    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    try:
        jsonschema.validate(value, schema, registry=referencing.Registry())  # which fetches nothing
    except jsonschema.ValidationError:
        return False
    except (jsonschema.SchemaError, referencing.exceptions.Unresolvable, RecursionError, ValueError):
        pass  # the server took it, whatever it means by it
    return True


def _bounded(part: Any, lists: int = 0) -> Any:
    """A part in the plain form with limits, False if nothing fits it; `lists`: how many lists it lies in, counting
    objects of any fields."""
    if part is False:
        return False
    if part is True or not part:
        part = ANYTHING
    if "anyOf" in part:
        return _any([_bounded(branch, lists) for branch in part["anyOf"]])
    if {"enum", "const"} & part.keys():
        return _listed(part)
    if "type" not in part:
        told = [kind for kind, words in KEYWORDS.items() if words & part.keys()]
        return _bounded({**part, "type": told} if told else ANYTHING, lists)
    types, made, able = kinds(part), dict(part), []
    for kind in types:
        limits = LIMITS[kind](part, lists) if kind in LIMITS else {}
        if limits is not None:
            able.append(kind)
            made |= limits
    return False if not able else made if able == types else made | {"type": able}


def _any(branches: list[Any]) -> Any:
    branches = [branch for branch in branches if branch is not False]
    return {"anyOf": branches} if branches else False


def _listed(part: dict[str, Any]) -> Any:
    """A part that names its values, with those that fit the rest of it."""
    import jsonschema  # here: only an answer to a schema needs it

    if {"pattern", "patternProperties"} & part.keys():
        raise BadInput("The schema has values and a pattern for them at one place. Leave the pattern out.")
    checks = jsonschema.Draft202012Validator(part)
    values = [value for value in part.get("enum", [part.get("const")]) if checks.is_valid(value)]
    return False if not values else part if "const" in part else part | {"enum": values}


def _fields(part: dict[str, Any], lists: int) -> dict[str, Any] | None:
    """An object has the fields that are described or required; where none is, some with simple values."""
    needed, least = part.get("required", []), part.get("minProperties", 0)
    named = _named(part, lists)
    others = _others(part, max(least, not named) > len(named), lists)
    most = min(part.get("maxProperties", max(FIELDS, len(named), least)), MANY if others else len(named))
    if not named.keys() >= {*needed} or max(least, len(needed)) > most:
        return None
    made: dict[str, Any] = {"additionalProperties": False}
    made |= {"properties": named} if named else {}
    return made | ({"patternProperties": others, "maxProperties": most} if others else {})


def _named(part: dict[str, Any], lists: int) -> dict[str, Any]:
    """The fields that have a name, without those that nothing fits."""
    described, more = part.get("properties", {}), part.get("additionalProperties", True)
    required = [name for name in part.get("required", ()) if name not in described]
    if required and "patternProperties" in part:
        raise BadInput(
            f"The schema requires {required[0]!r:.60}, which is not among its properties. Describe it there."
        )
    fields = {name: _bounded(value, lists) for name, value in (described | dict.fromkeys(required, more)).items()}
    return {name: value for name, value in fields.items() if value is not False}


def _others(part: dict[str, Any], too_few: bool, lists: int) -> dict[str, Any]:
    """The other fields, by a pattern for their names; llguidance does not hold it against those with a name."""
    patterns, more = part.get("patternProperties", {}), part.get("additionalProperties", True)
    check_apart(patterns, part.get("properties", ()))
    patterns = {ending(name): value for name, value in patterns.items()}
    if not patterns and isinstance(more, dict) and more:
        patterns = {KEY: more}
    elif not patterns and more is not False and too_few:
        patterns = {KEY: VALUE}
    others = {name: _bounded(value, lists + 1) for name, value in patterns.items()}
    return {name: value for name, value in others.items() if value is not False}


def _items(part: dict[str, Any], lists: int) -> dict[str, Any] | None:
    """A list has so many items; those that nobody described are simple values."""
    first = [_bounded(item, lists + 1) for item in part.get("prefixItems", [])]
    rest = part.get("items", True)
    rest = _bounded(VALUE if rest in (True, {}) else rest, lists + 1)
    if False in first:
        first, rest = first[: first.index(False)], False
    level, least = min(lists, len(ITEMS) - 1), part.get("minItems", 0)
    most = min(part.get("maxItems", max(ITEMS[level], least, len(first))), MANY if rest is not False else len(first))
    if least > most:
        return None
    return {"items": rest, "maxItems": most} | ({"prefixItems": first} if first else {})


def _letters(part: dict[str, Any], lists: int) -> dict[str, Any] | None:
    form, least = part.get("format"), part.get("minLength", 0)
    if form is not None and form not in FORMATS:
        raise BadInput(f"format: {form!r:.40} cannot be followed here, only {', '.join(FORMATS)}.")
    pattern = {"pattern": ending(part["pattern"], least)} if "pattern" in part else {}
    most = max(FORMATS[form] if form else LETTERS[min(lists, len(LETTERS) - 1)], least)
    most = min(part.get("maxLength", most), MANY)
    if least > most:
        return None
    return pattern | ({} if pattern and "maxLength" not in part else {"maxLength": most})


def _numbers(part: dict[str, Any], _: int, step: float = 1) -> dict[str, Any] | None:
    low, above = part.get("minimum", -inf), part.get("exclusiveMinimum", -inf)
    high, below = part.get("maximum", inf), part.get("exclusiveMaximum", inf)
    made = {"minimum": min(0, high, below) - LARGEST if low == -inf else low}
    made |= {"maximum": max(0, low, above) + LARGEST if high == inf else high}
    apart = part.get("multipleOf", step)
    if (apart != 1 or "multipleOf" in part) and (made["maximum"] < 0 or below <= 0):  # llguidance would write nothing
        raise BadInput("Only whole numbers can be below 0 throughout here: use the type integer, without multipleOf.")
    first = ceil(max(made["minimum"], above) / apart) * apart
    first += apart if first == above else 0
    if first > made["maximum"] or first >= below:
        return None
    return made | ({"multipleOf": apart} if apart != 1 else {})


LIMITS: dict[str, Callable[[dict[str, Any], int], dict[str, Any] | None]] = {
    "object": _fields,
    "array": _items,
    "string": _letters,
    "integer": _numbers,
    "number": partial(_numbers, step=STEP),
}
