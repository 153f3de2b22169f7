"""Peers that take for ever, on real sockets: headers and fields behind a body that never end, bodies nobody reads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest

from services.runtime import http_protocol
from services.runtime.http_protocol import HEADER_BYTES_MAX
from services.runtime.web import listen, serve
from tests.waiting import until

SOON_S = 0.3
UNTAKEN_S = 1.0
WAIT_S = 60.0
WHOLE = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
Connect = Callable[[], Any]
LARGE = 32 * 1024 * 1024
"""More than any socket takes at once."""


OFFER = (
    b"POST %b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEA\r\n"
    b"Content-Length: 6\r\n\r\n"
)


@pytest.fixture
def bodies() -> list[bytes]:
    """The bodies that came whole."""
    return []


@pytest.fixture
def ended() -> list[bytes]:
    """The endless answers that came to an end."""
    return []


@pytest.fixture
def seen() -> list[bytes]:
    """The names of the last request's headers, once its body has come."""
    return []


@pytest.fixture
async def connect(
    monkeypatch: pytest.MonkeyPatch, seen: list[bytes], bodies: list[bytes], ended: list[bytes]
) -> AsyncIterator[Connect]:
    """Connections to a server whose patience is short."""
    monkeypatch.setattr(http_protocol, "HEADER_TIMEOUT_S", SOON_S)
    monkeypatch.setattr(http_protocol, "UNREAD_BODY_LINGER_S", SOON_S)
    monkeypatch.setattr(http_protocol, "UNTAKEN_ANSWER_S", UNTAKEN_S)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/endless":
            await endless(receive, send)
            ended.append(b"endless")
            return
        if scope["path"] == "/large":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
            await send({"type": "http.response.body", "body": b"x" * LARGE})
            return
        if scope["path"] == "/slow":
            await asyncio.sleep(3 * SOON_S)
        if scope["path"] != "/unread":
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message.get("body", b""), message.get("more_body")
            bodies.append(body)
        seen[:] = [name for name, _ in scope["headers"]]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    listening = listen("127.0.0.1", 0)
    host, port = listening.getsockname()
    stopping, started = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(answer, listening, stopping, started.set))
    await started.wait()
    writers: list[asyncio.StreamWriter] = []

    async def open_connection() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(host, port)
        writers.append(writer)
        return reader, writer

    yield open_connection
    for writer in writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    stopping.set()
    await serving


async def endless(receive: Any, send: Any) -> None:
    """An answer that goes on for as long as the peer is there."""
    await receive()
    gone = asyncio.ensure_future(receive())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while not gone.done():
        await send({"type": "http.response.body", "body": b"x" * 16_384, "more_body": True})
        await asyncio.sleep(0.001)


async def trickle(writer: asyncio.StreamWriter, content: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(content)
            await writer.drain()
            await asyncio.sleep(SOON_S / 5)


async def all_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(WAIT_S):
        return await reader.read()


async def test_headers_that_trickle_are_given_up_however_often_a_byte_comes(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(b"POST / HTTP/1.1\r\n")
    trickling = asyncio.create_task(trickle(writer, b"x: y\r\n"))
    answer = await all_of(reader)
    trickling.cancel()
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"connection: close" in answer
    assert b'"code":"headers_timeout"' in answer


async def test_a_connection_that_says_nothing_is_closed(connect: Connect) -> None:
    reader, _ = await connect()
    assert (await all_of(reader)).startswith(b"HTTP/1.1 408 ")


async def test_a_later_request_on_a_connection_has_the_same_time(connect: Connect) -> None:
    reader, writer = await connect()
    for _ in range(3):
        writer.write(WHOLE + b"{}")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    writer.write(WHOLE[:20])
    assert (await all_of(reader)).startswith(b"HTTP/1.1 408 ")


async def test_whole_headers_leave_the_body_and_the_answer_their_own_time(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(WHOLE)
    await asyncio.sleep(2 * SOON_S)
    writer.write(b"{}")
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    await asyncio.sleep(2 * SOON_S)
    writer.write(WHOLE + b"{}")
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")


async def test_headers_that_trickle_behind_a_request_do_not_cut_into_its_answer(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP")
    answers = await all_of(reader)
    first, _, second = answers.partition(b"ok")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 408 ")


async def test_headers_without_end_are_refused_before_they_fill_the_memory(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(b"GET / HTTP/1.1\r\nx: " + b"y" * (HEADER_BYTES_MAX + 1))
    answer = await all_of(reader)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"headers_too_large"' in answer


@pytest.mark.parametrize(
    "said",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=[
        "another version", "TLS", "a length that is none", "a chunk that is none", "a tunnel", "no path",
        "a path that is not encoded",
    ],
)  # fmt: skip
async def test_what_is_no_http_is_answered_with_a_problem_document(connect: Connect, said: bytes) -> None:
    reader, writer = await connect()
    writer.write(said)
    head, _, body = (await all_of(reader)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"content-type: application/problem+json" in head
    told = orjson.loads(body)
    assert (told["status"], told["code"]) == (400, "no_http")


@pytest.mark.parametrize(
    ("behind", "status"),
    [(b"no HTTP\r\n\r\n", b"400"), (b"GET / HTTP/1.1\r\nx: " + b"y" * (HEADER_BYTES_MAX + 1), b"431")],
    ids=["no HTTP", "headers without end"],
)
async def test_what_is_refused_behind_a_request_does_not_take_the_place_of_its_answer(
    connect: Connect, behind: bytes, status: bytes
) -> None:
    reader, writer = await connect()
    writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + WHOLE + b"{}" + behind)
    first, second, refusal = (await all_of(reader)).split(b"ok", 2)
    assert (first[:12], second[:12]) == (b"HTTP/1.1 200", b"HTTP/1.1 200")
    assert refusal.startswith(b"HTTP/1.1 " + status)


async def test_a_body_that_nobody_reads_does_not_hold_the_connection(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    trickling = asyncio.create_task(trickle(writer, b"x"))
    with contextlib.suppress(ConnectionError):
        assert await all_of(reader) == b""
    trickling.cancel()


CHUNKED = b"POST %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
TOO_MUCH = HEADER_BYTES_MAX // 8 + 1


@pytest.mark.parametrize(
    "around",
    [b"0\r\n" + b"x: abc\r\n" * TOO_MUCH, b"0\r\nx: " + b"y" * 8 * TOO_MUCH, b"1;" + b"y" * 8 * TOO_MUCH],
    ids=["fields without end", "a field without end", "a chunk's extension without end"],
)
async def test_what_is_said_around_a_body_without_end_is_refused_before_it_fills_the_memory(
    connect: Connect, around: bytes
) -> None:
    reader, writer = await connect()
    writer.write(CHUNKED % b"/" + around)
    assert (await all_of(reader)).startswith(b"HTTP/1.1 431 ")
    reader, writer = await connect()
    writer.write(CHUNKED % b"/unread" + around)
    with contextlib.suppress(ConnectionError):
        assert (await all_of(reader)).count(b"HTTP/1.1") == 1


async def test_a_body_in_the_smallest_chunks_is_taken_whole(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(CHUNKED % b"/" + b"1\r\nx\r\n" * HEADER_BYTES_MAX + b"0\r\nx: y\r\n\r\n" + WHOLE + b"{}")
    for _ in range(2):
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")


async def test_a_field_behind_the_body_is_no_header_of_the_request(connect: Connect, seen: list[bytes]) -> None:
    reader, writer = await connect()
    writer.write(CHUNKED % b"/slow")
    await asyncio.sleep(SOON_S)
    writer.write(b"0\r\nauthorization: Bearer other\r\n\r\n")
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    assert seen == [b"host", b"transfer-encoding"]


async def test_what_is_no_http_behind_an_answer_gets_no_second_one(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(CHUNKED % b"/unread")
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    writer.write(b"zz\r\n")
    assert await all_of(reader) == b""


@pytest.mark.parametrize("at", [0, 20, 150, len(OFFER) - 2, len(OFFER) + 1, len(OFFER) + 4])
async def test_who_offers_another_protocol_is_answered_in_this_one_with_the_body_that_came(
    connect: Connect, seen: list[bytes], bodies: list[bytes], at: int
) -> None:
    """As Java's client does with the first request of a connection, its body sent apart."""
    reader, writer = await connect()
    sent = (
        OFFER % b"/"
        + b"GET / "
        + WHOLE
        + b"{}"
        + b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    )
    writer.write(sent[:at])
    await writer.drain()
    await asyncio.sleep(SOON_S / 10)
    writer.write(sent[at:])
    for _ in range(3):
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    assert bodies == [b"GET / ", b"{}", b""]
    assert seen == [b"connection"]


async def test_a_peer_that_takes_nothing_of_its_answer_is_cut_off_and_one_that_is_slow_is_not(
    connect: Connect, ended: list[bytes]
) -> None:
    slow, writer = await connect()
    writer.write(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
    _, deaf = await connect()
    deaf.transport.pause_reading()
    deaf.write(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in range(30):
        assert await slow.read(1024 * 1024)
        await asyncio.sleep(UNTAKEN_S / 20)
    await until(lambda: ended, WAIT_S / 6, "the answer that nobody takes to end", satisfies=lambda ones: len(ones) == 1)
    assert await slow.read(1024)
    writer.transport.abort()
    await until(lambda: ended, WAIT_S, "both answers to end", satisfies=lambda ones: len(ones) == 2)


async def test_a_large_answer_may_be_taken_slowly(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    taken = 0
    while part := await reader.read(1024 * 1024):
        taken += part.count(b"x")
        await asyncio.sleep(UNTAKEN_S / 64)
    assert taken == LARGE
