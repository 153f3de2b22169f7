"""Waiting without holding up the loop, for what tells nobody when it comes about. See `bench.waiting`.

Rule: as there, every wait has a limit, says what it waited for, and ends at once with whatever the condition raises.
Where something can be awaited (an event, a task, a process's end), await that instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed

from bench.waiting import POLL_S, in_vain, is_false

Found = TypeVar("Found")


@overload
async def until(
    condition: Callable[[], Awaitable[Found]], within_s: float, doing: str, every_s: float = POLL_S
) -> Found: ...


@overload
async def until(condition: Callable[[], Found], within_s: float, doing: str, every_s: float = POLL_S) -> Found: ...


async def until(condition: Callable[[], Any], within_s: float, doing: str, every_s: float = POLL_S) -> Any:
    """Ask until the answer, awaited if it must be, is true; return it.

    Errors: `TimeoutError` when it was not true within `within_s`.
    """

    async def ask() -> object:
        found = condition()
        return await found if inspect.isawaitable(found) else found

    waiting = AsyncRetrying(
        retry=retry_if_result(is_false),
        stop=stop_after_delay(within_s),
        wait=wait_fixed(every_s),
        retry_error_callback=in_vain(doing, within_s),
    )
    return await waiting(ask)
