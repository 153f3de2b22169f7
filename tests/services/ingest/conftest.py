"""A running ingest in this process, on a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.evaluator_status import PartitionState, PartitionStatusRecord, partition_status_key
from schemas.topics import Topic, topic_name
from segmentation.model import InstantMs
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.runtime.keys import KeyFile, Scope
from services.runtime.topics import ensure_topics

PARTITIONS = 3


@dataclass
class Running:
    """One ingest, a client that may do everything, and its settings."""

    ingest: Ingest
    http: httpx.AsyncClient
    settings: IngestSettings
    keys: KeyFile

    def client(self, *scopes: Scope) -> httpx.AsyncClient:
        """A client whose key has only these scopes."""
        return client_of(self.ingest.app, self.keys.create("test", scopes).token)


def client_of(app: Any, token: str | None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://ingest", headers=headers)


@pytest.fixture
def ingest_settings(broker: str, topic_prefix: str, tmp_path: Path) -> IngestSettings:
    return IngestSettings(kafka_bootstrap=broker, topic_prefix=topic_prefix, partitions=PARTITIONS, data_dir=tmp_path)


@pytest.fixture
async def running(ingest_settings: IngestSettings) -> AsyncIterator[Running]:
    await ensure_topics(ingest_settings)
    keys = KeyFile(ingest_settings.keys_path)
    token = keys.create("all", frozenset(Scope)).token
    async with Ingest.running(ingest_settings) as ingest, client_of(ingest.app, token) as http:
        yield Running(ingest, http, ingest_settings, keys)


class Owner(httpx.AsyncBaseTransport):
    """Stands for the evaluator of every partition."""

    def __init__(self, contacts: dict[str, dict[str, Any]]) -> None:
        self.contacts = contacts
        self.committed = True
        self.waited_for: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        question = orjson.loads(await request.aread())
        if request.url.path.endswith("/attributes"):
            known = {name: self.contacts[name] for name in question["contact_ids"] if name in self.contacts}
            return httpx.Response(200, json={"contacts": known})
        self.waited_for.extend(question["offsets"])
        outcomes = [{"offset": o, "committed": self.committed, "changes": None} for o in question["offsets"]]
        return httpx.Response(200, json={"outcomes": outcomes})


async def report_owner(settings: IngestSettings) -> None:
    """Say on the status topic that somebody owns every partition."""
    for partition in range(settings.partitions):
        record = PartitionStatusRecord(
            partition=partition, owner="http://owner", state=PartitionState.READY, reported_at=InstantMs(1)
        )
        await write(settings, Topic.EVALUATOR_STATUS, partition_status_key(partition), record.encode())


async def write(settings: IngestSettings, topic: Topic, key: bytes, value: bytes) -> None:
    """Append a record to a topic's first partition, past ingest."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(topic_name(settings.topic_prefix, topic), value, key=key, partition=0)
    finally:
        await producer.stop()


async def read_all(settings: IngestSettings, topic: Topic) -> list[Any]:
    """Every record of a topic, in order within each partition."""
    name = topic_name(settings.topic_prefix, topic)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        count = PARTITIONS if topic is Topic.CONTACT_CHANGES else 1
        partitions = [TopicPartition(name, partition) for partition in range(count)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[Any] = []
        for partition in partitions:
            consumer.seek(partition, 0)
            while await consumer.position(partition) < ends[partition]:
                for polled in (await consumer.getmany(partition, timeout_ms=1_000)).values():
                    records.extend(polled)
        return records
    finally:
        await consumer.stop()
