"""Whether everything that one JSON Schema allows is allowed by another.

Rule: what this cannot judge it reports, so that a doubtful change is looked at by a person. Annotations are not judged.
Source: JSON Schema 2020-12, the keywords that pydantic and our own documents use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]

ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "examples", "example", "deprecated", "$schema", "$defs", "$id", "readOnly",
     "writeOnly", "contentMediaType", "discriminator"}
)  # fmt: skip
AT_LEAST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
AT_MOST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
WORD_FOR_WORD: Final = (
    "pattern",
    "format",
    "multipleOf",
    "uniqueItems",
    "allOf",
    "not",
    "prefixItems",
    "contentEncoding",
)
JUDGED: Final = frozenset(
    {"type", "enum", "const", "anyOf", "oneOf", "properties", "required", "additionalProperties", "propertyNames",
     "items", "$ref", *AT_LEAST, *AT_MOST, *WORD_FOR_WORD}
)  # fmt: skip
EVERY_TYPE: Final = ("null", "boolean", "integer", "number", "string", "array", "object")
DEPTH_MAX: Final = 12
"""Deeper than any of our records; a schema that refers to itself is judged so far."""


@dataclass(frozen=True, slots=True)
class Rooted:
    """A schema, and the document in which its references lead somewhere."""

    schema: Any
    root: Json

    def at(self, schema: Any) -> Rooted:
        """Another schema of the same document, with its own reference followed."""
        return Rooted(schema, self.root).followed()

    def followed(self) -> Rooted:
        """The schema that is meant, its annotations left out, `allOf` of one made that one."""
        schema = self.schema
        if schema is True:
            schema = {}
        while isinstance(schema, dict) and "$ref" in schema:
            node: Any = self.root
            for step in str(schema["$ref"]).removeprefix("#/").split("/"):
                node = node[step.replace("~1", "/").replace("~0", "~")]
            schema = {**{name: value for name, value in schema.items() if name != "$ref"}, **node}
        if isinstance(schema, dict):
            schema = {name: each for name, each in schema.items() if name not in ANNOTATIONS and name[:2] != "x-"}
            schema = _merged(schema, self)
        return Rooted(schema, self.root)

    def branches(self) -> list[Rooted]:
        """The schema as alternatives of one type each."""
        schema = self.schema
        if schema is False:
            return []
        for union in ("anyOf", "oneOf"):
            if union in schema:
                rest = {name: each for name, each in schema.items() if name != union}
                parts = (self.at(each).schema for each in schema[union])
                return [one for part in parts for one in Rooted({**rest, **part}, self.root).branches()]
        return [Rooted({**schema, "type": kind}, self.root) for kind in _types(schema)]


def _merged(schema: Json, rooted: Rooted) -> Json:
    """`allOf` of objects as one object: their properties and what they require together."""
    parts = schema.get("allOf")
    if not parts:
        return schema
    merged = {name: each for name, each in schema.items() if name != "allOf"}
    for part in parts:
        for name, each in rooted.at(part).schema.items():
            if name == "properties":
                merged["properties"] = {**merged.get("properties", {}), **each}
            elif name == "required":
                merged["required"] = [*merged.get("required", []), *each]
            else:
                merged.setdefault(name, each)
    return merged


def _types(schema: Json) -> tuple[str, ...]:
    named = schema.get("type")
    if named is None:
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if values is None:
            return EVERY_TYPE
        return tuple(dict.fromkeys(_type_of(value) for value in values))
    return (named,) if isinstance(named, str) else tuple(named)


def _type_of(value: object) -> str:
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"), (dict, "object"),
    )  # fmt: skip
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


Removed = Callable[[str, bool], str | None]
"""What to say of a property that only the narrower (True) or only the wider schema names."""


def not_allowed(narrow: Rooted, wide: Rooted, removed: Removed, path: str = "", depth: int = 0) -> Iterator[str]:
    """Why something that `narrow` allows might be refused by `wide`, or lost. Shape: `/path: reason`, possibly none."""
    if depth > DEPTH_MAX:
        return
    narrow, wide = narrow.followed(), wide.followed()
    options = wide.branches()
    for branch in narrow.branches():
        kind = branch.schema["type"]
        fits = [each for each in options if each.schema["type"] in (kind, "number" if kind == "integer" else kind)]
        if not fits:
            yield f"{path or '/'}: {kind} is allowed on one side only"
            continue
        found = [list(_of_one_type(branch, each, removed, path, depth)) for each in fits]
        if all(found):
            yield from min(found, key=len)


def _of_one_type(narrow: Rooted, wide: Rooted, removed: Removed, path: str, depth: int) -> Iterator[str]:
    yield from _values(narrow.schema, wide.schema, path)
    yield from _bounds(narrow.schema, wide.schema, path)
    match narrow.schema["type"]:
        case "object":
            yield from _objects(narrow, wide, removed, path, depth)
        case "array":
            yield from not_allowed(*_both(narrow, wide, "items"), removed, f"{path}/*", depth + 1)


def _values(narrow: Json, wide: Json, path: str) -> Iterator[str]:
    allowed, given = _listed(wide), _listed(narrow)
    if allowed is None:
        return
    if given is None:
        yield f"{path or '/'}: any value is allowed on one side, only {allowed} on the other"
        return
    extra = [value for value in given if value not in allowed and _type_of(value) == narrow["type"]]
    if extra:
        yield f"{path or '/'}: {extra} is allowed on one side only"


def _listed(schema: Json) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values: list[Any] | None = schema.get("enum")
    return values


def _bounds(narrow: Json, wide: Json, path: str) -> Iterator[str]:
    for names, is_within in ((AT_LEAST, _not_below), (AT_MOST, _not_above)):
        for name in names:
            if name in wide and not (_listed(narrow) or is_within(narrow.get(name), wide[name])):
                yield f"{path or '/'}: {name} is {wide[name]} on one side, {narrow.get(name, 'not set')} on the other"
    for name in WORD_FOR_WORD:
        if name in wide and narrow.get(name) != wide[name] and not _listed(narrow):
            yield f"{path or '/'}: {name} is {wide[name]!r} on one side, {narrow.get(name)!r} on the other"
    for name in sorted((wide.keys() | narrow.keys()) - JUDGED):
        if narrow.get(name) != wide.get(name):
            yield f"{path or '/'}: {name} differs, which is not judged here"


def _not_below(given: Any, bound: Any) -> bool:
    return given is not None and given >= bound


def _not_above(given: Any, bound: Any) -> bool:
    return given is not None and given <= bound


def _objects(narrow: Rooted, wide: Rooted, removed: Removed, path: str, depth: int) -> Iterator[str]:
    given, allowed = narrow.schema.get("properties", {}), wide.schema.get("properties", {})
    for name in wide.schema.get("required", []):
        if name not in narrow.schema.get("required", []):
            yield f"{path}/{name}: is required on one side only"
    for name in given.keys() | allowed.keys():
        if name in given and name in allowed:
            yield from not_allowed(narrow.at(given[name]), wide.at(allowed[name]), removed, f"{path}/{name}", depth + 1)
        elif reason := removed(f"{path}/{name}", name in given):
            yield reason
        elif name in given and wide.schema.get("additionalProperties") is False:
            yield f"{path}/{name}: is refused on one side"
    for name in ("additionalProperties", "propertyNames"):
        if wide.schema.get(name, True) is not True:
            both = _both(narrow, wide, name)
            yield from not_allowed(*both, removed, f"{path}/<{name}>", depth + 1)


def _both(narrow: Rooted, wide: Rooted, name: str) -> tuple[Rooted, Rooted]:
    return narrow.at(narrow.schema.get(name, True)), wide.at(wide.schema.get(name, True))
