"""Stores of a test's own, put away at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.evaluator.store import RocksStore, StoreMemory


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[[str], RocksStore]]:
    """Begin or open a store by its name; all have one memory."""
    memory, opened = StoreMemory(8 << 20), list[RocksStore]()

    def begin(name: str) -> RocksStore:
        opened.append(RocksStore(tmp_path / name, memory))
        return opened[-1]

    yield begin
    for store in opened:
        store.close()
