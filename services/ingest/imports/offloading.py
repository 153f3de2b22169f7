"""Runs the synchronous half of an import, files and rows, beside the event loop that serves requests.

Rule: one call a time for each import, so the parts need no locks; a call is short enough that a stop never waits long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def off_loop(call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """The call's result, from a thread. A cancelled caller still waits until the thread is done with its files."""
    task = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
