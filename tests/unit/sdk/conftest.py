"""What the tests of the command line share."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.unit.sdk.scripted import Service
from tidegate.cli import connection, tail
from tidegate.cli import doctor as doctor_command
from tidegate.client import Tidegate


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Service:
    made = Service()
    scripted = partial(Tidegate, transport=httpx.MockTransport(made.answer))
    for module in (connection, tail, doctor_command):
        monkeypatch.setattr(module, "Tidegate", scripted)
    for name in ("TIDEGATE_URL", "TIDEGATE_CONSOLE_URL", "TIDEGATE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TIDEGATE_DATA_DIR", str(tmp_path))
    return made
