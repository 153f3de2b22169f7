"""Reads what a request says: bodies, bounded in bytes and in time, with JSON as strict as every other door; parameters.

Rule: a body is refused before it is held; nothing here knows what a body means.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from schemas.limits import JSON_DEPTH_MAX
from schemas.strict_json import JsonRefusedError, load_strictly
from segmentation.errors import Problem
from services.runtime.problems import ProblemError, meant_in_path, unavailable

BODY_BYTES_MAX: Final = 5 * 1024 * 1024
BODIES_BYTES_MAX: Final = 24 * 1024 * 1024
"""Held at once, of all requests together; past that one is answered 503, however many connections there are."""
STALLED_BODIES_BYTES_MAX: Final = BODY_BYTES_MAX
"""The same while the broker acknowledges nothing: what could not be written anyway is not taken in."""
BODY_TIMEOUT_S: Final = 30
BODY_DEPTH_MAX: Final = JSON_DEPTH_MAX + 4
"""A batch puts a contact's attributes four levels down."""
_LIMIT = re.compile(r"[0-9]{1,9}")
_DIGITS = re.compile(r"[0-9]{1,19}")


class Bodies:
    """Counts the bytes of the bodies that this process holds. `is_stalled` says whether writes are stuck now."""

    def __init__(self, is_stalled: Callable[[], bool] = lambda: False) -> None:
        self._is_stalled = is_stalled
        self.held_bytes = 0

    @property
    def bytes_max(self) -> int:
        """How many bytes may be held now."""
        return STALLED_BODIES_BYTES_MAX if self._is_stalled() else BODIES_BYTES_MAX


class Share:
    """What one request holds of them. All of it is given back when the request is answered."""

    __slots__ = ("_bodies", "_bytes")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._bytes = 0

    def take(self, size: int) -> bool:
        """Hold so many bytes more, if there is room."""
        if self._bodies.held_bytes + size > self._bodies.bytes_max:
            return False
        self._bodies.held_bytes += size
        self._bytes += size
        return True

    def give_back(self, size: int | None = None) -> None:
        """Hold so many bytes less, or nothing any more."""
        given = self._bytes if size is None else size
        self._bodies.held_bytes -= given
        self._bytes -= given


async def read_json(request: Request, depth_max: int = BODY_DEPTH_MAX) -> object:
    """The request's JSON. Errors: ProblemError 400, 408, 413, 415."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind not in ("application/json", "application/merge-patch+json"):
        raise ProblemError(415, "unsupported_media_type", f"{kind or 'the body'} is not read here", "send JSON")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProblemError(415, "unsupported_encoding", "a compressed body is not read here", "send it as it is")
    raw = await read_body(request)
    try:
        return load_strictly(raw, depth_max)
    except JsonRefusedError as error:
        hint = "send one JSON document in UTF-8" if raw else "send a JSON object"
        problem = Problem(error.code, error.message, hint, pointer="")
        raise ProblemError(400, error.code, "the body is not JSON that can be read", errors=(problem,)) from error
    finally:
        share: Share = request.scope["state"]["share"]
        share.give_back(len(raw))


async def read_body(request: Request, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The whole body. Errors: ProblemError 400, 408, 413, 503."""
    declared = request.headers.get("content-length")
    if declared is not None and _DIGITS.fullmatch(declared) and int(declared) > bytes_max:
        raise _too_large(bytes_max)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _receive(request, bytes_max)
    except TimeoutError as error:
        title = f"the body did not arrive within {BODY_TIMEOUT_S} s"
        raise ProblemError(408, "body_timeout", title, headers={"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise ProblemError(400, "body_broken_off", "the body did not arrive whole", "send it again") from error


async def _receive(request: Request, bytes_max: int) -> bytes:
    share: Share = request.scope["state"]["share"]
    parts: list[bytes] = []
    size = 0
    refused = False
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise _too_large(bytes_max)
        # The rest of a body that is refused is read and forgotten: an answer given before would often be lost, because
        # closing a connection on which bytes still arrive resets it.
        if not refused and not share.take(len(part)):
            refused = True
            parts.clear()
            share.give_back()
        if not refused:
            parts.append(part)
    if refused:
        raise unavailable("busy", "too many requests are in hand", "try again in a moment")
    return b"".join(parts)


def path_text(request: Request, name: str) -> str:
    """A path parameter as the sender meant it. Errors: ProblemError when it is not UTF-8."""
    return meant_in_path(name, request.path_params[name])


def is_number_up_to(highest: int, text: str) -> bool:
    """Whether a text is a whole number from 1 to `highest`, written with no more digits than a number of ours has."""
    return _LIMIT.fullmatch(text) is not None and 1 <= int(text) <= highest


def _too_large(bytes_max: int) -> ProblemError:
    return ProblemError(
        413,
        "body_too_large",
        f"the body has more than {bytes_max} bytes",
        "send fewer contacts at once, or import a CSV file",
        headers={"Connection": "close"},
    )
