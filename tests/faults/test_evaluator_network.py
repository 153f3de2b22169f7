"""F6: a slow, a resetting and a silent network between the evaluator and its broker.

Rule: the evaluator reaches the broker only through the network that is harmed; its inputs are written beside it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from deploy.local.kafka import LocalKafka
from deploy.local.ports import LOOPBACK
from services.evaluator.pace import Pace
from services.evaluator.transport import FETCH_RECORDS_MAX
from tests.beside import beside
from tests.faults.network import Network
from tests.faults.process import Evaluator
from tests.faults.table import show
from tests.faults.workspace import Workspace

pytestmark = [pytest.mark.broker, pytest.mark.faults, pytest.mark.timeout(240)]
HARMED_S = 15.0
RESUMES_WITHIN_S = 60.0
RESIDENT_GROWTH_MAX = 100 * 1024 * 1024
_QUEUED = re.compile(r"^tidegate_evaluator_queued_records\{.*\} (\S+)$", re.MULTILINE)


@dataclass
class Seen:
    """The most that the evaluator held at once."""

    queued_max: float = 0.0
    resident_min: int = 0
    resident_max: int = 0

    async def watch(self, evaluator: Evaluator) -> None:
        """Look for ever. A process that has just ended shows nothing."""
        while True:
            shown = await evaluator.told("/metrics")
            if shown is not None and evaluator.running:
                self.queued_max = max([self.queued_max, *map(float, _QUEUED.findall(shown))])
                try:
                    resident = evaluator.resident_bytes
                except psutil.NoSuchProcess:
                    continue
                self.resident_min = min(self.resident_min or resident, resident)
                self.resident_max = max(self.resident_max, resident)
            await asyncio.sleep(0.2)


@asynccontextmanager
async def watched(evaluator: Evaluator) -> AsyncIterator[Seen]:
    """What the evaluator holds, from now to the end of the block."""
    seen = Seen()
    async with beside(seen.watch(evaluator)):
        yield seen


def slow(network: Network) -> None:
    network.delay_s = 0.2


def resetting(network: Network) -> None:
    network.life_s = 0.5


def silent(network: Network) -> None:
    network.swallow()


@pytest.mark.parametrize("harm", [slow, resetting, silent])
async def test_a_bad_network_delays_changes_and_neither_loses_nor_piles_up(
    far_broker: LocalKafka, ports: tuple[int, int], topic_prefix: str, tmp_path: Path, harm: Callable[[Network], None]
) -> None:
    workspace = Workspace(far_broker.bootstrap, topic_prefix, seed=6)
    await workspace.create()
    entrance = f"{LOOPBACK}:{ports[0]}"
    with Evaluator(workspace, tmp_path / "one", static_member="one", kafka_bootstrap=entrance) as evaluator:
        async with Network(*ports) as network:
            evaluator.start()
            await evaluator.ready()
            async with evaluator.kept_running(), watched(evaluator) as seen:
                async with workspace.under_load(rate_per_s=200):
                    await workspace.passes(0, RESUMES_WITHIN_S)
                    harm(network)
                    await asyncio.sleep(HARMED_S)
                    network.heal()
                    again = await workspace.passes(await workspace.position(), RESUMES_WITHIN_S)
                await workspace.settled()
            assert await evaluator.stop() == 0
    assert seen.queued_max <= Pace().queue_records_max + FETCH_RECORDS_MAX
    growth = seen.resident_max - seen.resident_min
    assert growth < RESIDENT_GROWTH_MAX
    assert not await workspace.violations()
    show(
        "F6",
        f"evaluator, {harm.__name__} network for {HARMED_S:.0f} s: work goes on after {again:.1f} s, at most "
        f"{seen.queued_max:.0f} records queued, memory +{growth / 2**20:.0f} MiB, {evaluator.restarts} restarts",
    )
