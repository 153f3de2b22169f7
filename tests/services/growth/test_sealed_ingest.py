"""While a workspace is being moved, ingest refuses every kind of write as something to be tried again later."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.workspace.broker import connected
from deploy.workspace.moving import SEALED_BYTES, SIZE_SETTING
from tests.faults.workspace import Workspace
from tests.services.growth.serving import ingest

pytestmark = pytest.mark.broker

WRITES = (
    ("POST", "/contacts", {"id": "c", "attributes": {"plan": "pro"}}),
    ("POST", "/contacts", {"contacts": [{"id": "c", "attributes": {"plan": "pro"}}, {"id": "d", "attributes": {}}]}),
    ("PATCH", "/contacts/c", {"attributes": {"plan": "pro"}}),
    ("DELETE", "/contacts/c", None),
    ("POST", "/segments", {"id": "s", "where": 'plan is "pro"'}),
    ("PUT", "/attributes/plan", {"type": "text"}),
)


async def test_ingest_answers_503_with_retry_after_for_as_long_as_the_topics_are_sealed(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, partitions=2, broker_stamps=True)
    await workspace.create()
    async with connected(workspace.settings) as connection, ingest(workspace, tmp_path) as http:
        for topic, size in SEALED_BYTES.items():
            await connection.change_settings(workspace.name(topic), {SIZE_SETTING: str(size)})
        for method, path, body in WRITES:
            answer = await http.request(method, f"/api/v2{path}", json=body)
            assert answer.status_code == 503, f"{method} {path}: {answer.status_code} {answer.text}"
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.headers["Content-Type"] == "application/problem+json"
        for topic in SEALED_BYTES:
            await connection.change_settings(workspace.name(topic), {SIZE_SETTING: None})
        for method, path, body in WRITES:
            answer = await http.request(method, f"/api/v2{path}", json=body)
            assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
