"""`tidegate bench` waits for late changes as long as some come, and no longer."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.cli import bench
from tidegate.cli.bench import Load


async def come(load: Load, writes: int, every_s: float) -> None:
    """Changes as a slow system tells them; then nothing more."""
    for number in range(writes):
        await asyncio.sleep(every_s)
        load.changed[number] = 0.0
        if len(load.changed) == len(load.due):
            load.whole.set()
    await asyncio.Event().wait()


async def test_late_changes_are_waited_for_as_long_as_some_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SILENCE_S", 0.5)
    load = Load(due=dict.fromkeys(range(20), 0.0))
    await bench._last_changes(asyncio.create_task(come(load, writes=20, every_s=0.05)), load)
    assert len(load.changed) == 20


async def test_a_system_that_falls_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SILENCE_S", 0.2)
    load = Load(due=dict.fromkeys(range(20), 0.0))
    async with asyncio.timeout(30):
        await bench._last_changes(asyncio.create_task(come(load, writes=3, every_s=0.01)), load)
    assert len(load.changed) == 3
