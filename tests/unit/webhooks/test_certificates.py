"""Connecting to a checked address must not weaken TLS: the certificate is held against the name in the URL."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme

from schemas.webhook import WebhookRecord
from segmentation.model import InstantMs
from services.webhooks.answers import BoundedTransport
from services.webhooks.sender import Outcome, Sender
from services.webhooks.settings import WebhookSettings
from services.webhooks.signing import new_secret

NAME = "receiver.example"


@asynccontextmanager
async def receiver(authority: trustme.CA, hosts: list[str]) -> AsyncIterator[int]:
    """A TLS server with a certificate for `NAME`, which notes the hosts it was asked as; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        hosts.extend(line[6:] for line in head.split("\r\n") if line.lower().startswith("host: "))
        writer.write(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def deliver(authority: trustme.CA, url: str) -> Outcome:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    webhook = WebhookRecord(id="wh", url=url, secret=new_secret(), created_at=InstantMs(0))
    settings = WebhookSettings(webhooks_allow_local=True, webhook_attempts_max=1)
    sender = Sender(webhook, settings, asyncio.Event(), BoundedTransport(trusting))
    try:
        return await sender.deliver("a|u|1|2", b"{}")
    finally:
        await sender.close()


@pytest.fixture(autouse=True)
def every_name_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(_host: str, port: int, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def test_a_certificate_for_the_name_in_the_url_is_accepted_though_the_connection_goes_to_an_address() -> None:
    authority, hosts = trustme.CA(), list[str]()
    async with receiver(authority, hosts) as port:
        assert await deliver(authority, f"https://{NAME}:{port}/in") == Outcome(1)
        assert hosts == [f"{NAME}:{port}"]


async def test_a_certificate_for_another_name_is_refused() -> None:
    authority, hosts = trustme.CA(), list[str]()
    async with receiver(authority, hosts) as port:
        outcome = await deliver(authority, f"https://other.example:{port}/in")
    assert outcome.reason is not None
    assert "certificate" in outcome.reason.lower()
    assert hosts == []
