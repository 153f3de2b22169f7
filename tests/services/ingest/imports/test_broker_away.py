"""An import whose broker goes away and comes back: it waits, says so, and goes on by itself."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from deploy.local.kafka import LocalKafka
from schemas.topics import Topic
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.runtime.keys import KeyFile, Scope
from services.runtime.topics import ensure_topics
from tests.services.ingest.conftest import PARTITIONS, Running, client_of, read_all
from tests.services.ingest.imports.test_import_path import WAIT_S, ended
from tests.waiting import until

pytestmark = pytest.mark.broker

ROWS = 60_000
FILE = b"id,step\n" + b"".join(b"c%d,%d\n" % (row % 999, row) for row in range(ROWS))


async def import_during(kafka: LocalKafka, tmp_path: Path, trouble: Any) -> tuple[dict[str, Any], IngestSettings]:
    settings = IngestSettings(
        kafka_bootstrap=kafka.bootstrap, partitions=PARTITIONS, data_dir=tmp_path / "data", topic_prefix="away-"
    )
    settings.data_dir.mkdir()
    await ensure_topics(settings)
    keys = KeyFile(settings.keys_path)
    token = keys.create("all", frozenset(Scope)).token
    async with Ingest.running(settings) as ingest, client_of(ingest.app, token) as http:
        running = Running(ingest, http, settings, keys)
        answer = await http.post("/api/v2/imports?commit=true&id_column=id", content=FILE)
        assert answer.status_code == 202, answer.text
        path = f"/api/v2/imports/{answer.json()['id']}"
        await until(lambda: told(http, path, "rows_read"), WAIT_S, "the first row to be read", every_s=0.01)
        await trouble(running, path)
        shown = await ended(running, answer.json()["id"])
    return shown, settings


async def told(http: httpx.AsyncClient, path: str, field: str) -> Any:
    """One field of what an import tells."""
    return (await http.get(path)).json()[field]


async def assert_complete(shown: dict[str, Any], settings: IngestSettings) -> None:
    assert (shown["state"], shown["accepted"], shown["waiting"]) == ("completed", ROWS, None)
    steps: dict[int, list[int]] = {}
    for record in await read_all(settings, Topic.CONTACT_CHANGES):
        steps.setdefault(record.partition, []).append(int(orjson.loads(record.value)["attributes"]["step"]))
    assert sorted(step for rows in steps.values() for step in rows) == list(range(ROWS))
    assert all(rows == sorted(rows) for rows in steps.values())


@pytest.mark.timeout(400)
async def test_a_broker_that_is_restarted_costs_the_import_nothing_but_time(
    own_broker: LocalKafka, tmp_path: Path
) -> None:
    async def restart(running: Running, path: str) -> None:
        await asyncio.to_thread(own_broker.stop)
        await until(
            lambda: told(running.http, path, "waiting"),
            WAIT_S,
            "the import to say that it waits for the broker",
            satisfies=lambda waiting: waiting == "for the broker",
        )
        await asyncio.to_thread(own_broker.start)

    await assert_complete(*await import_during(own_broker, tmp_path, restart))


@pytest.mark.timeout(400)
async def test_an_import_that_waits_for_a_broker_can_be_cancelled(own_broker: LocalKafka, tmp_path: Path) -> None:
    async def cancel(running: Running, path: str) -> None:
        await asyncio.to_thread(own_broker.stop)
        async with asyncio.timeout(WAIT_S):
            assert (await running.http.post(f"{path}/cancel")).json()["state"] == "cancelled"
        await asyncio.to_thread(own_broker.start)

    shown, _ = await import_during(own_broker, tmp_path, cancel)
    assert shown["state"] == "cancelled"


@pytest.mark.timeout(400)
async def test_a_broker_that_stands_still_for_a_while_is_waited_for(own_broker: LocalKafka, tmp_path: Path) -> None:
    async def stand_still(running: Running, path: str) -> None:
        pid = own_broker.child.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(5)
            assert (await running.http.get(path)).json()["state"] == "running"
        finally:
            os.kill(pid, signal.SIGCONT)

    await assert_complete(*await import_during(own_broker, tmp_path, stand_still))
