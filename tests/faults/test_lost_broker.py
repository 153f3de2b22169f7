"""F4, F5: the broker is killed, stopped and frozen under a working evaluator."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from deploy.local.kafka import LocalKafka
from tests.faults.process import Evaluator
from tests.faults.workspace import Workspace

pytestmark = pytest.mark.broker


@pytest.mark.timeout(200)
async def test_work_goes_on_after_the_broker_was_killed(own_broker: LocalKafka, tmp_path: Path) -> None:
    workspace = Workspace(own_broker.bootstrap, "f4-", seed=4)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one", static_member="one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        async with evaluator.kept_running():
            load = asyncio.create_task(workspace.load(1_500, rate_per_s=150))
            await asyncio.sleep(2)
            os.kill(own_broker.child.pid, signal.SIGKILL)
            await asyncio.to_thread(own_broker.stop)
            await asyncio.to_thread(own_broker.start)
            up = time.monotonic()
            await load
            await workspace.settled(timeout_s=60)
            assert time.monotonic() - up < 90
        assert await evaluator.stop() == 0
    assert not await workspace.violations()


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
            await load
            await workspace.settled(timeout_s=60)
        assert await evaluator.stop() == 0
    assert not await workspace.violations()
