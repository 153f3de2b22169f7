"""The producer on a real broker: what it writes is what an evaluator reads, where it looks for it."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import ValidationError

from schemas.codec import ContactDelete, ContactWrite, decode_input
from schemas.partitioner import partition_for
from schemas.topics import Topic, topic_name
from segmentation.model import ContactId
from tests.services.sdk.conftest import Workspace
from tests.services.sdk.stream import PARTITIONS
from tidegate import ContactProducer

pytestmark = pytest.mark.broker


async def test_writes_of_a_contact_are_in_its_partition_in_order_and_readable(workspace: Workspace) -> None:
    contact = ContactId("ünï|x")
    async with ContactProducer(workspace.bootstrap, topic_prefix=workspace.prefix) as producer:
        offsets = [
            await producer.set(contact, {"plan": "pro", "tags": ["a", 1, True], "phone": None}, message_id="m1"),
            await producer.delete(contact),
        ]
    assert offsets == [0, 1]
    written, erased = await _records(workspace, partition_for(contact, PARTITIONS))
    assert isinstance(written, ContactWrite)
    assert dict(written.attributes) == {"plan": "pro", "tags": ["a", 1, True], "phone": None}
    assert isinstance(erased, ContactDelete)
    assert erased.contact_id == contact


async def test_a_value_that_the_log_cannot_carry_is_refused_before_it_is_sent(workspace: Workspace) -> None:
    async with ContactProducer(workspace.bootstrap, topic_prefix=workspace.prefix) as producer:
        with pytest.raises(ValidationError):
            await producer.set("u", {"nested": {"a": 1}})  # type: ignore[dict-item]  # what is tested
        with pytest.raises(ValidationError):
            await producer.set("u", {"mrr": float("nan")})


async def _records(workspace: Workspace, partition: int) -> list[object]:
    consumer = AIOKafkaConsumer(bootstrap_servers=workspace.bootstrap, group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        place = TopicPartition(topic_name(workspace.prefix, Topic.CONTACT_CHANGES), partition)
        consumer.assign([place])
        records = [await consumer.getone(place) for _ in range(2)]
        return [decode_input(record.key, record.value, record.headers) for record in records]
    finally:
        await consumer.stop()
