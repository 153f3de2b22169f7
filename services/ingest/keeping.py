"""What is kept of an answer for those who repeat its request: all of it, unless the route says otherwise.

Rule: a secret is never kept. An answer that is too long to be kept whole is kept shorter, never not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fastapi import Request
from fastapi.responses import Response


def keep_instead(request: Request, body: bytes) -> None:
    """Have this kept in the place of the answer's own body, which holds a secret."""
    request.state.kept_instead = body


def keep_shorter(request: Request, shorter: Callable[[], bytes]) -> None:
    """Have this kept if the answer's own body is too long."""
    request.state.kept_shorter = shorter


def kept_bodies(request: Request, answer: Response) -> Iterator[bytes]:
    """What may be kept of the answer, the best first."""
    instead: bytes | None = getattr(request.state, "kept_instead", None)
    yield bytes(answer.body) if instead is None else instead
    shorter: Callable[[], bytes] | None = getattr(request.state, "kept_shorter", None)
    if shorter is not None:
        yield shorter()
