"""What is sent, as JSON. Rule: what JSON cannot carry is refused before anything is sent, never exchanged for another.

A number that is not finite would become null, and null removes an attribute.
"""

from __future__ import annotations

import math

import orjson

from tidegate.errors import TidegateError


def encoded(value: object) -> bytes:
    """A value as JSON. Errors: TidegateError for a type, a text or a number that JSON has not."""
    try:
        content = orjson.dumps(value)
    except TypeError as error:
        raise TidegateError(f"this cannot be sent as JSON: {error}") from error
    if b"null" in content and not _is_finite(value):
        raise TidegateError("a number that is not finite cannot be sent as JSON; None removes an attribute")
    return content


def _is_finite(value: object) -> bool:
    """Whether every number is. What was written as JSON is not too deep for this."""
    match value:
        case float():
            return math.isfinite(value)
        case dict():
            return all(map(_is_finite, value.values()))
        case list() | tuple():
            return all(map(_is_finite, value))
        case _:
            return True
