"""An event loop whose time is a number: sleeping costs nothing, and a run is the same every time.

Rule: no sockets, no threads, no real clock. When nothing can ever happen again it says so instead of waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

TURN_S = 1e-6


class StuckError(AssertionError):
    """Every task waits for something that cannot happen."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs ready tasks in order; when there are none, jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual_now = 0.0
        self._selector = self  # the base loop asks its selector to wait; this one only moves the clock
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Seconds since the loop was made, in its own time."""
        return self._virtual_now

    def select(self, timeout: float | None) -> Sequence[Any]:
        """Jump instead of waiting.

        A turn of the loop takes a moment even when nothing is waited for, as on any machine: where a sum is rounded
        down to just before a deadline, time would otherwise stand still for ever.
        """
        if timeout is None:
            raise StuckError("nothing is scheduled: every task waits for ever")
        self._virtual_now += max(timeout, TURN_S)
        return ()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """Run the call here and now: a thread would bring chance that no seed decides."""
        future: asyncio.Future[_T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whatever the call raised belongs to whoever awaits it
            future.set_exception(error)
        return future

    def _process_events(self, event_list: Sequence[Any]) -> None:
        """There are no files or sockets."""

    def _write_to_self(self) -> None:
        """No other thread ever calls in, so there is nobody to wake."""


def run_virtually(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end on a loop of its own; tasks left behind are dropped as a crash drops them."""
    loop = VirtualLoop()
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()
