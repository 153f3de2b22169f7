"""What the tests of imports share: a gate that holds each import behind its first rows."""

from __future__ import annotations

import asyncio

import pytest

from services.ingest.imports.bulk_log import KafkaBulkLog


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Holds every import behind its first rows until it is set."""
    opened = asyncio.Event()
    flush = KafkaBulkLog.flush

    async def gated(log: KafkaBulkLog) -> dict[int, int]:
        behind = await flush(log)
        await opened.wait()
        return behind

    monkeypatch.setattr(KafkaBulkLog, "flush", gated)
    return opened
