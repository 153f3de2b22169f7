"""Bodies that never come or never end, answers that nobody takes: what others need is left, and all is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.console import forward, preview
from services.runtime import bodies
from services.runtime.web import listen, serve
from tests.services.console.evaluators import World, streamed

SOON_S = 0.3
WAIT_S = 60.0
CONNECTIONS = 2
LONG = 32 * 1024 * 1024
"""More than any socket takes at once."""
HEAD = "POST /api/v2/contacts HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n"


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[tuple[str, int]]:
    """The application on a real socket, where a peer may take its time."""
    listening = listen("127.0.0.1", 0)
    stopping, started = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(app, listening, stopping, started.set))
    await started.wait()
    try:
        yield listening.getsockname()
    finally:
        stopping.set()
        await serving


async def ingest(scope: Any, receive: Any, send: Any) -> None:
    """Takes every body whole and says how long it was; of a path with a number, answers with so many bytes."""
    if (length := scope["path"].rpartition("/")[2]).isdecimal():
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * int(length)})
        return
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 202, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % size})


class Console:
    """A console whose ingest is behind few connections, and stalled peers."""

    def __init__(self, world: World, place: tuple[str, int]) -> None:
        self.world = world
        self.place = place
        self._stalled: list[asyncio.StreamWriter] = []

    async def stall(self, head: str, body: bytes = b"") -> asyncio.StreamReader:
        """A request whose body does not go on."""
        reader, writer = await asyncio.open_connection(*self.place)
        writer.write(f"{head}\r\n".encode() + body)
        await writer.drain()
        self._stalled.append(writer)
        return reader

    async def write(self, body: bytes) -> httpx.Response:
        """What an honest caller asks in the meantime."""
        async with httpx.AsyncClient(timeout=WAIT_S) as http:
            headers = {"Authorization": f"Bearer {self.world.key}"}
            host, port = self.place
            return await http.post(f"http://{host}:{port}/api/v2/contacts", content=body, headers=headers)

    def close(self) -> None:
        for writer in self._stalled:
            writer.close()


@pytest.fixture
async def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Console]:
    monkeypatch.setattr(forward, "CONNECTIONS_MAX", CONNECTIONS)
    monkeypatch.setattr(forward, "TIMEOUT", httpx.Timeout(WAIT_S, pool=3 * SOON_S))
    async with AsyncExitStack() as stack:
        host, port = await stack.enter_async_context(served(ingest))
        world = World(tmp_path, ingest_url=f"http://{host}:{port}")
        stack.push_async_callback(world.close)
        made = Console(world, await stack.enter_async_context(served(world.app)))
        stack.callback(made.close)
        yield made


async def first_line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(WAIT_S):
        return await reader.readline()


async def test_strangers_whose_bodies_never_come_are_refused_at_once_and_hold_up_nobody(console: Console) -> None:
    strangers = [await console.stall(HEAD.format(length=10)) for _ in range(3 * CONNECTIONS)]
    assert [await first_line(reader) for reader in strangers] == [b"HTTP/1.1 401 Unauthorized\r\n"] * len(strangers)
    assert (await console.write(b"0123456789")).text == "10"


@pytest.mark.parametrize("sent", [0, 1])
async def test_no_connection_is_taken_for_a_small_body_that_has_not_come_and_it_is_given_up(
    console: Console, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 10 * SOON_S)
    head = HEAD.format(length=10) + f"Authorization: Bearer {console.world.key}\r\n"
    stalled = [await console.stall(head, b"x" * sent) for _ in range(3 * CONNECTIONS)]
    assert (await console.write(b"0123456789")).text == "10"
    assert [await first_line(reader) for reader in stalled] == [b"HTTP/1.1 408 Request Timeout\r\n"] * len(stalled)


async def test_a_large_body_that_stands_still_is_given_up_and_its_connection_is_anothers(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", SOON_S)
    head = HEAD.format(length=1_000_000) + f"Authorization: Bearer {console.world.key}\r\n"
    stalled = [await console.stall(head, b"x" * (2 * forward.READ_AHEAD_BYTES)) for _ in range(CONNECTIONS)]
    assert [await first_line(reader) for reader in stalled] == [b"HTTP/1.1 408 Request Timeout\r\n"] * len(stalled)
    assert (await console.write(b"x" * 1_000_000)).text == "1000000"


async def test_a_body_larger_than_what_is_read_ahead_passes_whole(console: Console) -> None:
    assert (await console.write(b"x" * (5 * forward.READ_AHEAD_BYTES + 1))).text == f"{5 * 64 * 1024 + 1}"


async def test_long_answers_that_nobody_takes_leave_connections_for_others(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "LONG_ANSWERS_MAX", CONNECTIONS - 1)
    head = f"GET /api/v2/imports/{LONG} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {console.world.key}\r\n"
    assert await first_line(await console.stall(head)) == b"HTTP/1.1 200 OK\r\n"
    assert await first_line(await console.stall(head)) == b"HTTP/1.1 503 Service Unavailable\r\n"
    assert (await console.write(b"0123456789")).text == "10"


async def test_a_long_answer_passes_whole(console: Console) -> None:
    async with httpx.AsyncClient(timeout=WAIT_S) as http:
        host, port = console.place
        for length in (0, 1, forward.READ_AHEAD_BYTES, 5 * forward.READ_AHEAD_BYTES + 1):
            answer = await http.get(
                f"http://{host}:{port}/api/v2/imports/{length}",
                headers={"Authorization": f"Bearer {console.world.key}"},
            )
            assert answer.text == "x" * length


async def test_a_login_that_stands_still_is_given_up(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", SOON_S)
    head = HEAD.replace("contacts", "session").format(length=10) + "Content-Type: application/json\r\n"
    assert await first_line(await console.stall(head)) == b"HTTP/1.1 408 Request Timeout\r\n"


async def test_a_preview_is_read_no_further_than_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "BODY_BYTES_MAX", 1_000)
    taken: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        for number in range(1_000):
            taken.append(number)
            yield b" " * 500

    world = World(tmp_path)
    headers = {"Authorization": f"Bearer {world.key}"}
    answer = await world.http.post("/api/v2/segments/preview", content=endless(), headers=headers)
    assert (answer.status_code, answer.json()["code"], len(taken)) == (413, "body_too_large", 3)
    await world.close()


async def test_a_preview_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ingest = lambda _request: streamed(500, {})
    headers = {"Authorization": f"Bearer {world.key}"}
    body = b'{"where": "plan is Pro", "where": "plan is Free"}'
    answer = await world.http.post("/api/v2/segments/preview", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "duplicate_key")
    await world.close()
