"""One run through everything that the services do on Kafka, with values that can be recognised wherever they end up.

Rule: each step waits for its outcome at the far end, so that a service which may not do its part fails the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer

from schemas.topics import Topic
from tests.services.access.cluster import SecuredCluster
from tests.services.access.system import SecuredSystem
from tests.services.webhooks.receiver import receiving
from tests.waiting import until

CANARY = "canary-4111-1111-1111"
"""Stands in every attribute value that this run writes."""
OUTCOME_TIMEOUT_S = 120


async def work(cluster: SecuredCluster, system: SecuredSystem) -> None:
    """Write, import, merge, repeat, erase, read, deliver, set aside, and rebuild the state from the changelogs."""
    async with receiving() as receiver:
        ok(system.http.post(f"{system.console}/webhooks", json={"url": receiver.url}))
        await _write(system)
        await _set_aside(cluster, system)
        _read(system)
        await receiver.until_accepted(1)
        await asyncio.to_thread(system.begin_anew, "evaluator")
        await _until(lambda: is_member(system, "u3"), "u3 to be a member again")


def ok(answer: httpx.Response) -> Any:
    """The content of an answer that must be a success."""
    assert answer.is_success, f"{answer.request.url} {answer.status_code} {answer.text}"
    return answer.json()


async def _write(system: SecuredSystem) -> None:
    http, api = system.http, system.ingest
    ok(http.put(f"{api}/attributes/card", json={"type": "text"}))
    ok(http.post(f"{api}/segments", json={"id": "carded", "where": f"card is '{CANARY}'"}))
    contact = {"id": "u1", "attributes": {"card": CANARY, "nested": {"note": f"{CANARY} two"}}}
    repeatable = {"Idempotency-Key": "once"}
    await asyncio.to_thread(lambda: ok(http.post(f"{api}/contacts", json=contact, headers=repeatable)))
    again = http.post(f"{api}/contacts", json=contact, headers=repeatable)
    assert again.is_success, again.text
    await asyncio.to_thread(lambda: ok(http.post(f"{api}/contacts", json={"id": "u2", "attributes": {"city": CANARY}})))
    await _until(lambda: is_member(system, "u1"), "u1 to be a member")
    await asyncio.to_thread(lambda: ok(http.post(f"{api}/contacts/u1/merge", json={"into": "u2"})))
    await _until(lambda: is_member(system, "u2"), "u2 to be a member after the merge")
    rows = f"id,card\nu3,{CANARY}\nu4,{CANARY}\n".encode()
    made = ok(http.post(f"{api}/imports?commit=true&id_column=id&filename=c.csv", content=rows))
    path = f"{api}/imports/{made['id']}"
    await _until(lambda: ok(http.get(path))["state"] == "completed", "the import to be completed")
    await _until(lambda: is_member(system, "u3") and is_member(system, "u4"), "u3 and u4 to be members")
    ok(http.delete(f"{api}/contacts/u4"))
    await _until(lambda: http.get(f"{system.console}/contacts/u4").status_code == 404, "u4 to be gone")


async def _set_aside(cluster: SecuredCluster, system: SecuredSystem) -> None:
    """Malformed records, from a producer of somebody's own, become dead letters."""
    producer = AIOKafkaProducer(bootstrap_servers=cluster.plaintext)
    await producer.start()
    try:
        for partition in (0, 1):
            await producer.send_and_wait(
                Topic.CONTACT_CHANGES, f'{{"attributes": {CANARY}'.encode(), key=b"u1", partition=partition
            )
    finally:
        await producer.stop()
    await _until(lambda: len(dead_letters(system)) == 2, "two dead letters")
    for letter in dead_letters(system):
        place = f"{letter['partition']}/{letter['offset']}"
        again = await asyncio.to_thread(system.http.post, f"{system.ingest}/dead-letters/{place}/replay")
        # It was read, and would die again.
        assert again.status_code == 422, again.text


def dead_letters(system: SecuredSystem) -> list[Any]:
    """What was set aside, as the console says."""
    found: list[Any] = ok(system.http.get(f"{system.console}/dead-letters"))["dead_letters"]
    return found


def _read(system: SecuredSystem) -> None:
    for path in (
        "/contacts/u3",
        "/contacts/u3/changes",
        "/contacts/u3/explain?segment=carded",
        "/contacts",
        "/attributes",
        "/segments",
        "/segments/carded",
        "/segments/carded/members",
        "/segments/carded/changes",
    ):
        ok(system.http.get(system.console + path))
    ok(system.http.post(f"{system.console}/segments/preview", json={"where": f"card is '{CANARY}'"}))
    # What is refused is told to the caller, and to nobody else.
    refused = system.http.post(f"{system.ingest}/contacts", json={"id": "u9", "attributes": {"card": [[CANARY]]}})
    assert refused.status_code == 422
    assert system.http.post(f"{system.ingest}/contacts", content=f'{{"card": "{CANARY}"').status_code == 400


def is_member(system: SecuredSystem, contact_id: str) -> bool:
    """Whether the contact is in the segment, as the console says."""
    answer = system.http.get(f"{system.console}/contacts/{contact_id}")
    return answer.is_success and "carded" in answer.text


async def _until(holds: Callable[[], bool], doing: str) -> None:
    """Wait for the services, without holding up the receiver on this loop while they are asked."""
    await until(lambda: asyncio.to_thread(holds), OUTCOME_TIMEOUT_S, doing)
