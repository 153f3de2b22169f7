"""A Kafka reader's fetches that end when their reader is closed, whatever they are at.

Rule: closing waits for every fetch and tells of none. The library ends a fetch by a cancellation and lets that
cancellation out of its own `close` when the fetch is resting after an error, as it is while the broker is away: whoever
leaves a consumer would be cancelled in the middle, and the connections stay open. Everything else is the library's.
"""

from __future__ import annotations

import asyncio
import logging

from aiokafka.consumer import consumer, fetcher

log = logging.getLogger("tidegate.kafka")


class Fetcher(fetcher.Fetcher):  # type: ignore[misc]  # the library ships no types
    """The fetches of one consumer."""

    async def close(self) -> None:
        """End every fetch. What one of them failed with is of interest to nobody any more."""
        self._closed = True
        # First the task that starts others, so that none is added behind the look at them.
        await _ended({self._fetch_task})
        if not self._fetch_task.cancelled() and self._fetch_task.exception() is not None:
            log.warning("reading had ended with an error: %r", self._fetch_task.exception())
        for waiting in self._fetch_waiters:
            self._notify(waiting)
        await _ended(self._pending_tasks)


async def _ended(tasks: set[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def use_fetcher() -> None:
    """Make the library fetch by it from now on, unless the program has put one of its own in place."""
    if consumer.Fetcher is Fetcher.__base__:
        consumer.Fetcher = Fetcher
