"""What an evaluator says about itself: new things only, unreadable values among them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer

from schemas.evaluator_status import PartitionStatusRecord, SegmentStatusRecord, UnreadableAttribute, decode_status
from schemas.topics import Topic
from segmentation.model import AttributeName, InstantMs
from services.evaluator.partition import Partition
from services.evaluator.restored import restore
from services.evaluator.serving import Serving
from services.evaluator.status import StatusReporter
from services.evaluator.store import RocksStore, StoreMemory
from tests.services.evaluator.inputs import NOW, definition, write


class Producer:
    """Takes note of what is sent."""

    def __init__(self) -> None:
        self.sent: list[PartitionStatusRecord | SegmentStatusRecord] = []

    async def send(self, _topic: str, *, key: bytes, value: bytes, partition: int) -> None:
        """Decode the record, as a reader does."""
        assert key
        assert partition == 0
        self.sent.append(decode_status(value))

    def segments(self) -> list[SegmentStatusRecord]:
        """What was said of segments since the last call."""
        found = [record for record in self.sent if isinstance(record, SegmentStatusRecord)]
        self.sent = []
        return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    store = RocksStore(tmp_path / "0", StoreMemory(cache_bytes=8 << 20, buffers_bytes=4 << 20))
    yield store
    store.close()


def commit(partition: Partition, *records: Any) -> None:
    partition.consume(records)
    while partition.behind_definitions:
        partition.backfill(100)
    partition.take_unsent()
    partition.seal()
    partition.committed({Topic.CONTACTS_CHANGELOG: 1, Topic.CONTROL_CHANGELOG: 1}, InstantMs(NOW))


async def test_unreadable_values_are_told_by_segment_and_attribute_once_something_is_new(store: RocksStore) -> None:
    partition = Partition(0, 1, "contact-changes", store, restore(store))
    serving = Serving()
    serving.started(partition, store)
    reporter = StatusReporter(serving, "http://here", "evaluator-status", {}, lambda _partition: None)
    producer = Producer()
    commit(partition, definition(0, [{"mrr": {"gt": 9}}]), definition(1, [{"plan": "pro"}], "t"))
    commit(partition, write(2, "a", mrr="lots"), write(3, "b", mrr=10))
    while partition.unreadable.is_behind:
        partition.count_unreadable(100)

    async def told() -> dict[str, list[UnreadableAttribute]]:
        await reporter._round(cast("AIOKafkaProducer", producer))
        return {record.segment_id: record.unreadable for record in producer.segments()}

    lots = UnreadableAttribute(attribute=AttributeName("mrr"), reading="number", count=1, sample="lots")
    assert await told() == {"s": [lots], "t": []}
    assert await told() == {}
