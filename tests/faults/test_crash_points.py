"""F3: the evaluator dies at each named point of the write protocol, with and without its disk."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.faults.crashing_evaluator import CRASHED, PASSES_VARIABLE, POINT_VARIABLE, POINTS
from tests.faults.process import Evaluator
from tests.faults.workspace import Workspace

pytestmark = [pytest.mark.broker, pytest.mark.faults, pytest.mark.timeout(900)]
ROUNDS = 2


async def load_until(workspace: Workspace, done: asyncio.Event) -> None:
    while not done.is_set():
        await workspace.load(50, rate_per_s=50)


async def test_a_crash_at_every_point_of_the_protocol_changes_nothing(
    broker: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=33)
    await workspace.create()
    done = asyncio.Event()
    load = asyncio.create_task(load_until(workspace, done))
    crashes = 0
    for round_ in range(ROUNDS):
        for number, point in enumerate(POINTS):
            monkeypatch.setitem(os.environ, POINT_VARIABLE, point)
            monkeypatch.setitem(os.environ, PASSES_VARIABLE, str(workspace.rng.randint(1, 12)))
            with Evaluator(
                workspace, tmp_path / "one", module="tests.faults.crashing_evaluator", static_member="one"
            ) as evaluator:
                evaluator.start()
                assert await evaluator.ended(120) == CRASHED, f"{point}:\n{evaluator.log[-3000:]}"
                crashes += 1
            if (round_ + number) % 2:
                shutil.rmtree(tmp_path / "one" / "evaluator")
    assert crashes == ROUNDS * len(POINTS)
    with Evaluator(workspace, tmp_path / "one", static_member="one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        done.set()
        await load
        await workspace.settled()
        assert await evaluator.stop() == 0
    assert not await workspace.violations()
