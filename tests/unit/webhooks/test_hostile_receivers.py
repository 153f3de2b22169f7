"""Whatever a receiver answers, or does to its connection, is an attempt that failed or a delivery that was made."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme

from schemas.webhook import WebhookRecord
from segmentation.model import InstantMs
from services.webhooks.answers import ANSWER_BYTES_MAX, BoundedTransport
from services.webhooks.sender import REASON_CHARACTERS_MAX, Outcome, Sender
from services.webhooks.settings import WebhookSettings
from services.webhooks.signing import new_secret
from tests.services.webhooks.receiver import Request, read_request

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
NO_TLS_RECORD = b"\x17\x03\x03\x00\x20" + b"z" * 32


@asynccontextmanager
async def sending(answer: Answer, authority: trustme.CA | None = None) -> AsyncIterator[tuple[Sender, list[Request]]]:
    """A sender to a receiver that answers so, and the requests that reach it. TLS if there is an authority."""
    reached: list[Request] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await read_request(reader)) is not None:
                reached.append(request)
                await answer(writer)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    serving, trusting = None, ssl.create_default_context()
    if authority is not None:
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(serving)
        authority.configure_trust(trusting)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=serving)
    scheme = "http" if authority is None else "https"
    url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    webhook = WebhookRecord(id="wh", url=url, secret=new_secret(), created_at=InstantMs(0))
    settings = WebhookSettings(webhooks_allow_local=True, webhook_attempts_max=2, webhook_wait_first_ms=10)
    sender = Sender(webhook, settings, asyncio.Event(), BoundedTransport(trusting))
    try:
        yield sender, reached
    finally:
        await sender.close()
        server.close()


def answering(raw: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return answer


async def test_tls_that_breaks_behind_the_handshake_is_an_attempt_that_failed() -> None:
    async def break_tls(writer: asyncio.StreamWriter) -> None:
        beneath: Any = writer.transport
        beneath._ssl_protocol._transport.write(NO_TLS_RECORD)

    async with sending(break_tls, trustme.CA()) as (sender, _):
        outcome = await sender.deliver("a|u|1|2", b"{}")
    assert outcome.attempts == 2
    assert outcome.reason is not None
    assert "SSL" in outcome.reason


async def test_cookies_of_a_receiver_are_not_sent_back() -> None:
    cookies = b"".join(b"Set-Cookie: c%d=%b; Max-Age=1000\r\n" % (number, b"v" * 20) for number in range(300))
    async with sending(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + cookies + b"\r\n")) as (sender, reached):
        assert [await sender.deliver("a|u|1|2", b"{}") for _ in range(2)] == [Outcome(1), Outcome(1)]
    assert ["cookie" in request.headers for request in reached] == [False, False]


@pytest.mark.parametrize("place", [b"http://[::1:\x80\xff/", b"http://a:b:c/", b"//"])
async def test_a_redirect_is_one_wherever_it_leads(place: bytes) -> None:
    raw = b"HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % place
    async with sending(answering(raw)) as (sender, _):
        outcome = await sender.deliver("a|u|1|2", b"{}")
    assert outcome == Outcome(1, "the receiver answered 302; redirects are not followed")


async def test_a_reason_repeats_a_little_of_what_is_no_http() -> None:
    async with sending(answering(b"HT\x00P " + b"\x01" * 20_000 + b"\r\n\r\n")) as (sender, _):
        outcome = await sender.deliver("a|u|1|2", b"{}")
    assert outcome.reason is not None
    assert outcome.reason.startswith("illegal status line")
    assert len(outcome.reason) <= REASON_CHARACTERS_MAX + 1


async def test_provisional_answers_without_end_are_read_no_further_than_an_answer_goes() -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 X\r\n\r\n" * 1_000)
            await writer.drain()

    async with sending(flood) as (sender, reached):
        outcome = await sender.deliver("a|u|1|2", b"{}")
    assert outcome == Outcome(2, f"the answer does not end within {ANSWER_BYTES_MAX} bytes")
    assert len(reached) == 2


async def test_an_answer_behind_a_few_provisional_ones_counts() -> None:
    early = b"HTTP/1.1 103 X\r\nLink: </a>\r\n\r\n" * 100
    async with sending(answering(early + b"HTTP/1.1 204 X\r\n\r\n")) as (sender, _):
        assert await sender.deliver("a|u|1|2", b"{}") == Outcome(1)
