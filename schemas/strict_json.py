"""JSON as it must be at every door: UTF-8, finite numbers, bounded depth, and no key twice in one object.

orjson refuses the first two but lets a repeated key win silently; which one was meant is unknowable, so it is refused.
Repetition is found by counting colons: each member has one, and one in a text survives when the document is written
again, unless it was an escape.
Rule: the answer depends on the bytes alone, and no input makes it slower than linear or deeper than the limit.
"""

from __future__ import annotations

import json
from typing import Final

import orjson

from schemas.limits import JSON_DEPTH_MAX

DUPLICATE_KEY: Final = "duplicate_key"
INVALID_JSON: Final = "invalid_json"
TOO_DEEP: Final = "too_deep"


class JsonRefusedError(ValueError):
    """The bytes are not the JSON that we take. `code` is one of the constants above."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def load_strictly(raw: bytes, depth_max: int = JSON_DEPTH_MAX) -> object:
    """Read one JSON document. Errors: `JsonRefusedError`."""
    try:
        document: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "depth limit" in error.msg or "recursion" in error.msg.lower():
            raise _too_deep(depth_max) from error
        raise JsonRefusedError(INVALID_JSON, f"not valid JSON: {error}") from error
    if raw.count(b"[") + raw.count(b"{") > depth_max and _is_deeper(document, depth_max):
        raise _too_deep(depth_max)
    colons = raw.count(b":")
    if colons == _members_near_the_top(document):
        return document
    if b"\\u003" in raw or colons != orjson.dumps(document).count(b":"):
        json.loads(raw, object_pairs_hook=_refuse_repeated_keys)
    return document


def _members_near_the_top(document: object) -> int:
    """The members of an object and of the objects right in it.

    If the colons are as many, no text holds one, and no member is deeper or gone because its key was repeated: the
    quick answer for nearly every record, whose texts are plain.
    """
    if type(document) is not dict:
        return 0
    members = len(document)
    for value in document.values():
        if type(value) is dict:
            members += len(value)
    return members


def _too_deep(depth_max: int) -> JsonRefusedError:
    return JsonRefusedError(TOO_DEEP, f"nested deeper than {depth_max} levels")


def _is_deeper(document: object, depth_max: int) -> bool:
    layer: list[dict[str, object] | list[object]] = [document] if isinstance(document, dict | list) else []
    for _ in range(depth_max):
        # orjson makes exactly these two types, and comparing types is the quickest way to pass over the many scalars.
        layer = [
            child
            for node in layer
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not layer:
            return False
    return True


def _refuse_repeated_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise JsonRefusedError(DUPLICATE_KEY, f"the key {name!r} appears twice in one object")
            seen.add(name)
    return members
