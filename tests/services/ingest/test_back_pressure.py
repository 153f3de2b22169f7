"""A frozen, killed or slow broker costs answers of 503 within five seconds, and never an acknowledged write."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import orjson
import pytest

from deploy.local.kafka import LocalKafka
from deploy.local.ports import free_ports
from deploy.local.say import to_standard_error
from schemas.topics import Topic
from services.ingest.contact_log import BUFFERED_BYTES_MAX
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.runtime.keys import KeyFile, Scope
from services.runtime.topics import ensure_topics
from tests.services.ingest.conftest import PARTITIONS, Running, client_of, read_all

pytestmark = pytest.mark.broker
WRITERS = 8
ANSWER_WITHIN_S = 5.0


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[LocalKafka]:
    port, controller_port = free_ports(2)
    kafka = LocalKafka(tmp_path / "kafka", port, controller_port, to_standard_error)
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()


@pytest.fixture
async def beside(own_broker: LocalKafka, tmp_path: Path) -> AsyncIterator[Running]:
    """An ingest whose broker may be harmed."""
    settings = IngestSettings(kafka_bootstrap=own_broker.bootstrap, partitions=PARTITIONS, data_dir=tmp_path)
    await ensure_topics(settings)
    keys = KeyFile(settings.keys_path)
    token = keys.create("all", frozenset(Scope)).token
    async with Ingest.running(settings) as ingest, client_of(ingest.app, token) as http:
        yield Running(ingest, http, settings, keys)


@dataclass
class Load:
    """Writers that never stop; what they were told."""

    http: httpx.AsyncClient
    accepted: list[str] = field(default_factory=list)
    refused: list[httpx.Response] = field(default_factory=list)
    slowest_s: float = 0.0
    number: int = 0

    async def write(self) -> None:
        while True:
            self.number += 1
            contact_id = f"u_{self.number}"
            began = time.monotonic()
            body = {"id": contact_id, "attributes": {"padding": "x" * 2_000}}
            answer = await self.http.post("/api/v2/contacts", json=body)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if answer.status_code == 202:
                self.accepted.append(contact_id)
            else:
                self.refused.append(answer)
            await asyncio.sleep(0.01)

    async def accepts_again(self, within_s: float) -> None:
        known = len(self.accepted)
        async with asyncio.timeout(within_s):
            while len(self.accepted) < known + 3 * WRITERS:  # noqa: ASYNC110 - polls what writers append
                await asyncio.sleep(0.05)


async def every_accepted_write_is_on_the_log(running: Running, load: Load) -> None:
    written = {record.key.decode() for record in await read_all(running.settings, Topic.CONTACT_CHANGES)}
    assert set(load.accepted) <= written


def refusals_say_when_to_come_back(load: Load) -> None:
    assert load.refused
    assert {answer.status_code for answer in load.refused} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in load.refused)
    assert load.slowest_s < ANSWER_WITHIN_S


@pytest.mark.timeout(120)
async def test_a_frozen_broker_costs_answers_of_503_and_recovery_needs_no_restart(
    own_broker: LocalKafka, beside: Running
) -> None:
    load = Load(beside.http)
    writers = [asyncio.create_task(load.write()) for _ in range(WRITERS)]
    await load.accepts_again(within_s=20)
    pid = own_broker.child.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(9)
        assert beside.ingest.contact_log.buffered_bytes <= BUFFERED_BYTES_MAX
    finally:
        os.kill(pid, signal.SIGCONT)
    await load.accepts_again(within_s=30)
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    refusals_say_when_to_come_back(load)
    await every_accepted_write_is_on_the_log(beside, load)
    assert beside.ingest.contact_log.buffered_bytes == 0


@pytest.mark.timeout(120)
async def test_a_killed_broker_loses_nothing_that_was_acknowledged(own_broker: LocalKafka, beside: Running) -> None:
    load = Load(beside.http)
    writers = [asyncio.create_task(load.write()) for _ in range(WRITERS)]
    await load.accepts_again(within_s=20)
    os.kill(own_broker.child.pid, signal.SIGKILL)
    await asyncio.to_thread(own_broker.stop)
    await asyncio.sleep(5)
    await asyncio.to_thread(own_broker.start)
    await load.accepts_again(within_s=30)
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    refusals_say_when_to_come_back(load)
    await every_accepted_write_is_on_the_log(beside, load)
    saved = await beside.http.post("/api/v2/segments", json={"id": "after", "where": "plan is Pro"})
    assert saved.status_code == 201, saved.text


async def test_a_full_buffer_refuses_at_once(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.contact_log.BUFFERED_BYTES_MAX", 10_000)
    small = {"id": "a", "attributes": {"padding": "x" * 2_000}}
    large = {"contacts": [{**small, "id": f"u{number}"} for number in range(10)]}
    began = time.monotonic()
    refused = await running.http.post("/api/v2/contacts", content=orjson.dumps(large))
    assert time.monotonic() - began < 1
    taken = await running.http.post("/api/v2/contacts", json=small)
    assert (refused.status_code, refused.json()["code"], taken.status_code) == (503, "broker_away", 202)
