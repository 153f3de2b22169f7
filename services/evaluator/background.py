"""Whose slice of background work is next: of all workers of a process, one slice in each turn of the event loop.

Between two turns the loop reads its sockets. If every partition took its slice in each turn, live records would wait
for all of them, again at each step of their way. Rule: a worker that is refused only waits; nobody is passed over twice
by the same worker, and nobody who does not ask holds the others up for more than a turn.
"""

from __future__ import annotations

import asyncio


class BackgroundTurns:
    """One slice a turn, in the order of asking. Shared by the workers of a process."""

    def __init__(self) -> None:
        self._asked: dict[object, None] = {}  # in this turn of the loop, in order
        self._line: list[object] = []  # refused before, the longest waiting first
        self._taker: object | None = None

    def take(self, worker: object) -> bool:
        """Whether `worker`, who has background work, may do a slice of it now; if not, let it ask in the next turn."""
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._asked[worker] = None
        if self._taker is not None or (self._line and self._line[0] is not worker):
            return False
        self._taker = worker
        return True

    def _next_turn(self) -> None:
        refused = [worker for worker in self._asked if worker is not self._taker]
        waiting = [worker for worker in self._line if worker in self._asked and worker is not self._taker]
        self._line = [*waiting, *(worker for worker in refused if worker not in waiting)]
        self._asked = {}
        self._taker = None
