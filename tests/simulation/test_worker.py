"""The worker at moments that chance seldom meets, each set up by hand on the simulated world."""

from __future__ import annotations

import asyncio
import json
from random import Random

import pytest

from schemas.events import SEGMENT_DEFINED_HEADERS
from schemas.topics import Topic
from segmentation.model import ContactId
from services.evaluator import history, rows
from services.evaluator.partition import Partition
from services.evaluator.ports import LogError, OutputRecord
from services.evaluator.quarantine import is_outdated
from services.evaluator.recovery import Recovery, recover
from services.evaluator.worker import PartitionWorker
from tests.services.evaluator.changelogs import AllDecided
from tests.simulation.broker import SimulatedBroker
from tests.simulation.virtual_loop import run_virtually
from tests.simulation.world import Disk, Process, SimulatedChangelogs, SimulatedLog, SimulatedStore, World

LONG_S = 60.0
DAY_MS = 86_400_000
START_MS = 1_790_000_000_000


class SlowCommit(SimulatedLog):
    """Says when a commit has begun, and waits to be told to end it."""

    begun: asyncio.Event
    may_end: asyncio.Event

    async def commit(self, offset: int, *, tell_group: bool) -> None:
        self.begun.set()
        await self.may_end.wait()
        await super().commit(offset, tell_group=tell_group)


def a_world() -> World:
    world = World(Random(0), SimulatedBroker())
    world.now_ms = START_MS
    return world


async def started(world: World, process: Process, log: SimulatedLog, disk: Disk | None = None) -> PartitionWorker:
    disk = disk if disk is not None else Disk()
    disk.holder = None  # whoever had it is gone
    store = SimulatedStore(process, disk)
    await log.start()
    if is_outdated(store, world.wall_ms()):
        disk.wipe()
    restored = (await recover([Recovery(0, store, AllDecided())], SimulatedChangelogs(world, process)))[0]
    partition = Partition(0, 1, "contact-changes", store, restored)
    return PartitionWorker(partition, log, monotonic=asyncio.get_running_loop().time, now_ms=world.wall_ms)


async def work_off(world: World, disk: Disk) -> None:
    """Own the partition for as long as it takes to evaluate what is in its log."""
    process = Process("owner")
    worker = await started(world, process, SimulatedLog(world, process, 0), disk)
    waiting = world.broker.log(Topic.CONTACT_CHANGES, 0).records[worker.partition.next_offset :]
    worker.feed(waiting)
    running = asyncio.ensure_future(worker.run())
    await asyncio.sleep(LONG_S)  # of the virtual loop: it costs nothing
    worker.stop()
    await asyncio.wait_for(running, LONG_S)


def write(world: World, contact_id: str) -> None:
    append(world, contact_id, {"plan": "pro"})


def append(world: World, contact_id: str, attributes: dict[str, str] | None) -> None:
    value = None if attributes is None else json.dumps({"attributes": attributes}).encode()
    world.broker.produce(Topic.CONTACT_CHANGES, 0, OutputRecord(contact_id.encode(), value), world.now_ms)


def define(world: World, segment_id: str, where: object) -> None:
    body = {"segment_id": segment_id, "version": 1, "replaces": 0, "state": "active", "name": "all", "text": "all"}
    value = json.dumps({**body, "where": where}).encode()
    record = OutputRecord(None, value, tuple(SEGMENT_DEFINED_HEADERS))
    world.broker.produce(Topic.CONTACT_CHANGES, 0, record, world.now_ms)


def as_store(disk: Disk) -> SimulatedStore:
    disk.holder = None
    return SimulatedStore(Process("somebody who looks"), disk)


def test_a_stop_during_a_commit_ends_the_worker_when_the_commit_ends() -> None:
    async def scenario() -> None:
        world, process = a_world(), Process("owner")
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


def test_a_worker_ends_after_a_commit_that_took_so_long_that_it_may_lack_markers_and_sends_nothing_more() -> None:
    class Sluggish(SimulatedLog):
        async def commit(self, offset: int, *, tell_group: bool) -> None:
            await super().commit(offset, tell_group=tell_group)
            await asyncio.sleep(11.0)

    async def scenario() -> None:
        world, process, disk = a_world(), Process("owner"), Disk()
        worker = await started(world, process, Sluggish(world, process, 0), disk)
        write(world, "ann")
        worker.feed(world.broker.log(Topic.CONTACT_CHANGES, 0).records)
        with pytest.raises(LogError, match="took 11"):
            await asyncio.wait_for(worker.run(), LONG_S)
        assert rows.contact_key(ContactId("ann")) in disk.rows
        assert not world.broker.is_open("evaluator-0")

    run_virtually(scenario())


def test_a_stop_commits_what_is_decided_and_drops_what_is_only_queued() -> None:
    async def scenario() -> None:
        world, process = a_world(), Process("owner")
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


def test_an_erased_contact_does_not_come_back_from_a_disk_that_was_away_when_its_tombstone_went() -> None:
    async def scenario() -> None:
        world, away, present = a_world(), Disk(), Disk()
        append(world, "ann", {"plan": "pro"})
        await work_off(world, away)
        assert rows.contact_key(ContactId("ann")) in away.rows
        append(world, "ann", None)
        await work_off(world, present)
        world.now_ms += 2 * DAY_MS
        append(world, "bob", {"plan": "pro"})
        await work_off(world, present)
        for topic in (Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG):
            log = world.broker.log(topic, 0)
            log.compact(log.last_stable, world.now_ms - DAY_MS)
        await work_off(world, away)
        assert [key for key in away.rows if key.startswith(rows.CONTACTS_START)] == [rows.contact_key(ContactId("bob"))]

    run_virtually(scenario())


def test_an_erased_contact_does_not_come_back_where_only_the_brokers_clock_says_that_the_disk_was_long_away() -> None:
    async def scenario() -> None:
        world, away, present = a_world(), Disk(), Disk()
        append(world, "ann", {"plan": "pro"})
        await work_off(world, away)
        append(world, "ann", None)
        append(world, "bob", {"plan": "pro"})
        await work_off(world, present)
        for topic in (Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG):
            log = world.broker.log(topic, 0)
            log.compact(log.last_stable, world.now_ms + DAY_MS)  # so the broker jumped ahead, and its machines did not
        await work_off(world, away)
        assert [key for key in away.rows if key.startswith(rows.CONTACTS_START)] == [rows.contact_key(ContactId("bob"))]

    run_virtually(scenario())


def test_a_contact_that_came_back_has_no_history_of_its_former_life_on_a_disk_that_missed_its_erasure() -> None:
    async def scenario() -> None:
        world, away, present = a_world(), Disk(), Disk()
        define(world, "pros", [{"plan": "pro"}])
        append(world, "ann", {"plan": "pro"})
        await work_off(world, away)
        for attributes in (None, {"plan": "pro", "name": "another"}):
            append(world, "ann", attributes)
        await work_off(world, present)  # one transaction: no tombstone of hers ever stood on the changelog
        await work_off(world, away)
        kept = [history.decode_change(row).change for key, row in away.rows.items() if key.startswith(b"hpros|")]
        kept += [each.change for each in history.kept_of_contact(as_store(away), ContactId("ann"))]
        assert [change.version.offset for change in kept if change.version.offset < 2] == []

    run_virtually(scenario())
