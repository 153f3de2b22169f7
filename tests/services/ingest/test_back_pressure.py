"""A frozen, killed or slow broker costs answers of 503 within five seconds, and never an acknowledged write."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from deploy.local.kafka import LocalKafka
from schemas.topics import Topic
from services.ingest.contact_log import BUFFERED_BYTES_MAX
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.runtime.keys import KeyFile, Scope
from services.runtime.topics import ensure_topics
from tests.pulse import Pulse, beating
from tests.services.ingest.conftest import PARTITIONS, Running, client_of, read_all
from tests.waiting import until

pytestmark = pytest.mark.broker
WRITERS = 8
ANSWER_WITHIN_S = 5.0
"""The promise, in time that this process had."""
BLOCKED_S = 30.0
"""By the real clock, whatever else the machine does."""
WAIT_S = 90.0


@contextlib.asynccontextmanager
async def ingest_on(kafka: LocalKafka, data_dir: Path) -> AsyncIterator[Running]:
    """An ingest whose broker may be harmed."""
    settings = IngestSettings(kafka_bootstrap=kafka.bootstrap, partitions=PARTITIONS, data_dir=data_dir)
    await ensure_topics(settings)
    keys = KeyFile(settings.keys_path)
    token = keys.create("all", frozenset(Scope)).token
    async with Ingest.running(settings) as ingest, client_of(ingest.app, token) as http:
        yield Running(ingest, http, settings, keys)


@pytest.fixture
async def beside(own_broker: LocalKafka, tmp_path: Path) -> AsyncIterator[Running]:
    async with ingest_on(own_broker, tmp_path) as running:
        yield running


@dataclass
class Load:
    """Writers that never stop; what they were told."""

    http: httpx.AsyncClient
    pulse: Pulse
    accepted: list[str] = field(default_factory=list)
    refused: list[httpx.Response] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest_other_s: float = 0.0
    slowest_by_clock_s: float = 0.0
    number: int = 0

    async def define(self) -> None:
        """Save segments, and write with an Idempotency-Key: each is more than one step at the broker."""
        while True:
            self.number += 1
            segment = {"id": f"s_{self.number}", "where": "plan is Pro"}
            contact = {"id": f"u_{self.number}", "attributes": {}}
            for path, body, headers in (
                ("/api/v2/segments", segment, {}),
                ("/api/v2/contacts", contact, {"Idempotency-Key": f"k_{self.number}"}),
            ):
                answer, took_s = await self._timed(path, body, headers)
                self.slowest_other_s = max(self.slowest_other_s, took_s)
                if answer.status_code == 503:
                    self.refused.append(answer)
            await asyncio.sleep(0.1)

    async def write(self) -> None:
        while True:
            self.number += 1
            contact_id = f"u_{self.number}"
            body = {"id": contact_id, "attributes": {"padding": "x" * 2_000}}
            answer, took_s = await self._timed("/api/v2/contacts", body, {})
            self.slowest_s = max(self.slowest_s, took_s)
            if answer.status_code == 202:
                self.accepted.append(contact_id)
            else:
                self.refused.append(answer)
            await asyncio.sleep(0.01)

    async def _timed(self, path: str, body: Any, headers: dict[str, str]) -> tuple[httpx.Response, float]:
        """Send a request. Shape: the answer, and how long it took of the time that this process had."""
        began, began_by_clock = self.pulse.now_s, time.monotonic()
        answer = await self.http.post(path, json=body, headers=headers)
        self.slowest_by_clock_s = max(self.slowest_by_clock_s, time.monotonic() - began_by_clock)
        return answer, self.pulse.now_s - began

    async def accepts_again(self, within_s: float) -> None:
        wanted = len(self.accepted) + 3 * WRITERS
        awaited = f"{wanted} acknowledged writes"
        await until(lambda: len(self.accepted), within_s, awaited, satisfies=lambda count: count >= wanted)


async def every_accepted_write_is_on_the_log(running: Running, load: Load) -> None:
    written = {record.key.decode() for record in await read_all(running.settings, Topic.CONTACT_CHANGES)}
    assert set(load.accepted) <= written


def refusals_say_when_to_come_back(load: Load) -> None:
    assert load.refused
    assert {answer.status_code for answer in load.refused} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in load.refused)
    assert load.slowest_s < ANSWER_WITHIN_S
    assert load.slowest_other_s < 2 * ANSWER_WITHIN_S
    assert load.slowest_by_clock_s < BLOCKED_S


async def freeze(
    kafka: LocalKafka, running: Running, frozen_s: float, again_within_s: float = WAIT_S
) -> tuple[Load, float]:
    """Write while the broker stands still, and until it takes writes again; how long that took."""
    async with beating() as pulse:
        load = Load(running.http, pulse)
        return load, await _freeze(kafka, running, load, frozen_s, again_within_s)


async def _freeze(kafka: LocalKafka, running: Running, load: Load, frozen_s: float, again_within_s: float) -> float:
    writers = [asyncio.create_task(load.write()) for _ in range(WRITERS)]
    writers.append(asyncio.create_task(load.define()))
    await load.accepts_again(WAIT_S)
    pid = kafka.child.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(frozen_s)
        assert running.ingest.contact_log.buffered_bytes <= BUFFERED_BYTES_MAX
    finally:
        os.kill(pid, signal.SIGCONT)
    began = time.monotonic()
    await load.accepts_again(again_within_s)
    took_s = time.monotonic() - began
    assert not any(writer.done() for writer in writers)
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    refusals_say_when_to_come_back(load)
    await every_accepted_write_is_on_the_log(running, load)
    log = running.ingest.contact_log
    await until(lambda: not log.buffered_bytes, WAIT_S, "everything handed over to be acknowledged or given up")
    return took_s


@pytest.mark.timeout(400)
async def test_a_frozen_broker_costs_answers_of_503_and_recovery_needs_no_restart(
    own_broker: LocalKafka, beside: Running
) -> None:
    await freeze(own_broker, beside, frozen_s=9)


@pytest.mark.timeout(400)
async def test_a_killed_broker_loses_nothing_that_was_acknowledged(own_broker: LocalKafka, beside: Running) -> None:
    async with beating() as pulse:
        await kill_under_load(own_broker, beside, Load(beside.http, pulse))
    saved = await beside.http.post("/api/v2/segments", json={"id": "after", "where": "plan is Pro"})
    assert saved.status_code == 201, saved.text


async def kill_under_load(own_broker: LocalKafka, beside: Running, load: Load) -> None:
    """Kill the broker while there are writes, and start it again."""
    writers = [asyncio.create_task(load.write()) for _ in range(WRITERS)]
    await load.accepts_again(WAIT_S)
    os.kill(own_broker.child.pid, signal.SIGKILL)
    await asyncio.to_thread(own_broker.stop)
    await until(lambda: load.refused, WAIT_S, "a refusal")
    await asyncio.to_thread(own_broker.start)
    await load.accepts_again(WAIT_S)
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    refusals_say_when_to_come_back(load)
    await every_accepted_write_is_on_the_log(beside, load)


async def test_a_full_buffer_refuses_at_once(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.contact_log.BUFFERED_BYTES_MAX", 10_000)
    small = {"id": "a", "attributes": {"padding": "x" * 2_000}}
    large = {"contacts": [{**small, "id": f"u{number}"} for number in range(10)]}
    with monkeypatch.context() as unreachable:
        # Not even asked: a refusal that asked the broker would be an error of this test.
        unreachable.setattr(running.ingest.contact_log, "_producer", None)
        refused = await running.http.post("/api/v2/contacts", content=orjson.dumps(large))
    taken = await running.http.post("/api/v2/contacts", json=small)
    assert (refused.status_code, refused.json()["code"], taken.status_code) == (503, "broker_away", 202)
