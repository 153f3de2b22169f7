"""A contact lands in the same partition whichever client writes it, configured as documented."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from schemas.partitioner import partition_for
from schemas.topics import Topic, topic_name
from segmentation.model import ContactId
from tests.services.ingest.conftest import PARTITIONS, Running, read_all

pytestmark = pytest.mark.broker
CONTACTS = ["u_1", "u_17", "ünïcode", "a|b", "x" * 300, "0", " ", "contact@example.org"]


async def test_aiokafka_librdkafka_and_ingest_choose_the_partition_that_the_evaluator_expects(running: Running) -> None:
    topic = topic_name(running.settings.topic_prefix, Topic.CONTACT_CHANGES)
    value = b'{"attributes":{}}'
    librdkafka = Producer({"bootstrap.servers": running.settings.kafka_bootstrap, "partitioner": "murmur2_random"})
    for contact_id in CONTACTS:
        librdkafka.produce(topic, value, contact_id.encode())
    await asyncio.to_thread(librdkafka.flush, 20)
    aiokafka = AIOKafkaProducer(bootstrap_servers=running.settings.kafka_bootstrap)
    await aiokafka.start()
    for contact_id in CONTACTS:
        await aiokafka.send_and_wait(topic, value, contact_id.encode())
    await aiokafka.stop()
    batch = {"contacts": [{"id": contact_id, "attributes": {}} for contact_id in CONTACTS]}
    assert (await running.http.post("/api/v2/contacts", json=batch)).status_code == 202

    seen: dict[str, list[int]] = {}
    for record in await read_all(running.settings, Topic.CONTACT_CHANGES):
        seen.setdefault(record.key.decode(), []).append(record.partition)
    assert seen == {contact_id: [partition_for(ContactId(contact_id), PARTITIONS)] * 3 for contact_id in CONTACTS}
