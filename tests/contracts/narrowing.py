"""Whether everything that one JSON Schema allows is allowed by another.

Rule: what this cannot judge it reports, so that a doubtful change is looked at by a person. Annotations are not judged.
Source: JSON Schema 2020-12, the keywords that pydantic and our own documents use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

Json = dict[str, Any]

ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "examples", "example", "deprecated", "$schema", "$defs", "$id", "readOnly",
     "writeOnly", "contentMediaType", "discriminator"}
)  # fmt: skip
AT_LEAST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
AT_MOST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
BOUNDED: Final = {"imum": ("integer", "number"), "Length": ("string",), "Items": ("array",), "Properties": ("object",)}
"""By the end of a bound's name, what it bounds; it says nothing of other types."""
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

REASONS_MAX: Final = 12
STEPS_MAX: Final = 20_000
"""Of one comparison; a schema that refers to itself in many ways takes more than is worth while."""
DEPTH_MAX: Final = 24
"""Deeper than any of our documents: what allows anything allows itself in itself for ever."""


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
            node = Rooted(schema, self.root).target()
            schema = {**{name: value for name, value in schema.items() if name != "$ref"}, **node}
        if isinstance(schema, dict):
            schema = {name: each for name, each in schema.items() if name not in ANNOTATIONS and name[:2] != "x-"}
            schema = _merged(schema, self)
        return Rooted(schema, self.root)

    def all_words(self) -> str:
        """The schema and every schema that it leads to, as text."""
        told, waiting = {"": _words(self.schema)}, [self.schema]
        while waiting:
            for target in re.findall(r'"\$ref": "(#/[^"]+)"', _words(waiting.pop())):
                if target not in told:
                    waiting.append(Rooted({"$ref": target}, self.root).target())
                    told[target] = _words(waiting[-1])
        return _words(told)

    def target(self) -> Any:
        """What the schema's reference leads to, as it stands."""
        node: Any = self.root
        for step in str(self.schema["$ref"]).removeprefix("#/").split("/"):
            node = node[step.replace("~1", "/").replace("~0", "~")]
        return node

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


@dataclass(slots=True)
class Comparison:
    """One comparison of two documents; what was found for a pair of schemas is found once."""

    removed: Removed
    found: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    steps: int = 0

    def not_allowed(self, narrow: Rooted, wide: Rooted, path: str = "") -> Iterator[str]:
        """Why something that `narrow` allows might be refused by `wide`, or lost. Shape: `/path: reason`, or none."""
        pair = _words(narrow.schema), _words(wide.schema)
        if pair[0] == pair[1] and narrow.all_words() == wide.all_words():
            return
        self.steps += 1
        if self.steps > STEPS_MAX:
            yield f"{path or '/'}: is too involved to be judged here"
            return
        if pair not in self.found:
            self.found[pair] = []  # A schema that is within itself is as good as the rest of it.
            self.found[pair] = _first(self._judged(narrow.followed(), wide.followed(), path))
        yield from self.found[pair]

    def _judged(self, narrow: Rooted, wide: Rooted, path: str) -> Iterator[str]:
        if wide.schema == {} or path.count("/") > DEPTH_MAX:
            return
        options = _alternatives(wide)
        for branch in _alternatives(narrow):
            reasons = [list(self._alternative(branch, each, path)) for each in options]
            if not all(reasons):
                continue
            parts = branch.followed().branches()
            if not options and parts:
                yield f"{path or '/'}: is allowed on one side only"
                continue
            if len(parts) == 1 or len(options) == 1:
                yield from min(reasons, key=len)
                continue
            for part in parts:
                of_part = [list(self._alternative(part, each, path)) for each in options]
                if all(of_part):
                    yield from min(of_part, key=len)

    def _alternative(self, narrow: Rooted, wide: Rooted, path: str) -> Iterator[str]:
        pair = f"one {_words(narrow.schema)}", _words(wide.schema)
        if pair not in self.found:
            self.found[pair] = []
            self.found[pair] = _first(self._of_every_type(narrow, wide, path))
        yield from self.found[pair]

    def _of_every_type(self, narrow: Rooted, wide: Rooted, path: str) -> Iterator[str]:
        options = wide.followed().branches()
        for branch in narrow.followed().branches():
            kind = branch.schema["type"]
            fits = [each for each in options if each.schema["type"] in (kind, "number" if kind == "integer" else kind)]
            if not fits:
                yield f"{path or '/'}: {kind} is allowed on one side only"
                continue
            found = [_first(self._of_one_type(branch, each, path)) for each in fits]
            if all(found):
                yield from min(found, key=len)

    def _of_one_type(self, narrow: Rooted, wide: Rooted, path: str) -> Iterator[str]:
        yield from _values(narrow.schema, wide.schema, path)
        yield from _bounds(narrow.schema, wide.schema, path)
        match narrow.schema["type"]:
            case "object":
                yield from self._objects(narrow, wide, path)
            case "array":
                yield from self.not_allowed(*_both(narrow, wide, "items"), f"{path}/*")

    def _objects(self, narrow: Rooted, wide: Rooted, path: str) -> Iterator[str]:
        given, allowed = narrow.schema.get("properties", {}), wide.schema.get("properties", {})
        for name in wide.schema.get("required", []):
            if name not in narrow.schema.get("required", []):
                yield f"{path}/{name}: is required on one side only"
        for name in given.keys() | allowed.keys():
            if name in given and name in allowed:
                both = Rooted(given[name], narrow.root), Rooted(allowed[name], wide.root)
                yield from self.not_allowed(*both, f"{path}/{name}")
            elif reason := self.removed(f"{path}/{name}", name in given):
                yield reason
            elif name in given and wide.schema.get("additionalProperties") is False:
                yield f"{path}/{name}: is refused on one side"
        for name in ("additionalProperties", "propertyNames"):
            if wide.schema.get(name, True) is not True:
                yield from self.not_allowed(*_both(narrow, wide, name), f"{path}/<{name}>")


def _first(reasons: Iterator[str]) -> list[str]:
    """Enough of them to act on; a schema that refers to itself has them over and over."""
    return list(islice(dict.fromkeys(islice(reasons, REASONS_MAX * REASONS_MAX)), REASONS_MAX))


def _words(schema: Any) -> str:
    """A schema as text: equal ones of one document mean the same."""
    return json.dumps(schema, sort_keys=True)


def _alternatives(rooted: Rooted) -> list[Rooted]:
    """The parts of a union as they stand, named ones by their names; the schema itself if it is none."""
    schema = rooted.schema
    if schema is False:
        return []
    for union in ("anyOf", "oneOf"):
        if isinstance(schema, dict) and schema.keys() == {union}:
            return [Rooted(part, rooted.root) for part in schema[union]]
    return [rooted]


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
            if name not in wide or _listed(narrow) or not _says(name, narrow["type"]):
                continue
            if not is_within(narrow.get(name), wide[name]):
                yield f"{path or '/'}: {name} is {wide[name]} on one side, {narrow.get(name, 'not set')} on the other"
    for name in WORD_FOR_WORD:
        if name in wide and narrow.get(name) != wide[name] and not _listed(narrow):
            yield f"{path or '/'}: {name} is {wide[name]!r} on one side, {narrow.get(name)!r} on the other"
    for name in sorted((wide.keys() | narrow.keys()) - JUDGED):
        if narrow.get(name) != wide.get(name):
            yield f"{path or '/'}: {name} differs, which is not judged here"


def _says(bound: str, kind: str) -> bool:
    return any(bound.endswith(ending) and kind in kinds for ending, kinds in BOUNDED.items())


def _not_below(given: Any, bound: Any) -> bool:
    return given is not None and given >= bound


def _not_above(given: Any, bound: Any) -> bool:
    return given is not None and given <= bound


def _both(narrow: Rooted, wide: Rooted, name: str) -> tuple[Rooted, Rooted]:
    return Rooted(narrow.schema.get(name, True), narrow.root), Rooted(wide.schema.get(name, True), wide.root)
