"""What a leader does while a partition has no leader of its own: ticks go on elsewhere, and leadership can still go."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError

from deploy.local.ports import free_ports
from schemas.codec import SegmentDefined, decode_input
from schemas.topics import Topic
from services.runtime.application import ServiceContext
from services.scheduler import fanout, leader
from services.scheduler.leader import Connection, connected
from services.scheduler.settings import SchedulerSettings
from tests.unit.scheduler.test_fanout import proposal
from tests.waiting import until

PARTITIONS = 2
SEGMENTS = TopicPartition(Topic.SEGMENTS, 0)
WITHIN_S = 30.0


class Record(NamedTuple):
    offset: int
    value: bytes | None


class Broker:
    """Both clients of the scheduler: `segments` as it is read, and partitions, of which some have no leader."""

    def __init__(self) -> None:
        self.proposed: list[Record] = []
        self.position: int | None = None
        self.committed_at: int | None = None
        self.leaderless: set[int] = set()
        self.ticks = Counter[int]()
        self.defined: list[tuple[int, int]] = []
        self.tries = 0
        self._listener: Any = None

    def subscribe(self, _topics: list[str], listener: Any) -> None:
        self._listener = listener

    async def assign(self, *, leads: bool) -> None:
        await self._listener.on_partitions_revoked({SEGMENTS})
        await self._listener.on_partitions_assigned({SEGMENTS} if leads else set())

    async def getmany(self, *_: Any, **__: Any) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0)
        if self.position is None or self.position == len(self.proposed):
            return {}
        self.position += 1
        return {SEGMENTS: [self.proposed[self.position - 1]]}

    async def committed(self, _: TopicPartition) -> int | None:
        return self.committed_at

    async def commit(self, positions: dict[TopicPartition, int]) -> None:
        self.committed_at = positions[SEGMENTS]

    def seek(self, _at: TopicPartition, offset: int) -> None:
        self.position = offset

    async def send_and_wait(
        self, _topic: str, value: bytes, *, partition: int, headers: list[tuple[str, bytes]]
    ) -> None:
        item = decode_input(None, value, headers)
        # Those that take something answer before those that do not.
        await asyncio.sleep(0)
        if partition in self.leaderless:
            self.tries += isinstance(item, SegmentDefined)
            ticks = self.ticks[0]
            await until(lambda: self.ticks[0] > ticks, WITHIN_S, "a tick elsewhere")
            raise KafkaTimeoutError
        if isinstance(item, SegmentDefined):
            self.defined.append((partition, item.definition.version))
        else:
            self.ticks[partition] += 1


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    monkeypatch.setattr(fanout, "RETRY_AFTER_S", 0)
    monkeypatch.setattr(leader, "LOOK_S", 0.01)
    monkeypatch.setattr(leader, "LEAVE_S", 0.1)
    return Broker()


@contextlib.asynccontextmanager
async def leading(broker: Broker, tmp_path: Path) -> AsyncIterator[ServiceContext[SchedulerSettings]]:
    settings = SchedulerSettings(partitions=PARTITIONS, tick_interval_ms=100, data_dir=tmp_path)
    context = ServiceContext("scheduler", settings)
    serving = asyncio.create_task(Connection(context, broker, broker).serve())
    try:
        await asyncio.sleep(0)
        await broker.assign(leads=True)
        yield context
        assert not serving.done()
    finally:
        context.stopping.set()
        await asyncio.wait_for(serving, WITHIN_S)


async def test_ticks_go_on_while_a_definition_waits_for_a_partition(broker: Broker, tmp_path: Path) -> None:
    broker.leaderless = {1}
    async with leading(broker, tmp_path):
        broker.proposed += [Record(0, proposal(0).value), Record(1, proposal(1, version=2).value)]
        await until(lambda: broker.tries >= 3, WITHIN_S, "the definition to be offered again")
        ticks = broker.ticks[0]
        await until(lambda: broker.ticks[0] > ticks + 3, WITHIN_S, "ticks elsewhere")
        assert (broker.defined, broker.committed_at) == ([(0, 1)], None)
        broker.leaderless = set()
        await until(lambda: broker.committed_at == 2, WITHIN_S, "the definitions to be everywhere")
    assert [at for at in broker.defined if at[0] == 0] == [(0, 1), (0, 2)]
    assert [at for at in broker.defined if at[0] == 1] == [(1, 1), (1, 2)]


@pytest.mark.parametrize("stops", [True, False])
async def test_who_leads_no_longer_waits_for_no_partition_and_leaves_the_position(
    broker: Broker, tmp_path: Path, stops: bool
) -> None:
    broker.leaderless = {1}
    async with leading(broker, tmp_path) as context:
        broker.proposed.append(Record(0, proposal(0).value))
        await until(lambda: broker.tries >= 2, WITHIN_S, "the definition to be offered again")
        if not stops:
            await broker.assign(leads=False)
            await until(lambda: "standing by" in context.health.readiness.reason, WITHIN_S, "another leader's turn")
            tries, ticks = broker.tries, broker.ticks[0]
            await asyncio.sleep(0.3)
            assert (broker.tries, broker.ticks[0]) == (tries, ticks)
    assert broker.committed_at is None


async def test_a_try_to_reach_a_broker_that_is_away_leaves_no_client_open(tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    settings = SchedulerSettings(kafka_bootstrap=f"127.0.0.1:{nobody}", data_dir=tmp_path)
    with warnings.catch_warnings(record=True) as left_open:
        warnings.simplefilter("always", ResourceWarning)
        with pytest.raises(KafkaConnectionError):
            async with connected(ServiceContext("scheduler", settings)):
                pass
        gc.collect()
    assert [str(each.message) for each in left_open] == []
