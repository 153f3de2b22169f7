"""F7, F8: members come and go, and are restarted one after another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.process import Evaluator
from tests.faults.workspace import Workspace

pytestmark = [pytest.mark.broker, pytest.mark.faults]


@pytest.mark.timeout(400)
async def test_a_second_member_that_joins_and_leaves_again_and_again_changes_nothing(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=7)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one") as one, Evaluator(workspace, tmp_path / "two") as two:
        one.start()
        await one.ready()
        load = asyncio.create_task(workspace.load(6_000, rate_per_s=100))
        for _ in range(6):
            two.start()
            await two.ready()
            await asyncio.sleep(2)
            assert await two.stop() == 0
        await load
        await workspace.settled()
        assert await one.stop() == 0
    assert not await workspace.violations()


@pytest.mark.timeout(400)
async def test_static_members_restarted_one_after_another_change_nothing(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=8)
    await workspace.create()
    with (
        Evaluator(workspace, tmp_path / "one", static_member="one") as one,
        Evaluator(workspace, tmp_path / "two", static_member="two") as two,
    ):
        for member in (one, two):
            member.start()
        for member in (one, two):
            await member.ready()
        load = asyncio.create_task(workspace.load(3_000, rate_per_s=150))
        for member in (one, two, one, two):
            await asyncio.sleep(1)
            assert await member.stop() == 0
            member.start()
            await member.ready()
        await load
        await workspace.settled()
        for member in (one, two):
            assert await member.stop() == 0
    assert not await workspace.violations()
