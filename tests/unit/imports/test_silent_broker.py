"""An import whose broker takes connections and says nothing: it waits, says so, and ends as soon as it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.ingest.imports.bulk_log import KafkaBulkLog
from services.ingest.imports.records import ImportState
from services.ingest.imports.run import FOR_BROKER
from tests.unit.imports.test_claims import World, importing
from tests.waiting import until

WAIT_S = 20.0
ENDED_WITHIN_S = 10.0
"""Of the fifteen that a stop may take; the client itself would wait for a minute."""


@pytest.fixture
async def waiting(tmp_path: Path) -> AsyncIterator[World]:
    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    options = {"bootstrap_servers": f"127.0.0.1:{server.sockets[0].getsockname()[1]}"}
    async with importing(tmp_path, lambda is_ours: KafkaBulkLog(options, "contact-changes", 1, is_ours)) as world:
        progress = world.work.progress
        await until(lambda: progress.waiting, WAIT_S, "the import to wait", satisfies=lambda w: w == FOR_BROKER)
        yield world
    for writer in writers:
        writer.close()
    server.close()


async def test_a_process_that_stops_does_not_wait_for_the_broker(waiting: World) -> None:
    async with asyncio.timeout(ENDED_WITHIN_S):
        await waiting.workshop.stop()
    assert waiting.stored().state is ImportState.RUNNING


async def test_an_import_that_is_cancelled_does_not_wait_for_the_broker(waiting: World) -> None:
    async with asyncio.timeout(ENDED_WITHIN_S):
        record = await waiting.imports.cancel(waiting.record.id)
    assert record.state is ImportState.CANCELLED
