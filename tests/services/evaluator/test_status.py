"""What an evaluator says about itself: new things only, unreadable values among them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError

from schemas.evaluator_status import (
    PartitionState,
    PartitionStatusRecord,
    SegmentStatusRecord,
    UnreadableAttribute,
    decode_status,
)
from schemas.topics import Topic
from segmentation.model import AttributeName, ContactId, InstantMs
from services.evaluator.failures import Held
from services.evaluator.partition import Partition
from services.evaluator.restored import restore
from services.evaluator.serving import Serving
from services.evaluator.status import SLICE_SEGMENTS, StatusReporter
from services.evaluator.store import RocksStore, StoreMemory
from services.evaluator.worker import Committed
from services.runtime import clock
from services.runtime.metrics import REGISTRY
from tests.services.evaluator.inputs import NOW, definition, tick, write


class Batch:
    """Room for a few records, so that a round needs several."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []

    def append(self, *, key: bytes, value: bytes | None, timestamp: None) -> object:
        """Take a record, or say that the batch is full."""
        assert key
        assert timestamp is None
        if len(self.records) == 3:
            return None
        self.records.append((key, value))
        return object()

    def record_count(self) -> int:
        return len(self.records)


class Producer:
    """Takes note of what is sent; while `broken`, the broker refuses it after it was handed over.

    While `full`, it takes no batch at all.
    """

    def __init__(self) -> None:
        self.sent: list[PartitionStatusRecord | SegmentStatusRecord] = []
        self.ended: list[bytes] = []
        """Keys that stand for nothing any more."""
        self.broken = False
        self.full = False
        self.meanwhile: Callable[[], None] = lambda: None
        """Happens while a record is handed over."""

    async def send(self, _topic: str, *, key: bytes, value: bytes, partition: int) -> asyncio.Future[None]:
        """Decode the record, as a reader does."""
        self.meanwhile()
        assert key
        assert partition == 0
        return self._taken([(key, value)])

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, _topic: str, *, partition: int) -> asyncio.Future[None]:
        self.meanwhile()
        assert partition == 0
        if self.full:
            raise KafkaTimeoutError
        return self._taken(batch.records)

    def _taken(self, records: Sequence[tuple[bytes, bytes | None]]) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.broken:
            future.set_exception(KafkaTimeoutError())
        else:
            self.sent += [decode_status(value) for _, value in records if value is not None]
            self.ended += [key for key, value in records if value is None]
            future.set_result(None)
        return future

    def partitions(self) -> list[PartitionState]:
        """What was said of partitions since the last call."""
        found = [record.state for record in self.sent if isinstance(record, PartitionStatusRecord)]
        self.sent = []
        return found

    def segments(self) -> list[SegmentStatusRecord]:
        """What was said of segments since the last call."""
        found = [record for record in self.sent if isinstance(record, SegmentStatusRecord)]
        self.sent = []
        return found


def gauges_of_partition(index: int) -> set[str]:
    """The evaluator's gauges that are exported with a partition."""
    prefix = "tidegate_evaluator_"
    samples = [sample for metric in REGISTRY.collect() if metric.type == "gauge" for sample in metric.samples]
    return {each.name.removeprefix(prefix) for each in samples if each.labels.get("partition") == str(index)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    store = RocksStore(tmp_path / "0", StoreMemory(8 << 20))
    yield store
    store.close()


class Told:
    """A reporter over one partition, round by round."""

    def __init__(self, store: RocksStore) -> None:
        self.partition = Partition(0, 1, "contact-changes", store, restore(store))
        self.serving = Serving()
        self._listeners = self.serving.started(self.partition, store)
        self.reporter = StatusReporter(self.serving, "http://here", "evaluator-status", {}, lambda _partition: None)
        self.producer = Producer()

    def commit(self, *records: Any, backfill: bool = True) -> None:
        """Take records through to a commit, as a worker does."""
        partition = self.partition
        partition.consume(records)
        while backfill and partition.behind_definitions:
            partition.backfill(100)
        partition.take_unsent()
        partition.seal()
        changes = partition.committed({Topic.CONTACTS_CHANGELOG: 1, Topic.CONTROL_CHANGELOG: 1}, InstantMs(NOW))
        self._listeners.on_commit(Committed(partition.next_offset, len(records), changes, (), 0.0))

    async def round(self) -> dict[str, SegmentStatusRecord]:
        """What one round told of segments, behind one of the partition."""
        producer = cast("AIOKafkaProducer", self.producer)
        await self.reporter._tell_partitions(producer)
        await self.reporter._tell_all_segments(producer)
        return {record.segment_id: record for record in self.producer.segments()}

    async def states(self) -> list[PartitionState]:
        """What one round told of the partition."""
        await self.reporter._tell_partitions(cast("AIOKafkaProducer", self.producer))
        return self.producer.partitions()

    async def lateness_ms(self) -> int:
        """What one round told of the partition's deadlines."""
        await self.reporter._tell_partitions(cast("AIOKafkaProducer", self.producer))
        (record,) = [each for each in self.producer.sent if isinstance(each, PartitionStatusRecord)]
        self.producer.sent = []
        return record.deadline_lateness_ms


async def test_unreadable_values_are_told_by_segment_and_attribute_once_something_is_new(store: RocksStore) -> None:
    told = Told(store)
    told.commit(definition(0, [{"mrr": {"gt": 9}}]), definition(1, [{"plan": "pro"}], "t"))
    told.commit(write(2, "a", mrr="lots"), write(3, "b", mrr=10))
    while told.partition.unreadable.is_behind:
        told.partition.count_unreadable(100)
    lots = UnreadableAttribute(attribute=AttributeName("mrr"), reading="number", count=1, sample="lots")
    first = await told.round()
    assert {segment_id: record.unreadable for segment_id, record in first.items()} == {"s": [lots], "t": []}
    assert await told.round() == {}


async def test_a_segment_is_told_again_when_a_commit_changed_who_is_in_it_and_not_otherwise(store: RocksStore) -> None:
    told = Told(store)
    told.commit(*(definition(number, [{f"a{number}": "yes"}], f"s{number}") for number in range(120)))
    assert len(await told.round()) == 120
    told.commit(write(120, "a", a7="yes", a9="no"), write(121, "b", a7="yes"))
    assert {each: (record.members, record.entered) for each, record in (await told.round()).items()} == {"s7": (2, 2)}
    assert await told.round() == {}
    told.commit(write(122, "a", a7="no"))
    assert {each: (record.members, record.exited) for each, record in (await told.round()).items()} == {"s7": (1, 1)}


async def test_segments_are_told_while_they_settle_and_once_they_have(store: RocksStore) -> None:
    told = Told(store)
    told.commit(definition(0, [{"plan": "pro"}]), write(1, "a", plan="pro"))
    await told.round()
    told.partition.consume([definition(2, [{"plan": "free"}], version=2)])
    assert {each: (record.version, record.settling) for each, record in (await told.round()).items()} == {
        "s": (2, True)
    }
    told.commit()
    assert {each: (record.members, record.settling) for each, record in (await told.round()).items()} == {
        "s": (0, False)
    }


async def test_of_a_deleted_segment_nothing_is_kept_on_the_topic(store: RocksStore) -> None:
    told = Told(store)
    told.commit(definition(0, [{"plan": "pro"}]), definition(1, [{"plan": "free"}], "t"), write(2, "a", plan="pro"))
    assert set(await told.round()) == {"s", "t"}
    told.producer.full = True
    told.commit(definition(3, [{"plan": "pro"}], version=2, state="deleted"))
    told.commit(definition(4, [{"plan": "free"}], "t", version=2, state="deleted"))
    assert await told.round() == {}
    told.producer.full = False
    assert await told.round() == {}
    assert sorted(told.producer.ended) == [b"segment|s|0", b"segment|t|0"]
    told.commit(tick(5, NOW + 1))
    assert await told.round() == {}


async def test_a_segment_that_was_deleted_before_a_restart_is_taken_from_the_topic_after_it(store: RocksStore) -> None:
    told = Told(store)
    told.commit(definition(0, [{"plan": "pro"}]), definition(1, [{"plan": "free"}], "t"), write(2, "a", plan="pro"))
    told.commit(definition(3, [{"plan": "pro"}], version=2, state="deleted"))
    told.commit(definition(4, [{"plan": "free"}], "t", version=2, state="deleted"))
    told.commit(tick(5, NOW + 1))  # nothing is counted of them any more
    again = Told(store)
    assert await again.round() == {}
    assert sorted(again.producer.ended) == [b"segment|s|0", b"segment|t|0"]


async def test_a_segment_that_is_deleted_before_the_first_round_is_taken_from_the_topic_though_nobody_was_in_it(
    store: RocksStore,
) -> None:
    told = Told(store)
    told.commit(definition(0, [{"plan": "pro"}]), write(1, "a", plan="free"))
    assert set(await told.round()) == {"s"}
    again = Told(store)
    again.commit(definition(2, [{"plan": "pro"}], version=2, state="deleted"))
    assert await again.round() == {}
    assert again.producer.ended == [b"segment|s|0"]
    again.commit(definition(3, [{"plan": "pro"}], version=3, state="deleted"))
    again.commit(definition(4, [{"plan": "pro"}], version=4))
    assert set(await again.round()) == {"s"}
    assert again.producer.ended == [b"segment|s|0"]


async def test_a_segment_that_settles_says_when_it_is_expected_to_have(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = NOW
    monkeypatch.setattr(clock, "now_ms", lambda: InstantMs(now))
    told = Told(store)
    told.commit(definition(0, [{"plan": "pro"}]), *(write(1 + each, f"c{each}", plan="pro") for each in range(100)))
    told.partition.consume([definition(101, [{"plan": "free"}], version=2)])
    assert (await told.round())["s"].settles_at is None
    told.partition.backfill(25)
    now += 1_000
    quarter = (await told.round())["s"]
    assert (quarter.settled_percent, quarter.settles_at) == (25, NOW + 4_000)
    told.commit()
    assert (await told.round())["s"].settles_at is None


async def test_a_segment_that_waits_for_a_held_contact_does_not_say_when_it_will_have_settled(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = NOW
    monkeypatch.setattr(clock, "now_ms", lambda: InstantMs(now))
    told = Told(store)
    told.commit(*(write(each, f"c{each}", plan="pro") for each in range(4)))
    told.partition.consume([definition(4, [{"plan": "free"}])])
    await told.round()
    told.partition.backfill(2)
    now += 1_000
    assert (await told.round())["s"].settles_at == NOW + 2_000
    told.partition.failures.held[ContactId("c3")] = Held("a bug of ours", None)
    told.partition.backfill(10)
    now += 1_000
    waiting = (await told.round())["s"]
    assert (waiting.settling, waiting.settled_percent, waiting.settles_at) == (True, 100, None)


async def test_lateness_is_that_of_the_earliest_deadline_that_has_not_fired(store: RocksStore) -> None:
    told = Told(store)
    told.commit(definition(0, [{"ends_at": {"in_past": True}}]))
    told.commit(*(write(1 + each, f"c{each}", ends_at=NOW + 1_000 * each) for each in (1, 2, 3)))
    assert await told.lateness_ms() == 0
    told.commit(tick(5, NOW + 2_500))
    assert await told.lateness_ms() == 1_500
    told.partition.wake_due(1)
    assert await told.lateness_ms() == 500
    told.partition.wake_due(10)
    told.commit()
    assert await told.lateness_ms() == 0


async def test_what_the_broker_did_not_take_is_told_in_the_next_round(store: RocksStore) -> None:
    told = Told(store)
    told.commit(definition(0, [{"plan": "pro"}]), write(1, "a", plan="pro"))
    told.producer.broken = True
    assert await told.round() == {}
    told.producer.broken = False
    assert [record.members for record in (await told.round()).values()] == [1]


async def test_a_partition_that_comes_back_is_told_again_whether_or_not_a_round_saw_it_gone(store: RocksStore) -> None:
    told = Told(store)
    assert await told.states() == [PartitionState.READY]
    assert await told.states() == []
    for rounds_without in (0, 1):
        told.serving.stopping(0)
        for _ in range(rounds_without):
            assert await told.states() == []
        told.serving.started(told.partition, store)
        assert await told.states() == [PartitionState.READY]
        assert await told.states() == []


async def test_a_partition_that_comes_back_while_it_was_being_recovered_is_told_again(store: RocksStore) -> None:
    told = Told(store)
    told.serving.stopping(0)
    for _ in range(2):
        told.serving.assigned([0])
        assert await told.states() == [PartitionState.RECOVERING]
        assert await told.states() == []


async def test_nothing_is_kept_of_a_partition_that_was_given_up(store: RocksStore) -> None:
    told = Told(store)
    told.commit(definition(0, [{"mrr": {"gt": 9}}]))
    await told.round()
    told.serving.stopping(0)
    await told.round()
    assert (told.reporter._told, told.reporter._unreadable) == ({}, {})


async def test_a_partition_that_was_given_up_has_no_gauges_any_more(store: RocksStore) -> None:
    told = Told(store)
    await told.round()
    told.serving.refresh_metrics()
    gauges = {"lag_records", "contacts", "deadline_lateness_seconds", "held_contacts"}
    assert gauges_of_partition(0) >= gauges
    told.serving.stopping(0)
    await told.round()
    told.serving.refresh_metrics()
    assert gauges_of_partition(0) & gauges == set()


async def test_a_partition_that_is_given_up_during_a_round_is_not_said_to_be_ours_any_more(store: RocksStore) -> None:
    told = Told(store)
    other = Partition(1, 2, "contact-changes", store, restore(store))
    told.serving.started(other, store)
    told.producer.meanwhile = lambda: told.serving.stopping(1)
    assert await told.states() == [PartitionState.READY]


async def test_of_a_partition_that_is_given_up_while_its_segments_are_told_no_more_is_told(store: RocksStore) -> None:
    told = Told(store)
    names = [f"s{number}" for number in range(2 * SLICE_SEGMENTS)]
    told.commit(*(definition(offset, [{"plan": "pro"}], name) for offset, name in enumerate(names)))
    told.producer.meanwhile = lambda: told.serving.stopping(0) if told.producer.sent else None
    assert len(await told.round()) == SLICE_SEGMENTS


async def test_nothing_is_remembered_of_segments_that_are_gone(store: RocksStore) -> None:
    told = Told(store)
    told.commit(definition(0, [{"plan": "pro"}]))
    await told.round()
    told.commit(definition(1, [{"plan": "pro"}], version=2, state="deleted"))
    await told.round()
    assert told.serving.news[0]._told == {}


async def test_a_partitions_status_that_the_broker_did_not_take_is_told_in_the_next_round(store: RocksStore) -> None:
    told = Told(store)
    told.producer.broken = True
    assert await told.states() == []
    await asyncio.sleep(0)  # the answer comes after the round
    told.producer.broken = False
    assert await told.states() == [PartitionState.READY]


async def test_what_could_not_be_handed_over_of_segments_is_told_by_the_next_round(store: RocksStore) -> None:
    told = Told(store)
    names = [f"s{number}" for number in range(SLICE_SEGMENTS + 10)]
    told.commit(*(definition(offset, [{"plan": "pro"}], name) for offset, name in enumerate(names)))
    told.producer.full = True
    assert await told.round() == {}
    told.producer.full = False
    assert set(await told.round()) == set(names)


async def test_a_segment_that_has_settled_is_told_even_where_nobody_came_or_went(store: RocksStore) -> None:
    told = Told(store)
    told.commit(write(0, "a", plan="free"))
    told.commit(definition(1, [{"plan": "pro"}]), backfill=False)
    assert (await told.round())["s"].settling
    told.commit()
    settled = (await told.round())["s"]
    assert (settled.settling, settled.settled_percent, settled.members) == (False, 100, 0)
    assert await told.round() == {}
