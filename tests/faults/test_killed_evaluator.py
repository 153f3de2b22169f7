"""F1, F2, F9, F22: the evaluator is killed, killed while it recovers, frozen and outlived, and stopped."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from pathlib import Path
from statistics import median

import pytest

from tests.faults.crashing_evaluator import CRASHED, PASSES_VARIABLE, POINT_VARIABLE, RECOVERING
from tests.faults.process import Evaluator
from tests.faults.table import show
from tests.faults.workspace import Workspace

pytestmark = pytest.mark.broker
PROGRESS_WITHIN_S = 60.0
"""From each `kill -9` to the first position that is committed after it: some four; fifteen on a busy machine."""
RECOVERING_WITHIN_S = 60.0
SHORT_SESSION_MS = 6_000
"""The broker's own minimum."""
ENDS_OF_A_FROZEN_OWNER = {
    "Fenced": "fenced",
    "fenced": "fenced",
    "InvalidProducerEpoch": "fenced",
    "a commit took": "in doubt of its last commit",
}
"""By what its log says. One that was frozen between a commit and its answer reads that first, and asks no more."""


async def kill_again_and_again(workspace: Workspace, directory: Path, kills: int, rate_per_s: float) -> None:
    """Kill the evaluator under a load that never stops, every other time with its disk."""
    with Evaluator(workspace, directory, static_member="one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        waits: list[float] = []
        async with workspace.under_load(rate_per_s):
            for number in range(kills):
                await asyncio.sleep(workspace.rng.uniform(0.1, 0.8))
                await evaluator.kill()
                killed_at, position = time.monotonic(), await workspace.position()
                if number % 2:
                    shutil.rmtree(directory / "evaluator")
                evaluator.start()
                await workspace.passes(position, PROGRESS_WITHIN_S)
                waits.append(time.monotonic() - killed_at)
        await workspace.settled()
        assert await evaluator.stop() == 0
    show("F1", f"{kills} kills, progress after {median(waits):.1f} s in the middle, {max(waits):.1f} s at most")
    assert max(waits) < PROGRESS_WITHIN_S
    assert not await workspace.violations()


async def test_nothing_is_lost_or_repeated_when_the_evaluator_is_killed_in_mid_batch(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=2, broker_stamps=True)
    await workspace.create()
    await kill_again_and_again(workspace, tmp_path / "one", kills=3, rate_per_s=150)


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_repeated_in_twenty_kills_under_load(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=20)
    await workspace.create()
    await kill_again_and_again(workspace, tmp_path / "one", kills=20, rate_per_s=100)


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_five_kills_during_recovery_change_nothing(
    broker: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=3)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one", static_member="one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        await workspace.load(1_000, rate_per_s=1_000)
        await workspace.settled()
        await evaluator.kill()
        said = evaluator.log
    shutil.rmtree(tmp_path / "one" / "evaluator")
    load = asyncio.create_task(workspace.load(1_000, rate_per_s=500))
    monkeypatch.setenv(POINT_VARIABLE, RECOVERING)
    for number in range(5):
        # An empty store is marked when it is opened, before the first rows come.
        monkeypatch.setenv(PASSES_VARIABLE, str(1 if number else workspace.partitions + 1))
        with Evaluator(
            workspace, tmp_path / "one", "tests.faults.crashing_evaluator", static_member="one"
        ) as evaluator:
            evaluator.start()
            assert await evaluator.ended(RECOVERING_WITHIN_S) == CRASHED, evaluator.log
            assert "partitions recovered" not in evaluator.log[len(said) :]
    with Evaluator(workspace, tmp_path / "one", static_member="one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        await load
        await workspace.settled()
        assert await evaluator.stop() == 0
    assert not await workspace.violations()


async def test_a_frozen_owner_that_wakes_up_is_fenced_and_changes_nothing(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=9, broker_stamps=True)
    await workspace.create()
    session = {"session_timeout_ms": str(SHORT_SESSION_MS)}
    with (
        Evaluator(workspace, tmp_path / "first", **session) as first,
        Evaluator(workspace, tmp_path / "second", **session) as second,
    ):
        first.start()
        await first.ready()
        load = asyncio.create_task(workspace.load(3_500, rate_per_s=150))
        await asyncio.sleep(2)
        first.signal(signal.SIGSTOP)
        second.start()
        await second.ready(timeout_s=60)
        await asyncio.sleep(2 * SHORT_SESSION_MS / 1_000)
        first.signal(signal.SIGCONT)
        woke = time.monotonic()
        assert await first.ended() == 1
        how = next((how for sign, how in ENDS_OF_A_FROZEN_OWNER.items() if sign in first.log), None)
        assert how is not None, first.log
        show("F9", f"frozen for two session time-outs, outlived: {how} and ended {time.monotonic() - woke:.1f} s later")
        await load
        await workspace.settled()
        assert await second.stop() == 0
    assert not await workspace.stale_rows()
    assert not await workspace.violations()


async def test_a_stop_with_work_in_flight_is_clean_and_replays_nothing(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=22)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        load = asyncio.create_task(workspace.load(1_500, rate_per_s=500))
        await asyncio.sleep(1.5)
        assert await evaluator.stop() == 0
        evaluator.start()
        await evaluator.ready()
        await load
        await workspace.settled()
        assert await evaluator.stop() == 0
    assert await workspace.published() == await workspace.published("read_uncommitted")
    assert not await workspace.violations()
