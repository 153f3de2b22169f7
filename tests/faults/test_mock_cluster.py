"""F5, F10, F17 on librdkafka's mock cluster: brokers that answer with errors, late, or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from schemas.topics import Topic, topic_name
from segmentation.model import AttributeName, ContactId
from services.evaluator.owner import PartitionOwner
from services.evaluator.surroundings import KafkaSurroundings, Workspace
from services.ingest.admission import Admitted
from services.ingest.contact_log import Appended, ContactLog, NotAppended
from tests.faults.mock_cluster import NOT_ENOUGH_REPLICAS, NOT_LEADER, PRODUCE, REQUEST_TIMED_OUT, MockCluster
from tests.faults.table import show
from tests.oracle.reference import PoisonInput, WriteInput
from tests.simulation.wire import encode

pytestmark = pytest.mark.timeout(120)
TOPIC = topic_name("", Topic.CONTACT_CHANGES)
STRANGER = ContactId("nobody here is a stranger")
REFUSED_WITHIN_S = 5.0
TAKES_WRITES_AGAIN_WITHIN_S = 30.0
NOW = 1_790_000_000_000


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    with MockCluster() as cluster:
        for topic in Topic:
            cluster.create_topic(topic_name("", topic), 1)
        yield cluster


class WithoutPositions(KafkaSurroundings):
    """The mock does not list what a group has committed; it is only for comparison."""

    async def positions(self) -> dict[int, int]:
        return {}


@asynccontextmanager
async def contact_log(cluster: MockCluster, request_timeout_ms: int = 2_000) -> AsyncIterator[ContactLog]:
    """Ingest's way to the broker."""
    producer = AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap,
        acks="all",
        request_timeout_ms=request_timeout_ms,
        metadata_max_age_ms=1_000,
    )
    await producer.start()
    try:
        yield ContactLog(producer, TOPIC, partitions=1, timeout_ms=4_000)
    finally:
        await producer.stop()


def admitted(number: int) -> list[Admitted]:
    contact_id = ContactId(f"c{number}")
    return [Admitted(contact_id, f"m{number}", b'{"attributes":{"number":%d}}' % number)]


async def on_the_log(cluster: MockCluster, topic: str = TOPIC, quiet_ms: int = 1_500) -> list[ConsumerRecord]:
    """Everything on a topic's one partition."""
    # The mock changes batches of transactions and leaves their checksums as they were.
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap, enable_auto_commit=False, check_crcs=False)
    await consumer.start()
    try:
        at = TopicPartition(topic, 0)
        consumer.assign([at])
        consumer.seek(at, 0)
        found: list[ConsumerRecord] = []
        while records := (await consumer.getmany(at, timeout_ms=quiet_ms)).get(at):
            found += records
        return found
    finally:
        await consumer.stop()


async def test_writes_outlive_brokers_that_answer_with_errors_and_are_acknowledged_once(cluster: MockCluster) -> None:
    async with contact_log(cluster) as log:
        cluster.answer(PRODUCE, [NOT_LEADER, NOT_ENOUGH_REPLICAS, REQUEST_TIMED_OUT])
        outcomes = [outcome for number in range(20) for outcome in await log.append(admitted(number))]
    assert all(isinstance(outcome, Appended) for outcome in outcomes)
    assert [record.key for record in await on_the_log(cluster)] == [b"c%d" % number for number in range(20)]


async def test_without_brokers_writes_are_refused_in_time_and_taken_again_without_a_restart(
    cluster: MockCluster,
) -> None:
    async with contact_log(cluster) as log:
        assert isinstance((await log.append(admitted(0)))[0], Appended)
        cluster.down()
        began = time.monotonic()
        assert isinstance((await log.append(admitted(1)))[0], NotAppended)
        refused_s = time.monotonic() - began
        assert refused_s < REFUSED_WITHIN_S
        cluster.up()
        began = time.monotonic()
        while isinstance((await log.append(admitted(2)))[0], NotAppended):
            assert time.monotonic() - began < TAKES_WRITES_AGAIN_WITHIN_S
        again_s = time.monotonic() - began
    assert {b"c0", b"c2"} <= {record.key for record in await on_the_log(cluster)}
    show("F5", f"mock cluster down: refused after {refused_s:.1f} s, takes writes {again_s:.1f} s after it is up again")


async def test_answers_that_come_too_late_repeat_records_and_lose_none(cluster: MockCluster) -> None:
    async with contact_log(cluster, request_timeout_ms=600) as log:
        await log.append(admitted(0))
        cluster.delay(900)
        await asyncio.gather(*(log.append(admitted(number)) for number in range(1, 6)))
        cluster.delay(0)
        outcomes = [outcome for number in range(1, 6) for outcome in await log.append(admitted(number))]
    assert all(isinstance(outcome, Appended) for outcome in outcomes)
    found = [record.key for record in await on_the_log(cluster)]
    assert set(found) == {b"c%d" % number for number in range(6)}
    assert len(found) > 6
    show("F10", f"mock cluster answers late: {len(found)} records of 6 contacts, each acknowledged one among them")


async def test_poison_goes_to_dead_letters_in_the_transaction_that_passes_it(
    cluster: MockCluster, tmp_path: Path
) -> None:
    rng = Random(17)
    producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, acks="all")
    await producer.start()
    poison = 0
    for number in range(60):
        wanted = (
            PoisonInput() if rng.random() < 0.5 else WriteInput(ContactId(f"c{number}"), {AttributeName("plan"): "pro"})
        )
        record = encode(rng, wanted, NOW, STRANGER)
        if record.key == STRANGER.encode() or (record.key is None and record.value is None):
            continue  # with one partition nobody is a stranger; a record without anything cannot be produced
        poison += isinstance(wanted, PoisonInput)
        await producer.send_and_wait(TOPIC, record.value, record.key, 0, headers=list(record.headers))
    await producer.stop()
    received = await on_the_log(cluster)
    client = {"bootstrap_servers": cluster.bootstrap}
    workspace = Workspace("evaluator", 1, lambda topic: topic_name("", topic), client, tmp_path)
    owner = PartitionOwner(workspace, None, WithoutPositions(workspace))
    owner.assign([0])
    async with asyncio.timeout(60):
        while not owner.ready:
            assert not owner.failed.done(), owner.failed.exception()
            await asyncio.sleep(0.05)
        owner.take_seeks()
        owner.feed(0, received)
        worker = owner.owned[0].worker
        assert worker is not None
        while worker.partition.is_ahead or worker.partition.next_offset < len(received):
            assert not owner.failed.done(), owner.failed.exception()
            await asyncio.sleep(0.05)
    await owner.revoke()
    letters = await on_the_log(cluster, topic_name("", Topic.DEAD_LETTERS))
    rows = await on_the_log(cluster, topic_name("", Topic.CONTACTS_CHANGELOG))
    assert len(letters) == poison > 10
    assert len(letters) + len(rows) == len(received)
    show("F17", f"mock cluster: {len(received)} received = {len(rows)} processed + {len(letters)} dead-lettered")
