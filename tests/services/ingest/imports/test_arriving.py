"""Files that take their time to arrive: few at once, because each holds memory, and nobody else waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.ingest.imports import service
from tests.services.ingest.conftest import Running
from tests.waiting import until

pytestmark = pytest.mark.broker
WAIT_S = 60.0
CSV = {"Content-Type": "text/csv"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


async def test_of_files_that_arrive_slowly_a_few_are_taken_at_once_and_other_requests_are_answered(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "UPLOADS_ARRIVING_MAX", 2)
    go_on, begun = asyncio.Event(), [0]

    async def slow(beginning: bytes, end: bytes = b"") -> AsyncIterator[bytes]:
        yield beginning
        begun[0] += 1
        await go_on.wait()
        yield b"u1,pro\n" + end

    path = "/api/v2/imports"
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nid,plan\n'
    held = [
        asyncio.create_task(running.http.post(path, content=slow(b"id,plan\n"), headers=CSV)),
        asyncio.create_task(running.http.post(path, content=slow(form, b"\r\n--b--\r\n"), headers=FORM)),
    ]
    await until(lambda: begun[0] == len(held), WAIT_S, "the files to arrive in part")
    refused = await running.http.post(path, content=b"id,plan\nu2,pro\n", headers=CSV)
    assert (refused.status_code, refused.json()["code"]) == (503, "too_many_uploads")
    assert "Retry-After" in refused.headers
    assert (await running.http.post("/api/v2/contacts", json={"id": "u", "attributes": {}})).status_code == 202
    go_on.set()
    assert [answer.status_code for answer in await asyncio.gather(*held)] == [201, 201]
    taken = await running.http.post(path, content=b"id,plan\nu2,pro\n", headers=CSV)
    assert taken.status_code == 201, taken.text
