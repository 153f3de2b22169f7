"""`Idempotency-Key`: a repeat of a request gets the answer to the first and is not carried out again.

Rule: making a webhook is honoured for as long as the webhook is there, by every process and across restarts, because
its id is a function of the key. A replay is made once by the log, with a key or without (`replays.py`); that a key came
with another request before is known for 24 hours to the process that it came to.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakValueDictionary

from fastapi.responses import Response

from services.runtime import clock
from services.runtime.problems import ProblemError
from services.runtime.repeats import REPLAYED

KEPT_S: Final = 24 * 3_600
ANSWERS_MAX: Final = 1_000
"""Past that the oldest is forgotten. An answer has about 20 bytes."""


def reused() -> ProblemError:
    """The key came with another request before."""
    detail = "make a new key for each request; repeat a request unchanged"
    return ProblemError(422, "idempotency_key_reused", "this Idempotency-Key came with another request before", detail)


class Answers:
    """The answers that this process gave, by identity."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[str, float, Response]] = OrderedDict()
        self.turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By identity; each is there for as long as a request has it or waits for it."""

    async def answer(self, identity: str | None, path: str, carry_out: Callable[[], Awaitable[Response]]) -> Response:
        """The first answer to the request, or that of `carry_out`; one that failed is not kept. Errors: its own."""
        if identity is None:
            return await carry_out()
        turn = self.turns.setdefault(identity, asyncio.Lock())
        async with turn:
            kept = self._kept.get(identity)
            if kept is not None and kept[1] > clock.monotonic():
                if kept[0] != path:
                    raise reused()
                return Response(kept[2].body, kept[2].status_code, REPLAYED, kept[2].media_type)
            answer = await carry_out()
            self._keep(identity, path, answer)
            return answer

    def _keep(self, identity: str, path: str, answer: Response) -> None:
        self._kept[identity] = (path, clock.monotonic() + KEPT_S, answer)
        self._kept.move_to_end(identity)
        if len(self._kept) > ANSWERS_MAX:
            self._kept.popitem(last=False)
