"""F7, F8: members come and go, and are restarted one after another."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.faults.process import Evaluator
from tests.faults.progress import watched
from tests.faults.table import show
from tests.faults.workspace import Workspace

pytestmark = [pytest.mark.broker, pytest.mark.faults]
STORM_S = 300.0
TURN_S = 5.0
"""A member joins or leaves this often, or as soon as it can."""
WINDOW_S = 10.0
RECORDS_PER_WINDOW_MIN = 100
PAUSE_MAX_S = 10.0


@pytest.mark.timeout(900)
async def test_a_second_member_that_joins_and_leaves_again_and_again_changes_nothing(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=7)
    await workspace.create()
    turns = 0
    with Evaluator(workspace, tmp_path / "one") as one, Evaluator(workspace, tmp_path / "two") as two:
        one.start()
        await one.ready()
        async with workspace.under_load(rate_per_s=60):
            await workspace.passes(0, WINDOW_S)
            began = time.monotonic()
            async with watched(workspace) as progress:
                while time.monotonic() < began + STORM_S:
                    turn_ends = time.monotonic() + TURN_S
                    if turns % 2 == 0:
                        two.start()
                        await two.ready()
                    else:
                        assert await two.stop() == 0
                    turns += 1
                    await asyncio.sleep(max(0.0, turn_ends - time.monotonic()))
        if two.running:
            assert await two.stop() == 0
        await workspace.settled()
        assert await one.stop() == 0
    fewest = progress.fewest_in(WINDOW_S)
    show("F7", f"{turns} joins and leaves in {STORM_S:.0f} s: never fewer than {fewest} records in {WINDOW_S:.0f} s")
    assert fewest >= RECORDS_PER_WINDOW_MIN
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
        async with workspace.under_load(rate_per_s=100):
            await workspace.passes(0, WINDOW_S)
            async with watched(workspace) as progress:
                for member in (one, two, one, two):
                    await asyncio.sleep(1)
                    assert await member.stop() == 0
                    member.start()
                    await member.ready()
                await asyncio.sleep(2)
        await workspace.settled()
        for member in (one, two):
            assert await member.stop() == 0
    longest = max(progress.longest_pause_s(partition) for partition in range(workspace.partitions))
    show("F8", f"two static members restarted twice each: no partition paused longer than {longest:.1f} s")
    assert longest < PAUSE_MAX_S
    assert not await workspace.violations()
