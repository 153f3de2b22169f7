"""Who made, deleted or replayed something of the webhooks is told by `GET /audit`, or it was not done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from deploy.workspace.broker import connected
from schemas.topics import Topic, topic_name
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.runtime.keys import KeyFile
from services.webhooks.settings import WebhookSettings
from tests.services.ingest.conftest import client_of, write
from tests.services.sdk.stream import PARTITIONS, Step, Stream
from tests.services.webhooks.conftest import service
from tests.services.webhooks.receiver import WAIT_S, Receiver
from tests.services.webhooks.test_webhooks import first_failures, make
from tests.waiting import until

pytestmark = pytest.mark.broker


@asynccontextmanager
async def ingest_beside(settings: WebhookSettings) -> AsyncIterator[httpx.AsyncClient]:
    """An ingest of the same workspace with the same key file, and a client of it."""
    own = IngestSettings(
        kafka_bootstrap=settings.kafka_bootstrap,
        topic_prefix=settings.topic_prefix,
        partitions=PARTITIONS,
        data_dir=settings.data_dir,
    )
    (key, *_) = KeyFile(settings.keys_path).keys()
    token = KeyFile(settings.keys_path).create("reader", key.scopes).token
    async with Ingest.running(own) as ingest, client_of(ingest.app, token) as http:
        yield http


async def told(http: httpx.AsyncClient, count: int) -> list[dict[str, Any]]:
    """What is told of webhooks, newest first, once it is so much."""
    found: list[dict[str, Any]] = []

    async def is_told() -> bool:
        answer = await http.get("/api/v2/audit", params={"kind": "webhook"})
        assert answer.status_code == 200, answer.text
        found[:] = answer.json()["entries"]
        return len(found) >= count

    await until(is_told, WAIT_S, f"{count} entries of the audit")
    return found


async def test_the_audit_tells_who_made_replayed_and_deleted_a_webhook_without_its_secret_or_path(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    receiver.plan["u"] = [410]
    async with service(settings) as http, ingest_beside(settings) as ingest:
        webhook = await make(http, f"{receiver.url}hidden", ["a"])
        await stream.commit(Step("u", 1, ("a",)))
        (failure,) = await first_failures(http, webhook["id"])
        path = f"/webhooks/{webhook['id']}"
        for number in range(2):  # the second gets the answer of the first
            replay = await http.post(f"{path}/failures/{failure['id']}/replay", headers={"X-Request-Id": f"r-{number}"})
            assert replay.status_code == 200, replay.text
        assert (await http.delete(path, headers={"X-Request-Id": "d"})).status_code == 204
        assert (await http.delete(path)).status_code == 404
        everything = await told(ingest, 3)
    deleted, replayed, created = everything
    key, _ = KeyFile(settings.keys_path).keys()
    state = {"to": "127.0.0.1", "segments": ["a"], "segments_total": 1}
    by = {"key_id": key.id, "key_name": "test"}
    facts = ("action", "subject", "by", "request_id", "from", "to")
    assert [tuple(entry[name] for name in facts) for entry in everything] == [
        ("webhook.deleted", webhook["id"], by, "d", state, None),
        ("webhook.replayed", webhook["id"], by, "r-0", None, {"failure": failure["id"]}),
        ("webhook.created", webhook["id"], by, created["request_id"], None, state),
    ]
    assert deleted["id"] > replayed["id"] > created["id"]
    assert webhook["secret"] not in str(everything)
    assert "hidden" not in str(everything)


async def test_another_start_tells_the_same_and_passes_by_what_has_no_sense(
    settings: WebhookSettings, receiver: Receiver
) -> None:
    async with service(settings) as http:
        await make(http, receiver.url)
        async with ingest_beside(settings) as ingest:
            before = await told(ingest, 1)
    foreign = IngestSettings(kafka_bootstrap=settings.kafka_bootstrap, topic_prefix=settings.topic_prefix)
    for value in (b"no record", b'{"action": "key.revoked", "subject": "x", "key_id": "k", "key_name": "n"}'):
        await write(foreign, Topic.AUDIT, b"wh_x", value)
    async with ingest_beside(settings) as ingest:
        assert await told(ingest, 1) == before


async def test_what_cannot_be_audited_is_not_done(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    receiver.plan["u"] = [410]
    topic = topic_name(settings.topic_prefix, Topic.AUDIT)
    async with service(settings) as http, connected(settings) as broker:
        webhook = await make(http, receiver.url)
        await stream.commit(Step("u", 1, ("a",)))
        (failure,) = await first_failures(http, webhook["id"])
        delivered = len(receiver.requests)
        path = f"/webhooks/{webhook['id']}"
        replay = f"{path}/failures/{failure['id']}/replay"
        await broker.change_settings(topic, {"max.message.bytes": "1"})
        assert (await http.post("/webhooks", json={"url": f"{receiver.url}other"})).status_code == 503
        assert (await http.post(replay)).status_code == 503
        assert (await http.delete(path)).status_code == 503
        assert [each["id"] for each in (await http.get("/webhooks")).json()["webhooks"]] == [webhook["id"]]
        assert len(receiver.requests) == delivered
        await broker.change_settings(topic, {"max.message.bytes": None})
        assert (await http.post(replay)).status_code == 200
        assert (await http.delete(path)).status_code == 204
