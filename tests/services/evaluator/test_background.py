"""Background work of all partitions of a process: one slice in each turn of the event loop, and each in its turn."""

from __future__ import annotations

import asyncio
from collections import Counter

from services.evaluator.background import BackgroundTurns

SLICES = 300


class Turn:
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.number = 0
        self._ended = False

    def next(self) -> None:
        self.number += 1
        if not self._ended:
            asyncio.get_running_loop().call_soon(self.next)

    def end(self) -> None:
        self._ended = True


async def _work(name: str, turns: BackgroundTurns, turn: Turn, done: list[tuple[int, str]], slices: int) -> None:
    while slices:
        if turns.take(name):
            done.append((turn.number, name))
            slices -= 1
        await asyncio.sleep(0)


async def test_no_turn_has_two_slices_and_all_workers_get_as_many() -> None:
    turns, turn, done = BackgroundTurns(), Turn(), list[tuple[int, str]]()
    turn.next()
    names = [f"partition {index}" for index in range(8)]
    await asyncio.gather(*(_work(name, turns, turn, done, SLICES) for name in names))
    turn.end()
    assert max(Counter(number for number, _ in done).values()) == 1
    early = Counter(name for _, name in done[: SLICES * 4])
    assert max(early.values()) - min(early.values()) <= 1
    assert len(done) == SLICES * len(names)


async def test_one_worker_alone_gets_a_slice_in_every_turn() -> None:
    turns, turn, done = BackgroundTurns(), Turn(), list[tuple[int, str]]()
    turn.next()
    await _work("alone", turns, turn, done, SLICES)
    turn.end()
    assert done[-1][0] - done[0][0] <= SLICES


async def test_who_stops_asking_holds_nobody_up() -> None:
    turns, turn, done = BackgroundTurns(), Turn(), list[tuple[int, str]]()
    turn.next()
    leaving = asyncio.create_task(_work("leaves", turns, turn, done, 3))
    commits = asyncio.create_task(_work("commits", turns, turn, done, SLICES))
    await leaving
    began = turn.number
    await commits
    turn.end()
    assert len(done) == SLICES + 3
    assert turn.number - began <= SLICES + 2
