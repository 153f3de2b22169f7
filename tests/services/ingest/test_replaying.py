"""A dead letter goes back to the log through HTTP: once, marked, audited."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from schemas.dead_letter import DeadLetterHeaders
from schemas.events import SEGMENT_DEFINED_HEADERS, Headers
from schemas.partitioner import partition_for
from schemas.topics import Topic, topic_name
from segmentation.model import ContactId
from services.runtime.audit import AUDIT_FILE_NAME
from services.runtime.keys import Scope
from tests.services.ingest.conftest import PARTITIONS, Running, read_all
from tests.transactions import Transactions

pytestmark = pytest.mark.broker
VALUE = b'{"attributes": {"plan": "pro"}}'


async def bury(
    running: Running, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int = 1
) -> str:
    """Put a dead letter on the topic as an evaluator does, in a transaction; its path."""
    said = DeadLetterHeaders(code="evaluation_failed", message="…", topic="contact-changes", partition=1, offset=3)
    topic = topic_name(running.settings.topic_prefix, Topic.DEAD_LETTERS)
    producer = AIOKafkaProducer(
        bootstrap_servers=running.settings.kafka_bootstrap, transactional_id=f"{running.settings.topic_prefix}bury"
    )
    await producer.start()
    try:
        async with producer.transaction():
            sent = await producer.send_and_wait(topic, value, key, 1, headers=said.added_to(headers))
    finally:
        await producer.stop()
    await Transactions(running.settings.kafka_bootstrap).until_readable(topic, [1])
    return f"/api/v2/dead-letters/1/{sent.offset}/replay"


async def changes(running: Running) -> list[Any]:
    return await read_all(running.settings, Topic.CONTACT_CHANGES)


async def test_a_replayed_record_is_on_the_log_with_its_key_and_where_it_comes_from(running: Running) -> None:
    await bury(running, b"first", VALUE)
    path = await bury(running, b"u_1", VALUE, [("trace", b"1")])
    answer = await running.http.post(path)
    assert answer.status_code == 202, answer.text
    (record,) = await changes(running)
    assert (record.key, record.value, record.partition) == (b"u_1", VALUE, partition_for(ContactId("u_1"), PARTITIONS))
    place = answer.json()["replayed_from"]
    assert dict(record.headers)["tidegate.replayed_from"] == f"{place['partition']}:{place['offset']}".encode()
    assert dict(record.headers)["trace"] == b"1"
    assert "error.code" not in dict(record.headers)
    receipt = answer.json()
    assert (receipt["id"], receipt["partition"], receipt["offset"]) == ("u_1", record.partition, record.offset)


async def test_a_repeated_replay_writes_nothing_and_gets_the_first_receipt(running: Running) -> None:
    path = await bury(running, b"u_1", VALUE)
    first = await running.http.post(path)
    again = await running.client(Scope.ADMIN).post(path, json={})
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert len(await changes(running)) == 1


async def test_replays_that_race_write_one_record(running: Running) -> None:
    path = await bury(running, b"u_1", VALUE)
    answers = await asyncio.gather(*(running.http.post(path) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len(await changes(running)) == 1


async def test_a_poison_record_is_refused_as_it_was_and_accepted_repaired(running: Running) -> None:
    path = await bury(running, b"u_1", b"{")
    refused = await running.http.post(path)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["code"] == "invalid_json"
    repaired = await running.http.post(path, json={"value": {"attributes": {"plan": "pro"}}})
    assert repaired.status_code == 202, repaired.text
    (record,) = await changes(running)
    assert repaired.json()["message_id"].encode() in record.value


async def test_what_is_not_there_cannot_be_replayed(running: Running) -> None:
    path = await bury(running, b"u_1", VALUE)
    for place in ("1/999999", "0/0", "77/0"):
        assert (await running.http.post(f"/api/v2/dead-letters/{place}/replay")).status_code == 404, place
    # The place behind the letter holds the mark that ends its transaction.
    offset = int(path.split("/")[-2])
    assert (await running.http.post(f"/api/v2/dead-letters/1/{offset + 1}/replay")).status_code == 404
    assert (await running.http.post("/api/v2/dead-letters/x/0/replay")).status_code == 422
    assert await changes(running) == []


async def test_ticks_and_definitions_are_not_replayed(running: Running) -> None:
    path = await bury(running, None, b"{}", SEGMENT_DEFINED_HEADERS)
    answer = await running.http.post(path)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_a_contact_change")


async def test_only_an_administrator_replays(running: Running) -> None:
    path = await bury(running, b"u_1", VALUE)
    others = running.client(*(scope for scope in Scope if scope is not Scope.ADMIN))
    assert (await others.post(path)).status_code == 403


async def test_a_replay_is_in_the_audit(running: Running) -> None:
    path = await bury(running, b"u_1", VALUE)
    await running.http.post(path)
    (entry,) = (await running.http.get("/api/v2/audit", params={"kind": "dead_letter"})).json()["entries"]
    assert entry["action"] == "dead_letter.replayed"
    assert entry["subject"] == path.removeprefix("/api/v2/dead-letters/").removesuffix("/replay")
    assert entry["by"]["key_name"] == "all"
    assert entry["to"] == {"message_id": (await running.http.post(path)).json()["message_id"], "repaired": False}


async def test_a_replay_that_cannot_be_audited_writes_nothing(running: Running) -> None:
    path = await bury(running, b"u_1", VALUE)
    audit = running.settings.keys_path.with_name(AUDIT_FILE_NAME)
    audit.rename(audit.with_suffix(".aside"))
    audit.mkdir()
    assert (await running.http.post(path)).status_code == 503
    assert await changes(running) == []
    audit.rmdir()
    assert (await running.http.post(path)).status_code == 202
    assert len(await changes(running)) == 1
