"""JSON schemas in a plain form, which `schema.py` can put limits to: no references, no allOf, alternatives outermost.

What refers to itself is written out a few levels deep. What has no plain form is refused in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import combinations
from typing import Any
from urllib.parse import unquote

from utils.errors import BadInput

PARTS = 5000  # of a schema, written out
DEPTH = 40  # of a schema as it is given
LEVELS = 3  # of what refers to itself
BRANCHES = 100  # of an anyOf
LONGEST_PATTERN = 300  # characters
LEAST = {"minLength": 1000, "minItems": 100, "minProperties": 100}  # the most that may be asked for
LARGE, MULTIPLE = 10**15, 1e-9  # numbers beyond these no runtime here counts with
BEYOND = (  # keywords that no runtime here decodes with
    *("not", "if", "then", "else", "contains", "minContains", "maxContains", "propertyNames", "unevaluatedItems"),
    *("unevaluatedProperties", "dependentRequired", "dependentSchemas", "dependencies", "additionalItems"),
    *("$dynamicRef", "$recursiveRef"),
)
NOTES = {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "discriminator"}
NOTES |= {"$schema", "$id", "$comment", "$defs", "definitions"}
MAPS = ("properties", "patternProperties")  # keywords that hold schemas by name
ONE = ("items", "additionalProperties")  # and one schema
REST = {"patternProperties": "additionalProperties", "prefixItems": "items"}  # what says something of all but those
KINDS = ("null", "boolean", "integer", "number", "string", "array", "object")


def plain(schema: dict[str, Any]) -> Any:
    """The same schema as True, False, one without alternatives, or {"anyOf": [...]} of such.

    Raises BadInput for a schema that is wrong, too large or beyond what can be followed.
    """
    _check(schema)
    return _Writer(schema).write(schema, ())


def _check(schema: dict[str, Any]) -> None:
    import jsonschema  # here: only an answer to a schema needs it

    if any(count > PARTS or depth > DEPTH for count, (_, depth) in enumerate(_nodes(schema))):
        raise BadInput("The schema is too large or too deep. Ask for less at a time.")
    try:
        jsonschema.Draft202012Validator.check_schema(schema)  # whatever $schema says: it is read as the newest here
    except jsonschema.SchemaError as error:
        where = "/".join(map(str, error.absolute_path))
        raise BadInput(f"The schema is wrong{where and ' at ' + where:.80}: {error.message:.200}.") from None
    except (OverflowError, RecursionError):  # of a regular expression
        raise BadInput("A pattern of the schema is too large to be followed. Use a simpler one.") from None


def _nodes(schema: Any) -> Iterator[tuple[Any, int]]:
    """Each part, and how deep it lies; without recursion, as nothing is checked yet."""
    waiting = [(schema, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        waiting += [(part, depth + 1) for part in inner]


class _Writer:
    """Writes one schema out."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root, self._left = root, PARTS

    def write(self, node: Any, open_: tuple[str, ...]) -> Any:
        """`node` in the plain form; `open_`: the references that led here."""
        self._left -= 1
        if self._left < 0:
            raise BadInput("The schema is too large when its references are written out. Ask for less at a time.")
        if not isinstance(node, dict):
            return node
        _possible(node)
        parts = [self._own(node, open_)]
        if "$ref" in node:
            parts.append(self._referred(node["$ref"], open_))
        parts += [self.write(part, open_) for part in node.get("allOf", ())]
        for name in ("anyOf", "oneOf"):
            if name in node:
                parts.append(_alternatives(name, [self.write(part, open_) for part in node[name]]))
        return reduce(_merged, parts)

    def _own(self, node: dict[str, Any], open_: tuple[str, ...]) -> dict[str, Any]:
        own = {name: node[name] for name in node if name not in {*NOTES, "$ref", "allOf", "anyOf", "oneOf"}}
        for name in MAPS:
            if name in own:
                own[name] = {key: self.write(part, open_) for key, part in own[name].items()}
        for name in ONE:
            if name in own:
                own[name] = self.write(own[name], open_)
        if "prefixItems" in own:
            own["prefixItems"] = [self.write(part, open_) for part in own["prefixItems"]]
        return own

    def _referred(self, ref: str, open_: tuple[str, ...]) -> Any:
        if len(open_) > DEPTH:
            raise BadInput("The references of the schema are too deep. Ask for less at a time.")
        return False if open_.count(ref) == LEVELS else self.write(self._target(ref), (*open_, ref))

    def _target(self, ref: str) -> Any:
        node: Any = self._root
        try:
            empty, *steps = ref.removeprefix("#").split("/")
            if empty or not ref.startswith("#"):
                raise LookupError
            for step in steps:
                name = unquote(step).replace("~1", "/").replace("~0", "~")
                node = node[int(name)] if isinstance(node, list) else node[name]
        except (LookupError, ValueError, TypeError):
            raise BadInput(f"The schema refers to {ref!r:.80}, which is not in it.") from None
        if not isinstance(node, dict | bool):
            raise BadInput(f"The schema refers to {ref!r:.80}, which is not a schema.")
        return node


def _possible(node: dict[str, Any]) -> None:
    """Raises BadInput for what cannot be followed here."""
    beyond = [name for name in BEYOND if name in node] or ["uniqueItems"] * bool(node.get("uniqueItems"))
    if beyond:
        raise BadInput(f"The schema uses {beyond[0]}, which cannot be followed here. Leave it out.")
    for name, most in LEAST.items():
        if node.get(name, 0) > most:
            raise BadInput(f"{name} is {node[name]!r:.20}, but an answer here has {most:,} at most. Ask for less.")
    for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
        if not MULTIPLE <= abs(node.get(name) or 1) <= LARGE:
            raise BadInput(f"{name} is {node[name]!r:.20}, which is too large or too small. Leave it out.")
    for value, _ in _nodes([node.get("const"), node.get("enum")]):
        if isinstance(value, int | float) and abs(value) > LARGE:  # one of them, -2**63, even ends the process
            raise BadInput(f"The value {value!r:.20} is too large a number to be written exactly. Make it a string.")
    if len(node.get("pattern", "")) > LONGEST_PATTERN:
        raise BadInput(f"A pattern of the schema is longer than {LONGEST_PATTERN} characters. Use a shorter one.")


def _alternatives(name: str, parts: list[Any]) -> Any:
    if name == "oneOf" and not all(_differ(one, other) for one, other in combinations(parts, 2)):
        raise BadInput("The alternatives of a oneOf must differ in their type or in a field's fixed value. Use anyOf.")
    flat = [one for part in parts for one in (part["anyOf"] if _many(part) else [part]) if one is not False]
    if len(flat) > BRANCHES:
        raise BadInput(f"The schema has more than {BRANCHES} alternatives at one place. Ask for less at a time.")
    return {"anyOf": flat} if flat else False


def _many(part: Any) -> bool:
    return isinstance(part, dict) and "anyOf" in part


def _differ(one: Any, other: Any) -> bool:
    """Whether no value can be both."""
    for part, rest in ((one, other), (other, one)):
        if part is False:
            return True
        if _many(part):
            return all(_differ(branch, rest) for branch in part["anyOf"])
    if one is True or other is True:
        return False
    fixed = _fixed(one), _fixed(other)
    if None not in fixed:
        return not any(value in fixed[1] for value in fixed[0] or ())  # type: ignore[operator]
    if _common(kinds(one), kinds(other)) == []:
        return True
    both = {*one.get("required", ())} & {*other.get("required", ())}
    fields = [tuple(part.get("properties", {}).get(name, True) for part in (one, other)) for name in both]
    return any(None not in (_fixed(a), _fixed(b)) and _differ(a, b) for a, b in fields)


def _fixed(part: Any) -> list[Any] | None:
    if not isinstance(part, dict):
        return None
    return [part["const"]] if "const" in part else part.get("enum")


def kinds(part: dict[str, Any]) -> list[str]:
    """The types that a schema names, all if none."""
    named = part.get("type", list(KINDS))
    return named if isinstance(named, list) else [named]


def _common(some: list[str], others: list[str]) -> list[str]:
    wide = [{*kinds_, *["integer"] * ("number" in kinds_)} for kinds_ in (some, others)]
    both = wide[0] & wide[1]
    return [kind for kind in KINDS if kind in both and not (kind == "integer" and "number" in both)]


def _merged(one: Any, other: Any) -> Any:
    """A schema for what fits both. Raises BadInput."""
    if one is False or other is False:
        return False
    if one is True or not one:
        return other
    if other is True or not other:
        return one
    for part, rest in ((one, other), (other, one)):
        if _many(part):
            return _alternatives("anyOf", [_merged(branch, rest) for branch in part["anyOf"]])
        _together(part, rest)
    made = one | other
    for name in one.keys() & other.keys():
        if one[name] != other[name]:
            made[name] = _both(name, one[name], other[name])
    if names := {*one.get("properties", ()), *other.get("properties", ())}:
        ordered = sorted(names, key=[*one.get("properties", ()), *other.get("properties", ())].index)
        made["properties"] = {name: _merged(_field(one, name), _field(other, name)) for name in ordered}
    return False if made.get("type") == [] or made.get("enum") == [] else made


def _together(part: dict[str, Any], rest: dict[str, Any]) -> None:
    """Raises BadInput where `rest` says of all fields or items what would be lost on those that `part` describes."""
    for some, others in REST.items():
        if some in part and some not in rest and rest.get(others, True) not in (True, {}):
            raise BadInput(f"The schema has {some} and {others} at two places for one value. Write it once.")


def _field(part: dict[str, Any], name: str) -> Any:
    return part.get("properties", {}).get(name, part.get("additionalProperties", True))


def _both(name: str, one: Any, other: Any) -> Any:
    if name == "type":
        return _common(kinds({"type": one}), kinds({"type": other}))
    if name == "enum":
        return [value for value in one if value in other]
    if name == "required":
        return [*dict.fromkeys([*one, *other])]
    if name in ONE:
        return _merged(one, other)
    if name.startswith(("min", "exclusiveMin")):
        return max(one, other)
    if name.startswith(("max", "exclusiveMax")):
        return min(one, other)
    if name == "properties":
        return None  # the caller's, which knows what each says of other names
    raise BadInput(f"The schema asks for two different things by {name}. Write it once.")
