"""Waiting without holding up the loop, for what tells nobody when it comes about. See `bench.waiting`.

Rule: as there, every wait has a limit, says what it waited for, and ends at once with whatever the condition raises.
Where something can be awaited (an event, a task, a process's end), await that instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed

from bench.waiting import POLL_S, in_vain

Found = TypeVar("Found")


@overload
async def until(
    condition: Callable[[], Awaitable[Found]],
    within_s: float,
    doing: str,
    every_s: float = POLL_S,
    satisfies: Callable[[Found], object] = bool,
) -> Found: ...


@overload
async def until(
    condition: Callable[[], Found],
    within_s: float,
    doing: str,
    every_s: float = POLL_S,
    satisfies: Callable[[Found], object] = bool,
) -> Found: ...


async def until(
    condition: Callable[[], Any],
    within_s: float,
    doing: str,
    every_s: float = POLL_S,
    satisfies: Callable[[Any], object] = bool,
) -> Any:
    """Ask until the answer, awaited if it must be, satisfies; return it.

    Errors: `TimeoutError` when none did within `within_s`.
    """

    async def ask() -> object:
        found = condition()
        return await found if inspect.isawaitable(found) else found

    waiting = AsyncRetrying(
        retry=retry_if_result(lambda found: not satisfies(found)),
        stop=stop_after_delay(within_s),
        wait=wait_fixed(every_s),
        retry_error_callback=in_vain(doing, within_s),
    )
    return await waiting(ask)
