"""A service that is told to stop while it reads what it needs first ends at once, and not only after the grace."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.console import __main__ as console
from services.console.settings import ConsoleSettings
from services.ingest import __main__ as ingest
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.runtime.application import ServiceContext
from services.webhooks import __main__ as webhooks
from services.webhooks.settings import WebhookSettings

WAIT_S = 30.0


class Standstill:
    """A broker that stands still: whatever is begun with it never comes to an end."""

    def __init__(self) -> None:
        self.reached, self.left = asyncio.Event(), 0

    async def wait(self, *_: Any, **__: Any) -> None:
        self.reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left += 1

    @asynccontextmanager
    async def enter(self, *_: Any, **__: Any) -> AsyncIterator[None]:
        await self.wait()
        yield


async def nothing_wrong(*_: Any) -> None:
    """The topics are as they must be."""


@pytest.fixture
def standstill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Standstill]:
    """One that is there once the topics were found to be as they must be."""
    with socket.socket() as listening:
        for module in (ingest, webhooks, console):
            monkeypatch.setattr(module, "listen", lambda *_: listening)
            monkeypatch.setattr(module, "verify_topics", nothing_wrong)
        yield Standstill()


async def stop_while_starting(main: Any, context: ServiceContext[Any], standstill: Standstill) -> None:
    starting = asyncio.create_task(main(context))
    async with asyncio.timeout(WAIT_S):
        await standstill.reached.wait()
        context.stopping.set()
        await starting


async def test_ingest(standstill: Standstill, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Ingest, "running", standstill.enter)
    settings = IngestSettings(data_dir=tmp_path)
    await stop_while_starting(ingest.main, ServiceContext("ingest", settings), standstill)
    assert standstill.left == 1


async def test_webhooks(standstill: Standstill, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(webhooks, "running", standstill.enter)
    settings = WebhookSettings(data_dir=tmp_path)
    await stop_while_starting(webhooks.main, ServiceContext("webhooks", settings), standstill)
    assert standstill.left == 1


async def test_console(standstill: Standstill, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for follow in ("follow_statuses", "follow_declarations", "follow_changes"):
        monkeypatch.setattr(console, follow, standstill.wait)
    settings = ConsoleSettings(data_dir=tmp_path)
    await stop_while_starting(console.main, ServiceContext("console", settings), standstill)
    assert standstill.left == 3
