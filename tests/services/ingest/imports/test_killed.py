"""An import whose process is killed, on a real broker: no row is lost, written twice or put behind a newer one."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import orjson
import pytest

from schemas.topics import Topic
from services.ingest.settings import IngestSettings
from services.runtime.keys import KeyFile, Scope
from services.runtime.topics import ensure_topics
from tests.services.ingest.conftest import read_all
from tests.services.ingest.imports.killed_process import IngestProcess

pytestmark = pytest.mark.broker

ROWS = 60_000
CONTACTS = 7_000
"""Fewer than rows: a contact has several, and their order matters."""
KILLS = 3


def has_read(rows: int, shown: dict[str, Any]) -> bool:
    return int(shown["rows_read"]) >= rows


def file_of(rows: int) -> bytes:
    lines = ["id,step,city"] + [f"c{row % CONTACTS},{row},Ciudad {row}" for row in range(rows)]
    return "\r\n".join(lines).encode()


async def until(http: httpx.AsyncClient, url: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    while True:
        answer = await http.get(url)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        if reached(shown):
            return shown
        await asyncio.sleep(0.005)


@pytest.mark.timeout(600)
async def test_an_import_killed_three_times_writes_each_row_once_and_in_order(ingest_settings: IngestSettings) -> None:
    await ensure_topics(ingest_settings)
    token = KeyFile(ingest_settings.keys_path).create("import", [Scope.IMPORTS_WRITE]).token
    process = IngestProcess(ingest_settings)
    chance = random.Random(7)
    await process.start()
    try:
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
            answer = await http.post(
                f"{process.url}/imports?id_column=id&commit=true",
                content=file_of(ROWS),
                headers={"Content-Type": "text/csv"},
            )
            assert answer.status_code == 202, answer.text
            url = f"{process.url}/imports/{answer.json()['id']}"
            seen = []
            for kill in range(KILLS):
                goal = (kill + 1) * ROWS // (KILLS + 2)
                shown = await until(http, url, partial(has_read, goal))
                await asyncio.sleep(chance.random() * 0.1)
                seen.append(shown["rows_read"])
                await process.end(signal.SIGKILL)
                await process.start()
            shown = await until(http, url, lambda shown: shown["state"] != "running")
    finally:
        await process.end(signal.SIGTERM)
    assert shown["state"] == "completed", process.log.read_text()
    assert all(rows < ROWS for rows in seen), "the import ended before it could be killed"
    assert (shown["accepted"], shown["rejected"], shown["rows_total"]) == (ROWS, 0, ROWS)
    rows_of: dict[int, list[int]] = defaultdict(list)
    for record in await read_all(ingest_settings, Topic.CONTACT_CHANGES):
        rows_of[record.partition].append(orjson.loads(record.value)["attributes"]["step"])
    assert sorted(row for rows in rows_of.values() for row in rows) == list(range(ROWS))
    assert all(rows == sorted(rows) for rows in rows_of.values())
