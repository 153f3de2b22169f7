"""`tidegate bench` waits for late changes as long as some come, and no longer, and ends when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import cast

import pytest

from tests.simulation.virtual_loop import run_virtually
from tidegate.cli import bench
from tidegate.cli.bench import Load
from tidegate.client import Tidegate


async def come(load: Load, writes: int, every_s: float) -> None:
    """Changes as a slow system tells them; then nothing more."""
    for number in range(writes):
        await asyncio.sleep(every_s)
        load.changed[number] = 0.0
        if len(load.changed) == len(load.due):
            load.whole.set()
    await asyncio.Event().wait()


def last_changes(load: Load, writes: int, every_s: float) -> None:
    """Wait for them in a time of its own, which no busy machine makes late."""

    async def wait() -> None:
        await bench._last_changes(asyncio.create_task(come(load, writes, every_s)), load)

    run_virtually(wait())


def test_late_changes_are_waited_for_as_long_as_some_come() -> None:
    load = Load(due=dict.fromkeys(range(20), 0.0))
    last_changes(load, writes=20, every_s=bench.SILENCE_S - 1)
    assert len(load.changed) == 20


def test_a_system_that_falls_silent_is_not_waited_for() -> None:
    load = Load(due=dict.fromkeys(range(20), 0.0))
    last_changes(load, writes=3, every_s=1)
    assert len(load.changed) == 3


def test_a_write_is_timed_from_its_planned_instant_to_its_answer_and_to_its_change() -> None:
    load = Load(due={0: 1.0, 1: 2.0}, answered={0: 1.25, 1: 2.25}, changed={0: 1.5, 1: 2.5})
    told = bench._summary(load, 1, 2, 2.0)
    assert told["accepted_ms"]["p50"] == told["accepted_ms"]["max"] == 250.0
    assert told["changed_ms"]["p50"] == told["changed_ms"]["max"] == 500.0


async def test_a_load_that_is_interrupted_leaves_nothing_and_ends_as_interrupted() -> None:
    removed: list[str] = []
    is_writing = asyncio.Event()

    class Silent:
        """A system that takes everything and tells nothing."""

        async def create_segment(self, _: object) -> SimpleNamespace:
            return SimpleNamespace(etag='"1"')

        async def segment(self, _: str) -> SimpleNamespace:
            return SimpleNamespace(members=0, model_extra={})

        async def set_contact(self, *_: object) -> None:
            is_writing.set()

        async def delete_segment(self, name: str, *, etag: str) -> None:
            removed.append(name)

        async def delete_contact(self, name: str) -> None:
            removed.append(name)

        async def events(self, *, segment_id: str) -> AsyncGenerator[SimpleNamespace]:
            yield SimpleNamespace(name="hello", data={})
            await asyncio.Event().wait()

    running = asyncio.create_task(bench._measured(cast("Tidegate", Silent()), 100, 60))
    await is_writing.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert removed[0].startswith("bench-")
    assert len(removed) > 1
