"""The worker at moments that chance seldom meets, each set up by hand on the simulated world."""

from __future__ import annotations

import asyncio
import json
from random import Random

from schemas.topics import Topic
from services.evaluator.partition import Partition
from services.evaluator.ports import OutputRecord
from services.evaluator.recovery import Recovery, recover
from services.evaluator.worker import PartitionWorker
from tests.simulation.broker import SimulatedBroker
from tests.simulation.virtual_loop import run_virtually
from tests.simulation.world import Disk, Process, SimulatedChangelogs, SimulatedLog, SimulatedStore, World

LONG_S = 60.0
START_MS = 1_790_000_000_000


class SlowCommit(SimulatedLog):
    """Says when a commit has begun, and waits to be told to end it."""

    begun: asyncio.Event
    may_end: asyncio.Event

    async def commit(self, offset: int) -> None:
        self.begun.set()
        await self.may_end.wait()
        await super().commit(offset)


async def started(world: World, process: Process, log: SimulatedLog) -> PartitionWorker:
    disk = Disk()
    disk.holder = process
    store = SimulatedStore(process, disk)
    await log.start()
    restored = (await recover([Recovery(0, store)], SimulatedChangelogs(world, process)))[0]
    partition = Partition(0, 1, "contact-changes", store, restored)
    return PartitionWorker(partition, log, monotonic=asyncio.get_running_loop().time)


def write(world: World, contact_id: str) -> None:
    value = json.dumps({"attributes": {"plan": "pro"}}).encode()
    world.broker.produce(Topic.CONTACT_CHANGES, 0, OutputRecord(contact_id.encode(), value), START_MS)


def test_a_stop_during_a_commit_ends_the_worker_when_the_commit_ends() -> None:
    async def scenario() -> None:
        world, process = World(Random(0), SimulatedBroker()), Process("owner")
        log = SlowCommit(world, process, 0)
        log.begun, log.may_end = asyncio.Event(), asyncio.Event()
        worker = await started(world, process, log)
        running = asyncio.ensure_future(worker.run())
        write(world, "ann")
        worker.feed(world.broker.log(Topic.CONTACT_CHANGES, 0).records)
        await asyncio.wait_for(log.begun.wait(), LONG_S)
        worker.stop()
        log.may_end.set()
        await asyncio.wait_for(running, LONG_S)
        assert worker.commits == 1
        assert world.broker.positions == {0: 1}

    run_virtually(scenario())


def test_a_stop_commits_what_is_decided_and_drops_what_is_only_queued() -> None:
    async def scenario() -> None:
        world, process = World(Random(0), SimulatedBroker()), Process("owner")
        worker = await started(world, process, SimulatedLog(world, process, 0))
        for contact_id in ("ann", "bob"):
            write(world, contact_id)
        first, second = world.broker.log(Topic.CONTACT_CHANGES, 0).records
        worker.partition.consume([first])
        worker.feed([second])
        worker.stop()
        await asyncio.wait_for(worker.run(), LONG_S)
        assert world.broker.positions == {0: 1}
        rows = world.broker.log(Topic.CONTACTS_CHANGELOG, 0).committed(0)
        assert [record.key for record in rows] == [b"ann"]

    run_virtually(scenario())
