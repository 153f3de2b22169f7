"""Membership changes by HTTP, from a real broker to a real server that fails, stalls and redirects."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.groups import WEBHOOK_GROUPS, group_name
from schemas.topics import Topic, topic_name
from schemas.webhook import FAILURE_KEY, WebhookFailureRecord, failure_key
from segmentation.model import InstantMs
from services.runtime.clock import now_ms
from services.runtime.keys import Scope
from services.webhooks import registry
from services.webhooks.settings import WebhookSettings
from tests.services.sdk.stream import Step, Stream
from tests.services.webhooks.conftest import service
from tests.services.webhooks.receiver import WAIT_S, Receiver
from tests.waiting import until

pytestmark = pytest.mark.broker


def members(admin: AdminClient, group: str) -> list[str]:
    """The consumers in a group."""
    described = admin.describe_consumer_groups([group])[group].result(timeout=WAIT_S)
    return [member.member_id for member in described.members]


async def group(admin: AdminClient, settings: WebhookSettings, webhook: str) -> str:
    """The consumer group of a webhook, once there is one."""
    found: list[str] = []

    def is_there() -> bool:
        listed = admin.list_consumer_groups().result().valid
        named = group_name(settings.topic_prefix, WEBHOOK_GROUPS + webhook)
        found[:] = [each.group_id for each in listed if each.group_id.startswith(named)]
        return bool(found)

    await until(lambda: asyncio.to_thread(is_there), WAIT_S, "the webhook's group")
    return found[0]


async def make(http: httpx.AsyncClient, url: str, segments: list[str] | None = None) -> dict[str, Any]:
    answer = await http.post("/webhooks", json={"url": url, "segments": segments} if segments else {"url": url})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def failures(http: httpx.AsyncClient, webhook: str) -> list[dict[str, Any]]:
    answer = await http.get(f"/webhooks/{webhook}/failures")
    listed: list[dict[str, Any]] = answer.json()["failures"]
    return listed


async def first_failures(http: httpx.AsyncClient, webhook: str) -> list[dict[str, Any]]:
    """The failures, as soon as there are some."""
    return await until(lambda: failures(http, webhook), WAIT_S, "a delivery to be given up")


async def test_through_a_receiver_that_fails_stalls_and_redirects_every_change_arrives_in_order_or_is_kept(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    contacts = [f"u{number}" for number in range(12)]
    receiver.plan.update({"u1": [500, 503], "u2": ["stall"], "u3": [302], "u4": [500] * 4, "u5": [404], "u6": [429]})
    async with service(settings) as http:
        await stream.commit(Step("before", 0, ("a",)))
        webhook = await make(http, receiver.url)
        for at in range(1, 5):
            await stream.commit(*(Step(contact, at, ("a",), enters=at % 2 == 1) for contact in contacts))
        whole = ["enter a", "exit a", "enter a", "exit a"]
        wanted = dict.fromkeys(contacts, whole) | dict.fromkeys(("u3", "u4", "u5"), whole[1:])
        await receiver.until_told(wanted)
        kept = await failures(http, webhook["id"])
        assert {failure["contact_id"]: failure["attempts"] for failure in kept} == {"u3": 1, "u4": 4, "u5": 1}
        reasons = {failure["contact_id"]: failure["reason"] for failure in kept}
        assert "redirects are not followed" in reasons["u3"]
        assert not any(request.path.endswith("elsewhere") for request in receiver.requests)
        assert all(request.is_signed_with(webhook["secret"]) for request in receiver.requests)
        assert not receiver.accepted[0].is_signed_with("whsec_other")
        sys.stdout.write(
            f"{4 * len(contacts)} changes: {len(receiver.requests)} requests, {len(receiver.accepted)} accepted, "
            f"{len(kept)} given up\n"
        )
        for failure in kept:
            replayed = await http.post(f"/webhooks/{webhook['id']}/failures/{failure['id']}/replay")
            assert replayed.status_code == 200, replayed.text
        assert await failures(http, webhook["id"]) == []
        assert sum(map(len, receiver.told().values())) == 4 * len(contacts)


async def test_a_replay_that_fails_again_stays_in_the_list(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    receiver.plan["u"] = [410, 410]
    async with service(settings) as http:
        webhook = await make(http, receiver.url)
        await stream.commit(Step("u", 1, ("a",)))
        kept = await first_failures(http, webhook["id"])
        again = await http.post(f"/webhooks/{webhook['id']}/failures/{kept[0]['id']}/replay")
        assert (again.status_code, "410" in again.json()["detail"]) == (502, True)
        assert await failures(http, webhook["id"]) == kept


async def test_only_wanted_segments_come_and_all_changes_of_one_cause_come_together(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    async with service(settings) as http:
        await make(http, receiver.url, ["a", "c"])
        await stream.commit(Step("u", 1, ("a", "b", "c")), Step("u", 2, ("b",), enters=False))
        await stream.abort(Step("ghost", 3, ("a",)))
        await stream.commit(Step("u", 4, ("c",), enters=False))
        await receiver.until_accepted(2)
    bodies = [request.content for request in receiver.accepted]
    assert [[change["segment_id"] for change in body["changes"]] for body in bodies] == [["a", "c"], ["c"]]
    assert bodies[0]["id"] == bodies[0]["changes"][0]["event_id"]


async def test_a_restart_goes_on_behind_what_was_delivered_and_loses_nothing_written_meanwhile(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    async with service(settings) as http:
        webhook = await make(http, receiver.url)
        await stream.commit(Step("u", 1, ("a",)))
        await receiver.until_accepted(1)
    await stream.commit(Step("u", 2, ("a",), enters=False))
    async with service(settings) as http:
        await receiver.until_told({"u": ["enter a", "exit a"]})
        assert [one["id"] for one in (await http.get("/webhooks")).json()["webhooks"]] == [webhook["id"]]
        admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
        left = await group(admin, settings, webhook["id"])
        await http.delete(f"/webhooks/{webhook['id']}")
        await until(lambda: not members(admin, left), WAIT_S, "the deleted webhook to be followed no longer")
        await make(http, f"{receiver.url}other")
        await stream.commit(Step("u", 3, ("a",)))
        await receiver.until_accepted(3)
    assert [request.path for request in receiver.accepted] == ["/", "/", "/other"]


async def test_an_address_that_is_not_public_is_refused_when_made_and_when_sent_to(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    async with service(settings) as http:
        webhook = await make(http, receiver.url)
    await stream.commit(Step("u", 1, ("a",)))
    strict = settings.model_copy(update={"webhooks_allow_local": False})
    async with service(strict) as http:
        refused = await http.post("/webhooks", json={"url": "https://localhost/"})
        assert (refused.status_code, "not a public address" in refused.json()["title"]) == (422, True)
        kept = await first_failures(http, webhook["id"])
    assert "begins with https://" in kept[0]["reason"]
    assert receiver.requests == []


async def test_only_a_key_with_admin_may_see_or_make_webhooks(settings: WebhookSettings) -> None:
    async with service(settings, Scope.SEGMENTS_WRITE) as http:
        assert (await http.get("/webhooks")).status_code == 403
        assert (await http.post("/webhooks", json={"url": "https://example.com/"})).status_code == 403
        assert (await http.get("/webhooks", headers={"Authorization": "Bearer tg_wrong"})).status_code == 401


async def test_a_secret_is_in_the_answer_that_made_it_and_nowhere_else(
    settings: WebhookSettings, receiver: Receiver
) -> None:
    async with service(settings) as http:
        webhook = await make(http, receiver.url)
        assert webhook["secret"].startswith("whsec_")
        assert webhook["secret"] not in (await http.get("/webhooks")).text
        wrong = await http.post("/webhooks", json={"url": receiver.url, "segments": ["Not a slug"]})
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/segments/0")


async def test_a_body_that_is_no_webhook_or_too_large_is_refused(settings: WebhookSettings) -> None:
    async with service(settings) as http:
        twice = b'{"url": "https://a.example/", "url": "https://b.example/"}'
        bodies = (b"{", b"[]", b"x" * 300_000, twice, b'{"url": NaN}', b'{"url": "\xff"}')
        answers = [await http.post("/webhooks", content=body) for body in bodies]
        stranger = await http.post("/webhooks", content=b"x" * 300_000, headers={"Authorization": ""})
    assert [answer.status_code for answer in (*answers, stranger)] == [400, 422, 413, 400, 400, 400, 401]
    assert answers[3].json()["code"] == "duplicate_key"
    assert "b.example" not in "".join(answer.text for answer in answers)


async def test_a_repeated_request_makes_one_webhook_and_gets_the_first_answer(
    settings: WebhookSettings, receiver: Receiver
) -> None:
    wanted, once = {"url": receiver.url, "segments": ["a"]}, {"Idempotency-Key": "k-1"}
    async with service(settings) as http:
        answers = await asyncio.gather(*(http.post("/webhooks", json=wanted, headers=once) for _ in range(4)))
        assert [answer.status_code for answer in answers] == [201] * 4
        assert len({answer.text for answer in answers}) == 1
        other = await http.post("/webhooks", json={"url": receiver.url}, headers=once)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        token = http.headers["Authorization"]
    async with service(settings) as http:
        again = await http.post("/webhooks", json=wanted, headers={**once, "Authorization": token})
        assert again.text == answers[0].text
        assert again.headers["Idempotency-Replayed"] == "true"
        assert len((await http.get("/webhooks")).json()["webhooks"]) == 1


async def test_of_two_processes_that_make_the_same_webhook_the_first_stands_after_every_restart(
    settings: WebhookSettings, receiver: Receiver
) -> None:
    wanted, once = {"url": receiver.url}, {"Idempotency-Key": "k-1"}
    async with service(settings) as http, service(settings) as other:
        other.headers["Authorization"] = http.headers["Authorization"]
        answers = await asyncio.gather(
            *(each.post("/webhooks", json=wanted, headers=once) for _ in range(3) for each in (http, other))
        )
        assert len({answer.json()["secret"] for answer in answers}) == 1, [answer.text for answer in answers]


async def test_a_repeated_replay_is_delivered_once_and_gets_the_first_answer(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    receiver.plan["u"] = [404]
    async with service(settings) as http:
        webhook = await make(http, receiver.url)
        await stream.commit(Step("u", 1, ("a",)))
        (failure,) = await first_failures(http, webhook["id"])
        path, once = f"/webhooks/{webhook['id']}/failures/{failure['id']}/replay", {"Idempotency-Key": "again"}
        first = await http.post(path, headers=once)
        second = await http.post(path, headers=once)
        assert (first.status_code, second.status_code, first.text) == (200, 200, second.text)
        assert second.headers["Idempotency-Replayed"] == "true"
        assert len(receiver.accepted) == 1
        without = await http.post(path)
        assert (without.text, without.headers["Idempotency-Replayed"], len(receiver.accepted)) == (
            first.text,
            "true",
            1,
        )
        reused = await http.post(path.replace("replay", "replay?x=1").replace(failure["id"], "other"), headers=once)
        assert reused.json()["code"] == "idempotency_key_reused"


async def test_of_replays_at_two_processes_one_is_delivered_and_a_restart_remembers_it(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    receiver.plan["u"] = [404]
    async with service(settings) as http, service(settings) as other:
        webhook = await make(http, receiver.url)
        await stream.commit(Step("u", 1, ("a",)))
        (failure,) = await first_failures(http, webhook["id"])
        await first_failures(other, webhook["id"])
        path = f"/webhooks/{webhook['id']}/failures/{failure['id']}/replay"
        raced = await asyncio.gather(*(each.post(path) for _ in range(3) for each in (http, other)))
        assert {answer.status_code for answer in raced} <= {200, 503}, [answer.text for answer in raced]
        assert [answer.status_code for answer in raced].count(200) >= 1
        token = http.headers["Authorization"]
    async with service(settings) as http:
        again = await http.post(path, headers={"Authorization": token})
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert len(receiver.accepted) == 1


async def test_a_key_that_asks_too_often_is_told_to_wait_and_every_answer_has_an_id(settings: WebhookSettings) -> None:
    async with service(settings.model_copy(update={"webhooks_rate_limit_per_s": 3})) as http:
        answers = [await http.get("/webhooks", headers={"X-Request-Id": f"mine-{at}"}) for at in range(8)]
        limited = [answer for answer in answers if answer.status_code == 429]
        assert limited
        assert limited[0].json()["code"] == "rate_limited"
        assert limited[0].headers["Retry-After"] == "1"
        assert all(answer.headers["RateLimit-Policy"] == '"requests";q=3;w=1' for answer in answers)
        assert [answer.headers["X-Request-Id"] for answer in answers] == [f"mine-{at}" for at in range(8)]
        stranger = await http.get("/webhooks", headers={"Authorization": "Bearer tg_no", "X-Request-Id": "no good"})
        assert stranger.headers["X-Request-Id"].startswith("req_")
        assert stranger.json()["code"] == "unknown_key"


async def test_a_given_up_delivery_is_forgotten_in_time(
    settings: WebhookSettings, stream: Stream, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.plan["u"] = [404]
    async with service(settings) as http:
        webhook = await make(http, receiver.url)
        await stream.commit(Step("u", 1, ("a",)))
        await first_failures(http, webhook["id"])
    monkeypatch.setattr(registry, "FAILURE_KEPT_MS", 3_600_000)
    async with service(settings) as http:
        assert len(await failures(http, webhook["id"])) == 1
    monkeypatch.setattr(registry, "FAILURE_KEPT_MS", 1)
    async with service(settings) as http:
        await until(partial(_has_none, http, webhook["id"]), WAIT_S, "the failure to be forgotten")


async def test_what_is_given_up_after_its_webhook_was_deleted_is_not_kept(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    receiver.plan["u"] = ["hold"]
    async with service(settings) as http:
        gone = await make(http, receiver.url, ["a"])
        await stream.commit(Step("u", 1, ("a",)))
        await until(lambda: receiver.requests, WAIT_S, "the delivery to be under way")
        assert (await http.delete(f"/webhooks/{gone['id']}")).status_code == 204
        await make(http, receiver.url, ["b"])
        receiver.let_go.set()
        # One that is made is followed once those that are gone have ended.
        await stream.commit(Step("v", 2, ("b",)))
        await receiver.until_told({"v": ["enter b"]})
    assert await kept_failures(settings) == []


async def test_failures_of_a_webhook_that_is_gone_are_forgotten(settings: WebhookSettings) -> None:
    failure = WebhookFailureRecord(
        webhook_id="wh_gone",
        failure_id="f",
        delivery_id="a|u|1|1",
        contact_id="u",
        failed_at=InstantMs(now_ms()),
        attempts=1,
        reason="it was deleted by another process just then",
        body="{}",
    )
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    topic = topic_name(settings.topic_prefix, Topic.WEBHOOKS)
    await producer.send_and_wait(topic, failure.encode(), key=failure_key("wh_gone", "f"), partition=0)
    await producer.stop()
    async with service(settings):
        wanted = "the failure to be forgotten"
        await until(lambda: kept_failures(settings), WAIT_S, wanted, satisfies=lambda kept: kept == [])


async def kept_failures(settings: WebhookSettings) -> list[str]:
    """The keys of the failures that the topic keeps."""
    place = TopicPartition(topic_name(settings.topic_prefix, Topic.WEBHOOKS), 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="earliest")
    kept: dict[str, bool] = {}
    await consumer.start()
    try:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        while await consumer.position(place) < end:
            for record in (await consumer.getmany(timeout_ms=1_000)).get(place, ()):
                kept[record.key.decode()] = record.value is not None
    finally:
        await consumer.stop()
    return [key for key, there in kept.items() if there and key.startswith(FAILURE_KEY)]


async def _has_none(http: httpx.AsyncClient, webhook: str) -> bool:
    return not await failures(http, webhook)
