"""What the OpenAPI documents say of a request that fails: one problem document, whichever service answers.

Rule: declarations only; `problems.py` is what answers, and the APIs' tests hold the two together.
"""

from __future__ import annotations

from typing import Any, Final

from services.runtime.problems import PROBLEM_JSON

_SPAN: Final[dict[str, Any]] = {
    "description": "Where in the text of an expression, in characters.",
    "type": "object",
    "required": ["offset", "line", "column", "length"],
    "properties": {name: {"type": "integer"} for name in ("offset", "line", "column", "length")},
}
_PROBLEM: Final[dict[str, Any]] = {
    "description": "RFC 9457.",
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
    },
}
PROBLEM_CONTENT: Final[dict[str, Any]] = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
"""The content of every answer that is an error, in a document whose components have `problem_schemas`."""


def problem_schemas(*, of_expressions: bool) -> dict[str, Any]:
    """The schemas of a problem, by name. Only an API that takes expressions has faults at a span, and not a pointer."""
    fault = {
        "description": "One thing wrong with a request.",
        "type": "object",
        "required": ["code", "message", "hint", *([] if of_expressions else ["pointer"])],
        "properties": {
            **{name: {"type": "string"} for name in ("code", "message", "hint")},
            "pointer": {"type": "string", "description": "JSON Pointer into the request."},
            **({"span": {"$ref": "#/components/schemas/Span"}} if of_expressions else {}),
        },
    }
    return {"Fault": fault, "Problem": _PROBLEM, **({"Span": _SPAN} if of_expressions else {})}
