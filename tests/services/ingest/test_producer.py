"""A client whose sending task died costs refusals for a moment, never for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from schemas.topics import Topic, topic_name
from segmentation.model import ContactId
from services.ingest.imports.bulk_log import KafkaBulkLog
from services.ingest.imports.conversion import ConvertedRow
from services.runtime.kafka import client_options
from tests.services.ingest.conftest import PARTITIONS, Running, read_all

pytestmark = pytest.mark.broker


def kill(producer: Any) -> None:
    """Make the next round of the sending task fail, as a defect of the library does."""

    def fail(**_: Any) -> None:
        raise KeyError("a batch that is not there")

    producer._message_accumulator.drain_by_nodes = fail


async def test_writes_go_on_after_the_producer_died(running: Running) -> None:
    contact = {"id": "u_1", "attributes": {}}
    assert (await running.http.post("/api/v2/contacts", json=contact)).status_code == 202
    kill(running.ingest.contact_log._producer._producer)
    died = await running.http.post("/api/v2/contacts", json={**contact, "id": "u_2"})
    assert (died.status_code, died.json()["code"]) == (503, "broker_away")
    async with asyncio.timeout(20):
        status = 503
        while status == 503:
            await asyncio.sleep(0.05)
            status = (await running.http.post("/api/v2/contacts", json={**contact, "id": "u_3"})).status_code
    assert status == 202
    # Definitions and claims go through the same producer.
    made = await running.http.post("/api/v2/segments", json={"id": "pros", "where": "plan is Pro"})
    assert made.status_code == 201, made.text
    assert "u_3" in {record.key.decode() for record in await read_all(running.settings, Topic.CONTACT_CHANGES)}


async def test_giving_up_a_flush_leaves_the_clients_sending_task_alive(running: Running) -> None:
    topic = topic_name(running.settings.topic_prefix, Topic.CONTACT_CHANGES)
    async with KafkaBulkLog(client_options(running.settings), topic, PARTITIONS, lambda: True) as bulk_log:
        producer: Any = bulk_log._producer
        answer = asyncio.Event()
        send = producer.client.send

        async def held_back(*args: Any, **kwargs: Any) -> Any:
            await answer.wait()
            return await send(*args, **kwargs)

        producer.client.send = held_back
        await bulk_log.append([ConvertedRow(1, ContactId("u_1"), {}, b"u_1", b'{"attributes":{}}', "imp:1")])
        flushing = asyncio.create_task(bulk_log.flush())
        await asyncio.sleep(0.1)
        flushing.cancel()
        await asyncio.wait({flushing})
        answer.set()
        assert not producer._sender.sender_task.done()
        assert sum((await bulk_log.flush()).values()) == 1
