"""F1: the evaluator is killed in the middle of its work, again and again."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.faults.process import Evaluator
from tests.faults.workspace import Workspace

pytestmark = pytest.mark.broker


async def test_nothing_is_lost_or_repeated_without_faults(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    workspace = Workspace(broker, topic_prefix)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        await workspace.load(2_000, rate_per_s=1_000)
        await workspace.settled()
        assert await evaluator.stop() == 0
    assert not await workspace.violations()


async def test_nothing_is_lost_or_repeated_when_the_evaluator_is_killed_in_mid_batch(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=2)
    await workspace.create()
    kills = 4
    with Evaluator(workspace, tmp_path / "one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        load = asyncio.create_task(workspace.load(3_000, rate_per_s=500))
        for number in range(kills):
            await asyncio.sleep(workspace.rng.uniform(0.2, 1.0))
            await evaluator.kill()
            if number % 2:
                shutil.rmtree(tmp_path / "one" / "evaluator")
            evaluator.start()
            assert await evaluator.ready() < 15
        await load
        await workspace.settled()
        assert await evaluator.stop() == 0
    assert not await workspace.violations()
