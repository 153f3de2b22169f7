"""Stores of a test's own, put away at its end, and a partition on one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.evaluator.partition import Partition
from services.evaluator.restored import restore
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


@pytest.fixture
def partition(open_store: Callable[[str], RocksStore]) -> Partition:
    """The only partition, empty."""
    store = open_store("0")
    return Partition(0, 1, "contact-changes", store, restore(store))
