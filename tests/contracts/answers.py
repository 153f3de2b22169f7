"""Holds answers that tests see to an API's OpenAPI document, field by field.

Rule: a field that the document does not name is a failure here, although clients ignore it: the document would be
incomplete.
"""

from __future__ import annotations

import re
from typing import Any

import httpx
import jsonschema

Json = dict[str, Any]


class Described:
    """An OpenAPI document, as a judge of answers."""

    def __init__(self, document: Json) -> None:
        self._root = {"components": _closed(document["components"])}
        self._paths = [
            (re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path)) + "$"), path, item)
            # A fixed path wins over one with a parameter in its place.
            for path, item in sorted(document["paths"].items(), key=lambda entry: entry[0].count("{"))
        ]

    def forwards(self, answer: httpx.Response) -> bool:
        """Whether the request is for another service: no operation of the document is meant by it."""
        return self._operation(answer.request.method, _path(answer)) is None

    def hold(self, answer: httpx.Response) -> None:
        """Fail unless the answer is one that the document describes."""
        method, path = answer.request.method, _path(answer)
        operation = self._operation(method, path)
        assert operation is not None, f"{method} {path} is not described"
        described = operation["responses"].get(str(answer.status_code))
        assert described is not None, f"{method} {path} answered {answer.status_code}, which is not described"
        if answer.status_code == 204:
            return
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in described["content"], f"{method} {path} answered {kind}, which is not described"
        if kind.endswith("json"):
            schema = _closed(described["content"][kind]["schema"])
            jsonschema.Draft202012Validator({**self._root, **schema}).validate(answer.json())

    def _operation(self, method: str, path: str) -> Json | None:
        for pattern, _, item in self._paths:
            if pattern.match(path) and method.lower() in item:
                found: Json = item[method.lower()]
                return found
        return None


def _path(answer: httpx.Response) -> str:
    return answer.request.url.raw_path.decode("ascii").partition("?")[0]


def _closed(node: Any) -> Any:
    """The same schemas, without room for more properties than they name."""
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    closed = {name: _closed(each) for name, each in node.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed
