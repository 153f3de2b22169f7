"""Runs the synchronous half of an import, files and rows, beside the event loop that serves requests.

Rule: one call a time for each import, so the parts need no locks; a call is short enough that a stop never waits long.
The threads are of imports alone: where their place of files stands still, nobody else's work waits behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

THREADS_MAX: Final = 16
_THREADS: Final = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="imports")


async def off_loop(call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """The call's result, from a thread. A cancelled caller still waits until the thread is done with its files."""
    task = asyncio.get_running_loop().run_in_executor(_THREADS, partial(call, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
