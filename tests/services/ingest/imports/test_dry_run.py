"""What a dry run says each row would do, from what the contacts' owners say they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from schemas.evaluator_status import PartitionState, PartitionStatusRecord, partition_status_key
from schemas.partitioner import partition_for
from schemas.topics import Topic, topic_name
from segmentation.model import ContactId, InstantMs
from services.ingest.imports import contact_lookup
from services.ingest.imports.contact_lookup import OwnersLookup
from services.ingest.imports.dry_run import DryRunner
from services.ingest.settings import IngestSettings
from tests.services.ingest.conftest import PARTITIONS, Running
from tests.services.ingest.imports.test_import_path import ended

pytestmark = pytest.mark.broker

CONTACTS: dict[str, dict[str, Any]] = {
    "same": {"plan": "pro", "n": 1, "other": True},
    "differs": {"plan": "free"},
    "to-blank": {"plan": "pro", "n": 5},
}


async def say_owner(settings: IngestSettings, owner: str, state: PartitionState = PartitionState.READY) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    try:
        for partition in range(PARTITIONS):
            record = PartitionStatusRecord(partition=partition, owner=owner, state=state, reported_at=InstantMs(0))
            await producer.send_and_wait(
                topic_name(settings.topic_prefix, Topic.EVALUATOR_STATUS),
                record.encode(),
                partition_status_key(partition),
            )
    finally:
        await producer.stop()


def owner_of(contacts: dict[str, dict[str, Any]], answers: Callable[[httpx.Request], bool]) -> httpx.MockTransport:
    """An owner of every partition; it refuses what it does not own, as the real one does."""

    def answer(request: httpx.Request) -> httpx.Response:
        if not answers(request):
            return httpx.Response(421, json={"code": "not_owner"})
        assert request.url.path == "/internal/v1/attributes"
        body = orjson.loads(request.content)
        assert all(partition_for(ContactId(each), PARTITIONS) == body["partition"] for each in body["contact_ids"])
        return httpx.Response(200, json={"contacts": {c: contacts[c] for c in body["contact_ids"] if c in contacts}})

    return httpx.MockTransport(answer)


async def tried(running: Running, body: bytes, query: str = "") -> dict[str, Any]:
    answer = await running.http.post(f"/api/v2/imports?id_column=id{query}", content=body)
    assert answer.status_code == 201, answer.text
    path = f"/api/v2/imports/{answer.json()['id']}"
    assert (await running.http.post(f"{path}/dry-run")).status_code == 202
    shown = await ended(running, answer.json()["id"])
    assert shown["state"] == "checked", shown
    found: dict[str, Any] = shown["dry_run"]
    return found


def effects(found: dict[str, Any]) -> tuple[int | None, int | None, int | None]:
    return found["would_create"], found["would_update"], found["would_leave"]


async def use(running: Running, transport: httpx.MockTransport) -> None:
    running.ingest.imports.workshop.dry_runner = DryRunner(OwnersLookup(running.settings, transport))


async def test_rows_create_update_or_leave_as_contacts_and_earlier_rows_have_it(running: Running) -> None:
    await say_owner(running.settings, "http://owner")
    await use(running, owner_of(CONTACTS, lambda _: True))
    body = b"id,plan,n\nsame,pro,1\ndiffers,pro,\nto-blank,pro,\nnew,pro,1\nnew,pro,1\nnew,free,\nnew,,1\n"
    found = await tried(running, body)
    assert effects(found) == (1, 2, 4)
    assert found["note"] is None
    found = await tried(running, body, "&blank=remove")
    assert effects(found) == (1, 4, 2)


async def test_a_file_without_rows_is_said_to_be_one(running: Running) -> None:
    for body in (b"id,plan\n", b"id,plan\n\n,\n \n"):
        found = await tried(running, body)
        assert (found["rows_total"], effects(found)) == (0, (0, 0, 0))
        assert "no row below the header" in found["note"]


async def test_an_owner_that_moved_is_found_again(running: Running) -> None:
    await say_owner(running.settings, "http://gone", PartitionState.STOPPED)
    await say_owner(running.settings, "http://old")
    moved = asyncio.Event()

    def answers(request: httpx.Request) -> bool:
        moved.set()
        return request.url.host == "new"

    await use(running, owner_of(CONTACTS, answers))
    trying = asyncio.create_task(tried(running, b"id,plan\nsame,pro\nnew,pro\n"))
    await moved.wait()
    await say_owner(running.settings, "http://new")
    assert effects(await trying) == (1, 0, 1)


async def test_owners_that_do_not_answer_leave_the_effects_unknown_and_say_so(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_lookup, "ATTEMPTS_MAX", 2)
    await say_owner(running.settings, "http://owner")
    await use(running, owner_of(CONTACTS, lambda _: False))
    found = await tried(running, b"id,plan\nsame,pro\nnew,pro\n")
    assert effects(found) == (None, None, None)
    assert "unknown until committed" in found["note"]
    assert found["would_write"] == 2
