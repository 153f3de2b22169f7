"""Where a webhook begins: at what changes once it was made, however many ask and whatever its group remembers."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.topics import Topic, topic_name
from services.runtime.errors import ServiceError
from services.runtime.metrics import REGISTRY
from services.webhooks import api
from services.webhooks.addresses import Target, resolve
from services.webhooks.follower import present_end
from services.webhooks.names import Names
from services.webhooks.settings import WebhookSettings
from tests.services.sdk.stream import Step, Stream
from tests.services.webhooks.conftest import service
from tests.services.webhooks.receiver import Receiver
from tests.services.webhooks.test_shared import working
from tests.services.webhooks.test_webhooks import group, make
from tests.waiting import until

pytestmark = pytest.mark.broker
WAIT_S = 60.0


async def test_a_repeat_that_is_overtaken_by_the_deliveries_gets_the_first_answer_and_skips_no_change(
    settings: WebhookSettings, stream: Stream, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_is_made, arrived = asyncio.Event(), []

    async def held(target: Target, names: Names, *, allow_local: bool) -> str:
        arrived.append(target)
        if len(arrived) == 2:
            await first_is_made.wait()
        return await resolve(target, names, allow_local=allow_local)

    monkeypatch.setattr(api, "resolve", held)
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    async with service(settings) as http:

        def ask() -> asyncio.Task[httpx.Response]:
            request = http.post("/webhooks", json={"url": receiver.url}, headers={"Idempotency-Key": "k-1"})
            return asyncio.create_task(request)

        first, repeat = ask(), ask()
        made = (await first).json()
        await working(admin, await group(admin, settings, made["id"]), 1)
        await stream.commit(Step("u", 1, ("a",)))
        first_is_made.set()
        assert ((await repeat).status_code, (await repeat).json()) == (201, made)
        await receiver.until_told({"u": ["enter a"]})


async def test_a_webhook_whose_group_is_forgotten_begins_again_where_it_was_made(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    await stream.commit(*(Step(contact, 1, ("before",)) for contact in ("u1", "u2", "u3", "u4", "u5")))
    async with service(settings) as http:
        webhook = await make(http, receiver.url)
        await stream.commit(Step("u1", 2, ("since",)))
        await receiver.until_told({"u1": ["enter since"]})
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    of_webhook = await group(admin, settings, webhook["id"])

    def forgotten() -> bool:
        try:
            admin.delete_consumer_groups([of_webhook])[of_webhook].result(timeout=WAIT_S)
        except KafkaException:  # its members have only just left
            return False
        return True

    await until(lambda: asyncio.to_thread(forgotten), WAIT_S, "the group to be forgotten")
    async with service(settings):
        await stream.commit(Step("u2", 3, ("since",)))
        await receiver.until_told({"u1": ["enter since"] * 2, "u2": ["enter since"]})


async def test_a_webhook_made_again_under_its_key_gets_nothing_from_before_it_was(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    body, key = {"url": receiver.url}, {"Idempotency-Key": "k-1"}
    async with service(settings) as http:
        first = (await http.post("/webhooks", json=body, headers=key)).json()
        await stream.commit(Step("u", 1, ("a",)))
        await receiver.until_told({"u": ["enter a"]})
        await http.delete(f"/webhooks/{first['id']}")
        await stream.commit(Step("u", 2, ("between",)))
        second = (await http.post("/webhooks", json=body, headers=key)).json()
        assert (second["id"], second["secret"] != first["secret"]) == (first["id"], True)
        await stream.commit(Step("u", 3, ("since",)))
        await receiver.until_told({"u": ["enter a", "enter since"]})


async def test_where_the_changes_end_is_not_waited_for_longer_than_a_write_is(settings: WebhookSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        broker = f"127.0.0.1:{frozen.getsockname()[1]}"
        hasty = settings.model_copy(update={"kafka_bootstrap": broker, "webhooks_append_timeout_ms": 100})
        async with asyncio.timeout(20):
            with pytest.raises(ServiceError, match="where the membership changes end cannot be read"):
                await present_end(hasty)


async def test_a_record_that_is_no_change_is_passed_by_and_what_follows_it_is_delivered(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    topic = topic_name(settings.topic_prefix, Topic.MEMBERSHIPS)
    async with service(settings) as http:
        await make(http, receiver.url)
        producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
        await producer.start()
        for partition in range(settings.partitions):
            await producer.send_and_wait(topic, b"no change", key=b"a|u", partition=partition)
        await producer.stop()
        await stream.commit(*(Step(f"u{number}", 1, ("a",)) for number in range(8)))
        await receiver.until_told({f"u{number}": ["enter a"] for number in range(8)})
    counted = REGISTRY.get_sample_value("tidegate_unreadable_log_records_total", {"topic": topic})
    assert counted == settings.partitions


async def test_a_record_that_is_no_webhook_is_passed_by_and_counted(
    settings: WebhookSettings, receiver: Receiver
) -> None:
    topic = topic_name(settings.topic_prefix, Topic.WEBHOOKS)
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    try:
        for key, value in ((b"webhook|1", b"no record"), (b"\xff", b"{}")):
            await producer.send_and_wait(topic, value, key=key, partition=0)
    finally:
        await producer.stop()
    async with service(settings) as http:
        made = await make(http, receiver.url)
        assert [webhook["id"] for webhook in (await http.get("/webhooks")).json()["webhooks"]] == [made["id"]]
    assert REGISTRY.get_sample_value("tidegate_unreadable_log_records_total", {"topic": topic}) == 2
