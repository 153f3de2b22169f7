"""A table of requests that was kept beside a log which is gone answers nobody: what it tells of was never written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from schemas.request_record import RequestRecord, RequestState
from schemas.topics import Topic, topic_name
from services.ingest.request_store import RequestStore, Step, source_of
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.runtime.topics import cluster_of
from tests.services.ingest.conftest import Running, client_of, read_all

pytestmark = pytest.mark.broker

AFTER_ALL_OTHERS = 10**15
CONTACT = {"id": "u_17", "attributes": {"plan": "pro"}}


@pytest.mark.parametrize("cluster", ["this", "gone"])
async def test_a_table_of_a_log_that_is_gone_is_forgotten_and_read_anew(
    running: Running, tmp_path: Path, cluster: str
) -> None:
    """Of the same cluster it stands behind the end of the topic, of another one in the middle of it."""
    first = await post(running.http)
    settings = elsewhere(running, tmp_path)
    of = await cluster_of(settings) if cluster == "this" else "another"
    fill(settings, of, position=1_000 if cluster == "this" else 1)
    async with restarted(running, settings) as http:
        again = await post(http)
    assert again.json() == first.json()
    assert "idempotency-replayed" in again.headers
    assert len(await read_all(running.settings, Topic.CONTACT_CHANGES)) == 1
    assert not is_held(settings, await cluster_of(settings))


async def test_a_table_is_forgotten_beside_a_topic_that_was_made_anew_and_holds_nothing_yet(
    running: Running, tmp_path: Path
) -> None:
    settings = elsewhere(running, tmp_path)
    fill(settings, await cluster_of(settings), position=1_000)
    async with restarted(running, settings):
        pass
    assert not is_held(settings, await cluster_of(settings))


async def test_a_table_of_this_log_is_kept(running: Running, tmp_path: Path) -> None:
    await post(running.http)
    settings = elsewhere(running, tmp_path)
    fill(settings, await cluster_of(settings), position=1)
    async with restarted(running, settings):
        pass
    assert is_held(settings, await cluster_of(settings))


async def post(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/api/v2/contacts", json=CONTACT, headers={"Idempotency-Key": "k1"})


def elsewhere(running: Running, tmp_path: Path) -> IngestSettings:
    """The settings of a process with a disk of its own."""
    return running.settings.model_copy(update={"data_dir": tmp_path / "new", "key_file": running.settings.keys_path})


@asynccontextmanager
async def restarted(running: Running, settings: IngestSettings) -> AsyncIterator[httpx.AsyncClient]:
    token = running.http.headers["authorization"].removeprefix("Bearer ")
    async with Ingest.running(settings) as ingest, client_of(ingest.app, token) as http:
        yield http


def table(settings: IngestSettings, cluster: str) -> RequestStore:
    source = source_of(topic_name(settings.topic_prefix, Topic.REQUESTS), cluster)
    return RequestStore(settings.data_dir / "requests.sqlite", source)


def fill(settings: IngestSettings, cluster: str, position: int) -> None:
    """Leave a table with one answer that is on no log."""
    store = table(settings, cluster)
    states = (RequestState.CLAIMED, RequestState.DONE)
    records = [RequestRecord(state=state, claim="c", fingerprint="f", status=202) for state in states]
    store.fold([Step("d", AFTER_ALL_OTHERS, record) for record in records], position)
    store.close()


def is_held(settings: IngestSettings, cluster: str) -> bool:
    store = table(settings, cluster)
    held = store.get("d") is not None
    store.close()
    return held
