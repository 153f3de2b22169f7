"""F6: a slow, a resetting and a silent network between ingest and its broker.

Rule: ingest runs as a process of its own, and reaches the broker only through the network that is harmed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import orjson
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.kafka import LocalKafka
from deploy.local.ports import LOOPBACK, free_ports
from schemas.topics import Topic, topic_name
from services.ingest.contact_log import BUFFERED_BYTES_MAX
from services.runtime.keys import KEY_FILE_NAME, KeyFile, Scope
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics
from tests.faults.network import Network
from tests.faults.table import show
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]
PARTITIONS = 3
WRITERS = 8
ANSWER_WITHIN_S = 5.0
RECOVERY_WITHIN_S = 30.0
READY_WITHIN_S = 60.0
FLOOD_REQUESTS = 72
FLOOD_CONTACTS = 20
FLOOD_PADDING = "x" * 50_000
RESIDENT_GROWTH_MAX = 160 * 1024 * 1024
"""Bodies in hand and buffered records are at most 24 and 32 MiB; the rest is what handling them costs."""
_ANSWERED = re.compile(
    r'^tidegate_request_duration_seconds_bucket\{le="([^"]+)",route="/api/v2/contacts"\} (\S+)$', re.MULTILINE
)
_BUFFERED = re.compile(r"^tidegate_buffered_bytes (\S+)$", re.MULTILINE)


@dataclass
class Site:
    """A broker, the network before it, and the ingest process behind that."""

    network: Network
    settings: RuntimeSettings
    process: psutil.Process
    admin_url: str
    http: httpx.AsyncClient
    accepted: list[str] = field(default_factory=list)
    refused: list[httpx.Response] = field(default_factory=list)
    slowest_s: float = 0.0
    buffered_max: float = 0.0
    resident_max: int = 0
    number: int = 0

    async def post(self, contacts: list[str], content: bytes) -> None:
        """Write contacts, and take note of what was answered and when."""
        began = time.monotonic()
        answer = await self.http.post("/api/v2/contacts", content=content)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        if answer.status_code == 202:
            self.accepted.extend(contacts)
        elif answer.status_code == 207:
            receipts = answer.json()["receipts"]
            self.accepted.extend(receipt["id"] for receipt in receipts if receipt["status"] == 202)
            self.refused.append(answer)
        else:
            self.refused.append(answer)

    async def write(self) -> None:
        """Write contacts for ever."""
        while True:
            self.number += 1
            await self.post([f"u_{self.number}"], body_of([f"u_{self.number}"], "x" * 2_000))
            await asyncio.sleep(0.01)

    async def watch(self) -> None:
        """Take note of what ingest holds, for ever."""
        while True:
            shown = _BUFFERED.search((await self.http.get(f"{self.admin_url}/metrics")).text)
            assert shown is not None
            self.buffered_max = max(self.buffered_max, float(shown[1]))
            self.resident_max = max(self.resident_max, self.process.memory_info().rss)
            await asyncio.sleep(0.1)

    async def accepts_again(self, within_s: float = RECOVERY_WITHIN_S) -> None:
        """Return once writes are acknowledged that were not before."""
        wanted = len(self.accepted) + 3 * WRITERS
        awaited = f"{wanted} acknowledged writes"
        await until(lambda: len(self.accepted), within_s, awaited, satisfies=lambda count: count >= wanted)

    @contextlib.asynccontextmanager
    async def under_load(self) -> AsyncIterator[None]:
        """Writers and a watch, which find all well at first and at last."""
        working = [asyncio.create_task(self.write()) for _ in range(WRITERS)]
        working.append(asyncio.create_task(self.watch()))
        try:
            await self.accepts_again()
            yield
            self.network.heal()
            await self.accepts_again()
            assert not any(task.done() for task in working)
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    async def late_answers(self) -> int:
        """How many requests ingest answered later than promised, by its own clock, from their arrival."""
        text = (await self.http.get(f"{self.admin_url}/metrics")).text
        counted = {bound: float(count) for bound, count in _ANSWERED.findall(text)}
        assert counted["+Inf"] > 0
        return int(counted["+Inf"] - counted[str(ANSWER_WITHIN_S)])

    async def kept_its_promises(self, *, flooded: bool = False) -> None:
        """Nothing acknowledged was lost; what was refused was told when to come back; buffers are bounded.

        `flooded`: how long this process took to send a flood is not ingest's doing, so only ingest's clock counts.
        """
        # A write of 207 says per item what the header says for all.
        assert {answer.status_code for answer in self.refused} <= {503, 207}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in self.refused)
        assert await self.late_answers() == 0
        assert flooded or self.slowest_s < ANSWER_WITHIN_S
        assert self.buffered_max <= BUFFERED_BYTES_MAX
        assert set(self.accepted) <= await written(self.settings)
        assert self.process.is_running()


def body_of(contacts: list[str], padding: str) -> bytes:
    """A request that writes contacts."""
    return orjson.dumps({"contacts": [{"id": name, "attributes": {"padding": padding}} for name in contacts]})


async def written(settings: RuntimeSettings) -> set[str]:
    """The ids on the log, read past the harmed network."""
    topic = topic_name(settings.topic_prefix, Topic.CONTACT_CHANGES)
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: set[str] = set()
        for partition in partitions:
            consumer.seek(partition, 0)
            while await consumer.position(partition) < ends[partition]:
                polled = await consumer.getmany(partition, timeout_ms=1_000)
                found.update(record.key.decode() for records in polled.values() for record in records)
        return found
    finally:
        await consumer.stop()


@pytest.fixture
async def site(
    far_broker: LocalKafka, ports: tuple[int, int], topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Site]:
    settings = RuntimeSettings(
        kafka_bootstrap=far_broker.bootstrap, topic_prefix=topic_prefix, partitions=PARTITIONS, data_dir=tmp_path
    )
    await ensure_topics(settings)
    token = KeyFile(tmp_path / KEY_FILE_NAME).create("faults", [Scope.CONTACTS_WRITE]).token
    port, admin_port = free_ports(2)
    environment = {
        **os.environ,
        "TIDEGATE_KAFKA_BOOTSTRAP": f"{LOOPBACK}:{ports[0]}",
        "TIDEGATE_TOPIC_PREFIX": topic_prefix,
        "TIDEGATE_PARTITIONS": str(PARTITIONS),
        "TIDEGATE_DATA_DIR": str(tmp_path),
        "TIDEGATE_INGEST_PORT": str(port),
        "TIDEGATE_ADMIN_PORT": str(admin_port),
        "TIDEGATE_LOG_LEVEL": "ERROR",
    }
    admin_url = f"http://{LOOPBACK}:{admin_port}"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with (
        Network(*ports) as network,
        httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", headers=headers, timeout=30, limits=limits) as http,
    ):
        child = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.ingest", env=environment)
        try:
            await ready(http, f"{admin_url}/ready")
            yield Site(network, settings, psutil.Process(child.pid), admin_url, http)
        finally:
            child.kill()
            await child.wait()


async def ready(http: httpx.AsyncClient, url: str) -> None:
    """Return once ingest says so."""

    async def told() -> int | str:
        try:
            return (await http.get(url)).status_code
        except httpx.TransportError as error:
            return repr(error)

    await until(told, READY_WITHIN_S, "ingest to be ready", satisfies=lambda status: status == 200)


async def test_a_slow_network_delays_writes_and_loses_none(site: Site) -> None:
    async with site.under_load():
        site.network.delay_s = 0.3
        await site.accepts_again()
        site.network.bytes_per_s = 2_000
        await asyncio.sleep(7)
    assert site.refused
    await site.kept_its_promises()


async def test_connections_that_are_reset_again_and_again_lose_no_write(site: Site) -> None:
    async with site.under_load():
        site.network.life_s = 0.3
        await asyncio.sleep(5)
    assert site.network.resets >= 5
    await site.kept_its_promises()


async def test_a_silent_network_costs_answers_of_503_and_recovery_needs_no_restart(site: Site) -> None:
    async with site.under_load():
        site.network.swallow()
        await asyncio.sleep(9)
    assert site.refused
    await site.kept_its_promises()


@pytest.mark.faults
async def test_thirty_seconds_without_a_broker_cost_answers_of_503_and_no_restart(site: Site) -> None:
    async with site.under_load():
        site.network.swallow()
        await asyncio.sleep(30)
        refused, buffered = len(site.refused), site.buffered_max
        healed = time.monotonic()
        site.network.heal()
        await site.accepts_again(within_s=60)
        again = time.monotonic() - healed
    assert refused
    await site.kept_its_promises()
    show(
        "F5",
        f"ingest, network cut for 30 s: {refused} answers of 503, the slowest after {site.slowest_s:.1f} s, at most "
        f"{buffered / 2**20:.1f} MiB buffered, accepts again after {again:.1f} s",
    )


async def test_a_flood_into_a_silent_network_is_refused_before_it_fills_the_memory(site: Site) -> None:
    names = [[f"f_{request}_{n}" for n in range(FLOOD_CONTACTS)] for request in range(FLOOD_REQUESTS)]
    flood = [(contacts, body_of(contacts, FLOOD_PADDING)) for contacts in names]
    assert sum(len(content) for _, content in flood) > BUFFERED_BYTES_MAX
    async with site.under_load():
        resident_before = site.resident_max
        site.network.swallow()
        await asyncio.gather(*(site.post(contacts, content) for contacts, content in flood))
        grown = site.resident_max - resident_before
        assert grown < RESIDENT_GROWTH_MAX
    assert site.buffered_max > 0
    await site.kept_its_promises(flooded=True)
    show(
        "F6",
        f"ingest, {FLOOD_REQUESTS} MiB into a silent network: the slowest answer after {site.slowest_s:.1f} s, at most "
        f"{site.buffered_max / 2**20:.1f} MiB buffered, memory +{grown / 2**20:.0f} MiB",
    )
