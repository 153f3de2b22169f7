"""How an answer becomes a value of `responses.py`.

Rule: an answer that is none of Tidegate's, whatever answered at the address, is a TidegateError that says so, and never
the error of a library. No I/O here.
"""

from __future__ import annotations

from typing import Any, TypeVar

import httpx
import orjson
from pydantic import ValidationError

from tidegate.errors import TidegateError
from tidegate.responses import Response, Segment

_Answer = TypeVar("_Answer", bound=Response)


def read_object(answer: httpx.Response, *members: str) -> dict[str, Any]:
    """The JSON object of an answer. Errors: TidegateError when it is something else, or lacks one of these members."""
    try:
        document = orjson.loads(answer.content)
    except orjson.JSONDecodeError as error:
        raise _strange(answer, "it is not JSON") from error
    if not isinstance(document, dict):
        raise _strange(answer, f"it is a JSON {type(document).__name__}, no object")
    for member in members:
        if member not in document:
            raise _strange(answer, f"it has no `{member}`")
    return document


def read(model: type[_Answer], answer: httpx.Response) -> _Answer:
    """The value that an answer holds. Errors: TidegateError when it holds no such value."""
    return _valid(model, read_object(answer), answer)


def read_deleted(answer: httpx.Response) -> None:
    """What was to be deleted is gone: the answer has no content, or found nothing. Errors: TidegateError otherwise."""
    if answer.status_code not in (httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND):
        raise _strange(answer, f"a deletion is answered with 204, not {answer.status_code}")


def read_all(model: type[_Answer], member: str, answer: httpx.Response) -> list[_Answer]:
    """The values in one member of an answer. Errors: TidegateError when they are not there."""
    entries = read_object(answer).get(member)
    if not isinstance(entries, list):
        raise _strange(answer, f"it has no list `{member}`")
    return [_valid(model, entry, answer) for entry in entries]


def read_segment(answer: httpx.Response) -> Segment:
    """A segment, with the header by which it can be edited. Errors: TidegateError when it is none."""
    return _valid(Segment, {**read_object(answer), "etag": answer.headers.get("ETag", "")}, answer)


def _valid(model: type[_Answer], document: object, answer: httpx.Response) -> _Answer:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = "/".join(str(part) for part in first["loc"])
        raise _strange(answer, f"as {model.__name__}, /{where}: {first['msg']}") from error


def _strange(answer: httpx.Response, why: str) -> TidegateError:
    return TidegateError(f"{answer.request.url} did not answer as Tidegate does ({why}); is it a Tidegate service?")
