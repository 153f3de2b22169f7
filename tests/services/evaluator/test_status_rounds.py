"""What is said of a partition, its owner first of all, does not wait until everything is said of its segments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from schemas.evaluator_status import PartitionStatusRecord, SegmentStatusRecord
from services.evaluator import status
from services.evaluator.partition import Partition
from services.evaluator.restored import restore
from services.evaluator.serving import Serving
from services.evaluator.store import RocksStore
from services.runtime.errors import ServiceError
from tests.services.evaluator.inputs import definition
from tests.services.evaluator.test_status import Batch, Producer
from tests.waiting import until

WAIT_S = 30.0


class SlowProducer(Producer):
    """Takes what is said of segments only once `released`."""

    def __init__(self, **_client: Any) -> None:
        super().__init__()
        self.released = asyncio.Event()
        self.waiting = False

    async def start(self) -> None:
        """There is nothing to connect to."""

    async def stop(self) -> None:
        """Nor to leave."""

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[None]:
        self.waiting = True
        await self.released.wait()
        return await super().send_batch(batch, topic, partition=partition)

    @property
    def segments_told(self) -> bool:
        """Whether anything was said of a segment."""
        return any(isinstance(each, SegmentStatusRecord) for each in self.sent)

    def contacts_of(self, index: int) -> list[int]:
        """How many contacts a partition was said to have, in turn."""
        found = [each for each in self.sent if isinstance(each, PartitionStatusRecord)]
        return [each.contacts for each in found if each.partition == index]


async def test_partitions_are_told_of_while_it_takes_long_to_tell_of_their_segments(
    open_store: Callable[[str], RocksStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = SlowProducer()
    monkeypatch.setattr(status, "ROUND_S", 0.0)
    monkeypatch.setattr(status, "AIOKafkaProducer", lambda **_client: producer)
    serving, partitions = Serving(), list[Partition]()
    for index in (0, 1):
        store = open_store(str(index))
        partitions.append(Partition(index, 1, "contact-changes", store, restore(store)))
        serving.started(partitions[index], store)
        partitions[index].consume([definition(0, [{"plan": "pro"}])])
    reporter = status.StatusReporter(serving, "http://here", "evaluator-status", {}, lambda _partition: None)
    running = asyncio.create_task(reporter.run())
    await until(lambda: producer.waiting, WAIT_S, "segments to be told of")
    partitions[1].contacts = 7
    await until(lambda: producer.contacts_of(1)[-1:] == [7], WAIT_S, "the second partition to be told of")
    assert not producer.segments_told
    producer.released.set()
    await until(lambda: producer.segments_told, WAIT_S, "the segments to be told of")
    running.cancel()
    await asyncio.wait({running})


async def test_what_ends_the_telling_is_told_as_it_is(
    open_store: Callable[[str], RocksStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process says as its reason is no group of one."""

    async def broken(*_: Any, **__: Any) -> asyncio.Future[None]:
        raise ServiceError("broken")

    producer = SlowProducer()
    monkeypatch.setattr(producer, "send", broken)
    monkeypatch.setattr(status, "ROUND_S", 0.0)
    monkeypatch.setattr(status, "AIOKafkaProducer", lambda **_client: producer)
    serving, store = Serving(), open_store("0")
    serving.started(Partition(0, 1, "contact-changes", store, restore(store)), store)
    reporter = status.StatusReporter(serving, "http://here", "evaluator-status", {}, lambda _partition: None)
    with pytest.raises(ServiceError, match="broken"):
        await reporter.run()
