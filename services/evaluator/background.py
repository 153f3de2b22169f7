"""Whose background work is next: of all workers of a process one at a time, until what it did is committed.

Background work fills transactions, and while a worker commits, its live records wait. If all partitions did theirs at
once, all of them would commit at once, each in a multiple of the time that one takes alone. Rule: one worker holds the
turn, does a slice between two looks at its live records, and passes the turn on when it has committed or has nothing
left to do; after a while it loses it. Who is refused does not ask again and again: it is woken. The turn is offered to
those that wait before it is taken by others, but not kept for one that does not come, as in the middle of a commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

HELD_S_MAX = 0.06
"""Behind a backlog a transaction is open for seconds, and a broker may keep one waiting: others have deadlines too."""

OFFERED_S = 0.005
"""So long a free turn is kept for those that were woken for it, once somebody else asks."""


class BackgroundTurns:
    """One worker at a time, in the order of asking. Shared by the workers of a process."""

    def __init__(self) -> None:
        self._holder: object | None = None
        self._end: asyncio.TimerHandle | None = None
        self._offer: asyncio.TimerHandle | None = None
        self._line: dict[object, Callable[[], None]] = {}  # how to wake who was refused, the longest waiting first

    def take(self, worker: object, wake: Callable[[], None]) -> bool:
        """Whether `worker`, who has background work, may do a slice of it now; if not, `wake` is called when it may."""
        if self._holder is worker:
            return True
        if self._holder is not None or (self._line and worker not in self._line):
            self._line.setdefault(worker, wake)
            if self._holder is None and self._offer is None:
                self._offer = asyncio.get_running_loop().call_later(OFFERED_S, self._offered)
            return False
        self._line.pop(worker, None)
        self._holder = worker
        self._end = asyncio.get_running_loop().call_later(HELD_S_MAX, self.pass_on, worker)
        return True

    def held_by(self, worker: object) -> bool:
        """Whether it is the turn of `worker`."""
        return self._holder is worker

    def pass_on(self, worker: object) -> None:
        """If it is the turn of `worker`, somebody else has it next."""
        if self._holder is not worker:
            return
        self._holder = None
        if self._end is not None:
            self._end.cancel()
        self._wake()

    def leave(self, worker: object) -> None:
        """`worker` wants no turn, for now or for ever."""
        was_waiting = self._line.pop(worker, None) is not None
        self.pass_on(worker)
        if was_waiting and self._holder is None:
            self._wake()

    def _offered(self) -> None:
        """If nobody has come for the turn, whoever comes first of all who wait has it."""
        self._offer = None
        if self._holder is None:
            self._wake()

    def _wake(self) -> None:
        """Wake all who wait, in order: who is in the middle of a commit then holds nobody up."""
        for wake in self._line.values():
            wake()
