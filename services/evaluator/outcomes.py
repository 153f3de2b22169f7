"""What became of recent inputs, for those who wait for them: an offset, and once it is committed, its changes.

Rule: in memory only, bounded in number and in time, since nobody can ask later than the longest wait; an offset that is
no longer remembered is answered with "unknown", never with "no change".
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from segmentation.model import DEADLINE_OFFSET, Change
from services.runtime import clock

REMEMBERED_CHANGES_MAX = 20_000
"""Per partition; some hundred bytes each."""
REMEMBERED_S = 45.0
"""Longer than the longest wait, so that the first of many inputs is still known when the last is committed."""
PIECE_CHANGES = 256
"""A commit is remembered in pieces of so many, so that forgetting a few changes does not copy the rest of thousands."""
WAITERS_MAX = 10_000
"""Per partition; beyond it a wait is refused at once."""


class _Piece(NamedTuple):
    """Changes of one commit, remembered at an instant; the inputs that caused some are within `first` to `last`."""

    at: float
    changes: Sequence[Change]
    first: int
    last: int

    @classmethod
    def of(cls, at: float, changes: Sequence[Change]) -> _Piece:
        """A change that time caused has no input: counted in, it would have every request look at every piece."""
        offsets = [offset for change in changes if (offset := change.version.offset) != DEADLINE_OFFSET]
        return cls(at, changes, min(offsets, default=0), max(offsets, default=DEADLINE_OFFSET))


@dataclass(frozen=True, slots=True)
class Outcome:
    """An input at an offset: committed or not yet; `changes` is None when it is too long ago to say."""

    offset: int
    committed: bool
    changes: Sequence[Change] | None


class TooManyWaitersError(Exception):
    """The waiting list is full; ask again later."""


class Outcomes:
    """The outcomes of one partition from `since`, the offset at which its owner started."""

    def __init__(self, since: int, monotonic: Callable[[], float] = clock.monotonic) -> None:
        self._known_from = since
        self._next_offset = since
        self._monotonic = monotonic
        self._pieces: deque[_Piece] = deque()
        self._remembered = 0
        self._waiters: dict[asyncio.Future[None], int] = {}
        self._closed = False

    def committed(self, next_offset: int, changes: Sequence[Change]) -> None:
        """Take note of a commit."""
        now = self._monotonic()
        starts = range(0, len(changes), PIECE_CHANGES)
        self._pieces.extend(_Piece.of(now, changes[start : start + PIECE_CHANGES]) for start in starts)
        self._remembered += len(changes)
        while self._remembered > REMEMBERED_CHANGES_MAX or (self._pieces and self._pieces[0].at < now - REMEMBERED_S):
            self._forget(self._remembered - REMEMBERED_CHANGES_MAX)
        self.passed(next_offset)

    def _forget(self, excess: int) -> None:
        """Forget the oldest piece; of one that alone holds more than the `excess` over the limit, only so many."""
        at, changes, _, _ = self._pieces.popleft()
        if 0 < excess < len(changes):
            self._pieces.appendleft(_Piece.of(at, changes[excess:]))
            changes = changes[:excess]
        self._remembered -= len(changes)
        self._known_from = max(self._known_from, max(change.version.offset for change in changes) + 1)

    def passed(self, next_offset: int) -> None:
        """Every input before `next_offset` is committed or left nothing to commit: wake those who waited."""
        self._next_offset = max(self._next_offset, next_offset)
        if self._waiters:
            for waiter in [waiter for waiter, offset in self._waiters.items() if offset < next_offset]:
                del self._waiters[waiter]
                if not waiter.done():
                    waiter.set_result(None)

    async def wait_for(self, offset: int, timeout_s: float) -> None:
        """Return when the input at `offset` is committed, the time is up, or nothing more will be committed here."""
        if self._closed or offset < self._next_offset:
            return
        if len(self._waiters) >= WAITERS_MAX:
            raise TooManyWaitersError
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = offset
        try:
            await asyncio.wait({waiter}, timeout=timeout_s)
        finally:
            self._waiters.pop(waiter, None)

    def close(self) -> None:
        """The partition was given up: wake all who wait, so that they ask its next owner."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def outcomes(self, offsets: Sequence[int]) -> list[Outcome]:
        """The outcome of each offset, in the order given.

        Cost: the changes of those pieces within which an offset lies, since most commits hold no wanted input.
        """
        wanted: dict[int, list[Change]] = {offset: [] for offset in offsets}
        ordered = sorted(wanted)
        for piece in self._pieces:
            place = bisect_left(ordered, piece.first)
            if place == len(ordered) or ordered[place] > piece.last:
                continue
            for change in piece.changes:
                if change.version.offset in wanted:
                    wanted[change.version.offset].append(change)
        return [
            Outcome(
                offset,
                committed=offset < self._next_offset,
                changes=wanted[offset] if self._known_from <= offset < self._next_offset else None,
            )
            for offset in offsets
        ]
