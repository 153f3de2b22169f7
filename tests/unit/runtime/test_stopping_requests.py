"""What becomes of requests that are under way when a stop has waited long enough for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from services.runtime import web
from services.runtime.errors import ServiceError
from services.runtime.web import listen, serve

WAIT_S = 30.0


def application(reached: asyncio.Event) -> FastAPI:
    """One route that waits for a body, and one whose answer never ends."""
    app = FastAPI()

    @app.post("/body")
    async def body(request: Request) -> int:
        request.state.request_id = "r-1"
        reached.set()
        return len(await request.body())

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begun"
            reached.set()
            await asyncio.Event().wait()

        return StreamingResponse(parts())

    return app


@asynccontextmanager
async def stopped_meanwhile(request: bytes, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[bytes]:
    """All that comes back on a request's connection when the server is stopped while it is under way."""
    monkeypatch.setattr(web, "STOP_GRACE_S", 0.2)
    reached, stopping = asyncio.Event(), asyncio.Event()
    listening = listen("127.0.0.1", 0)
    serving = asyncio.create_task(serve(application(reached), listening, stopping, lambda: None))
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(request)
        await reached.wait()
        stopping.set()
        yield await reader.read()
        await serving
        writer.close()


async def test_a_request_without_an_answer_is_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    request = b"POST /body HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nhalf"
    async with stopped_meanwhile(request, monkeypatch) as answer:
        head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 "), answer
    assert {b"retry-after: 1", b"connection: close", b"x-request-id: r-1"} <= set(head.lower().split(b"\r\n"))
    assert orjson.loads(body)["code"] == "stopping"
    assert "Traceback" not in caplog.text


async def test_an_answer_that_is_cut_off_cannot_be_taken_for_whole(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with stopped_meanwhile(b"GET /endless HTTP/1.1\r\nHost: here\r\n\r\n", monkeypatch) as answer:
        assert answer.endswith(b"\r\n\r\n5\r\nbegun\r\n"), answer
    assert "Traceback" not in caplog.text


async def test_what_ends_beside_the_requests_has_everything_stop_as_if_it_were_told_to() -> None:
    async def ends() -> None:
        raise ServiceError("the log cannot be read")

    stopping = asyncio.Event()
    beside = asyncio.create_task(ends(), name="reading")
    with pytest.raises(ServiceError, match="the log cannot be read"):
        await serve(application(asyncio.Event()), listen("127.0.0.1", 0), stopping, lambda: None, [beside])
    assert stopping.is_set()
