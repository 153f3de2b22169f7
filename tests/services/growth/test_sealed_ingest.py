"""While a workspace is being moved, ingest refuses every kind of write as something to be tried again later."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.workspace.broker import connected
from deploy.workspace.moving import SEALED_BYTES, SIZE_SETTING
from tests.faults.workspace import Workspace
from tests.services.growth.serving import ingest
from tests.waiting import until

pytestmark = pytest.mark.broker

WRITES = (
    ("POST", "/contacts", {"id": "c", "attributes": {"plan": "pro"}}),
    ("POST", "/contacts", {"contacts": [{"id": "c", "attributes": {"plan": "pro"}}, {"id": "d", "attributes": {}}]}),
    ("PATCH", "/contacts/c", {"attributes": {"plan": "pro"}}),
    ("DELETE", "/contacts/c", None),
    ("POST", "/segments", {"id": "s", "where": 'plan is "pro"'}),
    ("PUT", "/attributes/plan", {"type": "text"}),
)
WAIT_S = 60.0


async def test_ingest_answers_503_with_retry_after_for_as_long_as_the_topics_are_sealed(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, partitions=2, broker_stamps=True)
    await workspace.create()
    async with connected(workspace.settings) as connection, ingest(workspace, tmp_path) as http:
        for topic, size in SEALED_BYTES.items():
            await connection.change_settings(workspace.name(topic), {SIZE_SETTING: str(size)})
        await until(lambda: every_seal_holds(http), WAIT_S, "the broker to apply the seals")
        for method, path, body in WRITES:
            answer = await http.request(method, f"/api/v2{path}", json=body)
            assert answer.status_code == 503, f"{method} {path}: {answer.status_code} {answer.text}"
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.headers["Content-Type"] == "application/problem+json"
        for topic in SEALED_BYTES:
            await connection.change_settings(workspace.name(topic), {SIZE_SETTING: None})
        for write in WRITES:
            await until(partial(is_taken, http, *write), WAIT_S, "the broker to take a seal away")


async def every_seal_holds(http: httpx.AsyncClient) -> bool:
    """Whether a write to each topic is refused. The broker answers a change of settings before it keeps to it."""
    probes = (
        ("POST", "/contacts", {"id": "probe", "attributes": {}}),
        ("POST", "/segments", {"id": f"probe_{uuid.uuid4().hex}", "where": 'plan is "pro"'}),
        ("PUT", "/attributes/probe", {"type": "text"}),
    )
    return not any([await is_taken(http, *probe) for probe in probes])


async def is_taken(http: httpx.AsyncClient, method: str, path: str, body: Any) -> bool:
    """Whether a write is taken, and not refused as something to be tried again."""
    answer = await http.request(method, f"/api/v2{path}", json=body)
    assert answer.is_success or answer.status_code == 503, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.is_success
