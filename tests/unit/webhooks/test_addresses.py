"""Where webhooks may go, and that the connection goes to the address that was checked."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import pytest

from schemas.webhook import WebhookRecord
from segmentation.model import InstantMs
from services.webhooks.addresses import AddressRefusedError, NameUnresolvedError, read_url, resolve
from services.webhooks.names import Names
from services.webhooks.sender import Sender
from services.webhooks.settings import WebhookSettings
from services.webhooks.signing import new_secret

PUBLIC = "93.184.216.34"


def names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name stand for these addresses; gives the names that were asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_options: Any) -> list[Any]:
        asked.append(host)
        if not addresses:
            raise socket.gaierror("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "https:///path",
        "https://user:word@example.com/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://192.168.1.1:8443/",
        "https://0.0.0.0/",
        "https://[::1]/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[::7f00:1]/",
        "https://[::5db8:d822]/",
        "https://[::ffff:0:7f00:1]/",
        "https://[fec0::1]/",
        "https://[feff::1]/",
        "https://[5f00::1]/",
        "https://[4000::1]/",
        "https://[3fff::1]/",
        "https://example.com:0/",
        "https://224.0.0.1/",
        "https://100.64.0.1/",
        "https://192.88.99.1/",
        "https://[::ffff:192.88.99.255]/",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://example.com/\r\nX: y",
        "https://example.com/" + "a" * 3_000,
    ],
)
def test_a_url_that_no_webhook_may_have_is_refused(url: str) -> None:
    with pytest.raises(AddressRefusedError):
        read_url(url, allow_local=False)


def test_the_development_setting_allows_local_addresses_and_nothing_else() -> None:
    assert read_url("http://127.0.0.1:9000/x", allow_local=True).port == 9_000
    with pytest.raises(AddressRefusedError):
        read_url("file:///etc/passwd", allow_local=True)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1%eth0", "fec0::1", "5f00::1", "::ffff:10.0.0.1"],
)
async def test_a_name_is_refused_if_any_of_its_addresses_is_not_public(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    names(monkeypatch, PUBLIC, address)
    with pytest.raises(AddressRefusedError, match="public"):
        await resolve(read_url("https://example.com/", allow_local=False), Names(), allow_local=False)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1"])
async def test_an_unusual_spelling_of_an_address_is_judged_by_what_it_stands_for(host: str) -> None:
    with pytest.raises((AddressRefusedError, NameUnresolvedError)):
        await resolve(read_url(f"https://{host}/", allow_local=False), Names(), allow_local=False)


async def test_a_name_without_an_address_may_have_one_later(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch)
    with pytest.raises(NameUnresolvedError):
        await resolve(read_url("https://example.com/", allow_local=False), Names(), allow_local=False)


async def test_the_connection_goes_to_the_checked_address_under_the_name_of_the_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = names(monkeypatch, PUBLIC)
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    webhook = WebhookRecord(
        id="wh", url="https://example.com:8443/in?x=1", secret=new_secret(), created_at=InstantMs(0)
    )
    sender = Sender(webhook, WebhookSettings(), asyncio.Event(), httpx.MockTransport(answer))
    assert (await sender.deliver("a|ünï\n|1|2", b"{}")).reason is None
    await sender.close()
    (request,) = sent
    assert str(request.url) == f"https://{PUBLIC}:8443/in?x=1"
    assert (request.headers["host"], request.extensions["sni_hostname"]) == ("example.com:8443", "example.com")
    assert request.headers["tidegate-delivery-id"] == "a|%C3%BCn%C3%AF%0A|1|2"
    assert asked == ["example.com"]


async def test_no_proxy_of_the_environment_gets_to_see_a_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    webhook = WebhookRecord(id="wh", url="http://127.0.0.1:1/", secret=new_secret(), created_at=InstantMs(0))
    sender = Sender(webhook, WebhookSettings(webhooks_allow_local=True), asyncio.Event())
    assert (await sender.deliver("a|u|1|2", b"{}", attempts_max=1)).reason is not None
    await sender.close()
    server.close()
    assert seen == []
