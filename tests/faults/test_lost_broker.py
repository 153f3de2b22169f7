"""F4, F5: the broker is killed, stopped, away for long and frozen under a working evaluator."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from deploy.local.kafka import LocalKafka
from tests.faults.process import Evaluator
from tests.faults.table import show
from tests.faults.workspace import Workspace

pytestmark = pytest.mark.broker
RESUMES_WITHIN_S = 30.0
CAUGHT_UP_WITHIN_S = 60.0
LONG_S = 45.0
"""Longer than a commit may take: whoever has one in hand ends, and its stop cannot be clean without a broker."""


async def back_at_work(workspace: Workspace, broker: LocalKafka, *, kill: bool, away_s: float = 0.0) -> float:
    """Take the broker away and bring it back; for how many seconds after that no commit came."""
    if kill:
        os.kill(broker.child.pid, signal.SIGKILL)
    await asyncio.to_thread(broker.stop)
    await asyncio.sleep(away_s)
    await asyncio.to_thread(broker.start)
    # Beyond the end of the log: a commit decided before the outage is completed by the broker alone.
    end = sum((await workspace.ends()).values())
    return await workspace.passes(end, RESUMES_WITHIN_S)


@pytest.mark.timeout(200)
async def test_work_goes_on_after_the_broker_was_killed_and_after_it_was_stopped(
    own_broker: LocalKafka, tmp_path: Path
) -> None:
    waits: list[float] = []
    workspace = Workspace(own_broker.bootstrap, "f4-", seed=4, broker_stamps=True)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one", static_member="one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        async with evaluator.kept_running():
            async with workspace.under_load(rate_per_s=100):
                for kill in (True, False):
                    await asyncio.sleep(2)
                    waits.append(await back_at_work(workspace, own_broker, kill=kill))
            await workspace.settled()
        assert await evaluator.stop() == 0
    assert not await workspace.violations()
    show("F4", f"broker killed, then stopped: work goes on {waits[0]:.1f} and {waits[1]:.1f} s after it is up again")


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_an_evaluator_that_gave_up_on_an_absent_broker_is_started_again(
    own_broker: LocalKafka, tmp_path: Path
) -> None:
    workspace = Workspace(own_broker.bootstrap, "f4-long-", seed=44, broker_stamps=True)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one", static_member="one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        async with evaluator.kept_running():
            async with workspace.under_load(rate_per_s=600):
                await asyncio.sleep(2)
                waited = await back_at_work(workspace, own_broker, kill=True, away_s=LONG_S)
            await workspace.settled()
        assert await evaluator.stop() == 0
    assert not await workspace.violations()
    show(
        "F4",
        f"broker away for {LONG_S:.0f} s: work goes on {waited:.1f} s after it is up again, "
        f"{evaluator.restarts} restarts, {len(evaluator.log.splitlines())} lines of log",
    )


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_work_goes_on_after_the_broker_was_frozen_for_thirty_seconds(
    own_broker: LocalKafka, tmp_path: Path
) -> None:
    workspace = Workspace(own_broker.bootstrap, "f5-", seed=5)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one", static_member="one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        async with evaluator.kept_running():
            load = asyncio.create_task(workspace.load(2_000, rate_per_s=200))
            await asyncio.sleep(2)
            os.kill(own_broker.child.pid, signal.SIGSTOP)
            await asyncio.sleep(30)
            os.kill(own_broker.child.pid, signal.SIGCONT)
            thawed = time.monotonic()
            await load
            await workspace.settled(timeout_s=60)
            caught_up = time.monotonic() - thawed
        assert caught_up < CAUGHT_UP_WITHIN_S
        show("F5", f"evaluator, broker frozen for 30 s: caught up {caught_up:.1f} s after it goes on")
        assert await evaluator.stop() == 0
    assert not await workspace.violations()
