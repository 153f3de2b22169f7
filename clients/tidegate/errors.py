"""What a Tidegate client can fail with: one family, told apart by whose turn it is to act.

Rule: every message says what happened and what to do; a problem document's `errors` are kept whole. No error here is
raised for a reason the caller could not act on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """One entry of a problem document: where (JSON Pointer, or a span in a text), what, and how to fix it."""

    message: str
    code: str = ""
    pointer: str = ""
    hint: str = ""
    line: int | None = None
    column: int | None = None
    length: int | None = None

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> FieldError:
        """Read one entry, whichever optional members it carries. A place that is not told in numbers is none."""
        span = entry.get("span")
        places = span if isinstance(span, Mapping) else {}
        line, column, length = (
            place if isinstance(place := places.get(name), int) else None for name in ("line", "column", "length")
        )
        return cls(
            message=str(entry.get("message") or entry.get("detail") or ""),
            code=str(entry.get("code") or ""),
            pointer=str(entry.get("pointer") or ""),
            hint=str(entry.get("hint") or ""),
            line=line,
            column=column,
            length=length,
        )


class TidegateError(Exception):
    """The base of everything this package raises on purpose."""


class UnreachableError(TidegateError):
    """Nothing answered at the address, not in time, or nothing that can be read."""


class ProblemError(TidegateError):
    """The service answered with an error: an RFC 9457 problem document, kept whole in `document`.

    What stands before the service may answer in a form of its own; what of it is no problem's is only in `document`.
    """

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.document = dict(document)
        self.title = str(document.get("title") or f"HTTP {status}")
        self.detail = str(document.get("detail") or "")
        entries = document.get("errors")
        self.errors = tuple(
            FieldError.from_json(entry)
            for entry in (entries if isinstance(entries, list) else ())
            if isinstance(entry, Mapping)
        )
        super().__init__(f"{self.title}: {self.detail}" if self.detail else self.title)


class RefusedError(ProblemError):
    """The request itself is wrong; repeating it unchanged cannot succeed."""


class NotFoundError(ProblemError):
    """No such contact, segment or import."""


class NotAllowedError(ProblemError):
    """The key is missing, unknown, or lacks the scope."""


class ConflictError(ProblemError):
    """Someone else's edit came first (412), or the thing exists already (409). Read it again, then repeat."""


class NotReadyError(ProblemError):
    """The service cannot answer now: it is overloaded, recovers, its broker is away, or the same request is under way.

    Repeat after `retry_after_s`.
    """

    def __init__(self, status: int, document: Mapping[str, Any], retry_after_s: float) -> None:
        super().__init__(status, document)
        self.retry_after_s = retry_after_s


def problem(status: int, document: Mapping[str, Any], retry_after_s: float = 1.0) -> ProblemError:
    """Give the error class of an HTTP status."""
    if status in (401, 403):
        return NotAllowedError(status, document)
    if status == 404:
        return NotFoundError(status, document)
    is_under_way = status == 409 and document.get("code") == "in_progress"
    if status in (409, 412) and not is_under_way:
        return ConflictError(status, document)
    if status == 429 or status >= 500 or is_under_way:
        return NotReadyError(status, document, retry_after_s)
    return RefusedError(status, document)
