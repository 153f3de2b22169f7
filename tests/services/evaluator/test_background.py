"""Background work of all partitions of a process: one worker at a time, in the order of asking."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import groupby

import pytest

from services.evaluator import background
from services.evaluator.background import BackgroundTurns
from tests.waiting import until

WAIT_S = 10.0
NAMES = [f"partition {index}" for index in range(8)]


class Worker:
    """Does `slices` of work, commits after each `transaction` of them, and sleeps while it is not its turn."""

    def __init__(self, name: str, turns: BackgroundTurns, done: list[str], slices: int, transaction: int) -> None:
        self._name, self._turns, self._done = name, turns, done
        self._slices, self._transaction = slices, transaction
        self._wake = asyncio.Event()
        self.asked = 0

    async def run(self) -> None:
        since = 0
        while self._slices:
            self._wake.clear()
            self.asked += 1
            if not self._turns.take(self, self._wake.set):
                await self._wake.wait()
                continue
            self._done.append(self._name)
            self._slices -= 1
            since += 1
            await asyncio.sleep(0)
            if since == self._transaction:
                since = 0
                await asyncio.sleep(0.001)
                self._turns.pass_on(self)
        self._turns.leave(self)


async def _run(slices: int, transaction: int) -> list[str]:
    turns, done = BackgroundTurns(), list[str]()
    await asyncio.gather(*(Worker(name, turns, done, slices, transaction).run() for name in NAMES))
    return done


async def test_one_worker_at_a_time_until_it_has_committed_each_in_its_turn() -> None:
    done = await _run(slices=30, transaction=3)
    runs = [(name, len(list(found))) for name, found in groupby(done)]
    assert Counter(count for _, count in runs) == {3: 10 * len(NAMES)}
    assert [name for name, _ in runs] == NAMES * 10


async def test_a_free_turn_does_not_wait_for_one_that_does_not_come_for_it() -> None:
    turns, woken = BackgroundTurns(), list[str]()
    assert turns.take("first", lambda: woken.append("first"))
    assert not turns.take("committing", lambda: woken.append("committing"))
    turns.pass_on("first")
    assert woken == ["committing"]  # which is busy, and does not ask
    assert not turns.take("first", lambda: woken.append("first"))
    assert not turns.take("third", lambda: woken.append("third"))
    await until(lambda: "third" in woken, WAIT_S, "the others to be woken for the turn that nobody took")
    assert turns.take("third", lambda: woken.append("third"))
    assert not turns.take("committing", lambda: woken.append("committing"))
    turns.leave("third")


async def test_who_does_not_commit_loses_the_turn_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "HELD_S_MAX", 0.001)
    done = await _run(slices=1_000, transaction=10_000)
    runs = [name for name, _ in groupby(done)]
    assert len(runs) > 2 * len(NAMES)
    assert runs[: 2 * len(NAMES)] == NAMES * 2


async def test_who_waits_for_the_broker_holds_nobody_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "HELD_S_MAX", 0.01)
    turns, done = BackgroundTurns(), list[str]()
    assert turns.take("waits for ever", lambda: None)
    async with asyncio.timeout(10):
        await Worker("next", turns, done, slices=3, transaction=1).run()
    turns.pass_on("waits for ever")
    assert done == ["next"] * 3


async def test_a_turn_is_not_ended_by_the_clock_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = BackgroundTurns()
    monkeypatch.setattr(background, "HELD_S_MAX", 0.02)
    assert turns.take("worker", lambda: None)
    turns.pass_on("worker")
    monkeypatch.setattr(background, "HELD_S_MAX", 1_000.0)
    assert turns.take("worker", lambda: None)
    await asyncio.sleep(0.05)
    assert turns.held_by("worker")
    turns.pass_on("worker")


async def test_one_worker_alone_is_never_refused() -> None:
    turns, done = BackgroundTurns(), list[str]()
    alone = Worker("alone", turns, done, slices=100, transaction=7)
    await alone.run()
    assert alone.asked == len(done)


async def test_who_is_refused_asks_again_only_when_it_is_woken() -> None:
    turns, done = BackgroundTurns(), list[str]()
    first = Worker("first", turns, done, slices=20, transaction=10_000)
    second = Worker("second", turns, done, slices=1, transaction=1)
    await asyncio.gather(first.run(), second.run())
    assert second.asked == 2


async def test_who_is_woken_and_busy_with_something_else_holds_nobody_up() -> None:
    turns = BackgroundTurns()
    woken = Counter[str]()
    assert turns.take("first", lambda: woken.update(["first"]))
    assert not turns.take("busy", lambda: woken.update(["busy"]))
    assert not turns.take("next", lambda: woken.update(["next"]))
    turns.pass_on("first")
    assert woken == {"busy": 1, "next": 1}
    assert turns.take("next", lambda: None)
    turns.pass_on("next")
    assert woken["busy"] == 2
    assert not turns.take("next", lambda: None), "who waits longer comes first"
    assert turns.take("busy", lambda: None)


async def test_who_stops_while_others_wait_for_it_wakes_them() -> None:
    turns = BackgroundTurns()
    woken = Counter[str]()
    assert turns.take("holder", lambda: None)
    assert not turns.take("stops", lambda: woken.update(["stops"]))
    assert not turns.take("next", lambda: woken.update(["next"]))
    turns.leave("stops")
    assert woken == {}
    turns.leave("holder")
    assert woken == {"next": 1}
    assert turns.take("next", lambda: None)
