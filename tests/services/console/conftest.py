"""A console before two partitions that are served, each by an owner of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.console import owners
from tests.services.console.evaluators import World


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(owners, "RETRY_PAUSE_S", 0.001)
    made = World(tmp_path)
    made.serve(0)
    made.serve(1)
    yield made
    await made.close()
