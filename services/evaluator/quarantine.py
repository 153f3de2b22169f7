"""Opening a partition's store so that a broken one never stops a start: it is set aside, and an empty one begun.

Rule: nothing is deleted; what was set aside is for a person to look at. The changelogs fill the empty store again.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from services.evaluator.ports import Store, StoreError
from services.evaluator.recovery import read_marks
from services.evaluator.store import RocksStore, StoreMemory, corruption_mark

QUARANTINES_MAX = 100
"""Broken stores of one partition that may stand side by side before a person must look."""


class Opened(NamedTuple):
    """An open store, and where the broken one went if there was one."""

    store: Store
    quarantined: Path | None


def open_store(path: Path, memory: StoreMemory) -> Opened:
    """Open the store in `path`, or set it aside and begin anew."""
    try:
        return Opened(_open_readable(path, memory), None)
    except StoreError:
        if not path.exists():
            raise
    aside = quarantine(path)
    return Opened(_open_readable(path, memory), aside)


def quarantine(path: Path) -> Path:
    """Move a broken store aside; the newest has the highest number."""
    for number in range(1, QUARANTINES_MAX + 1):
        target = path.with_name(f"{path.name}.broken-{number}")
        if not target.exists():
            path.rename(target)
            corruption_mark(path).unlink(missing_ok=True)
            return target
    raise StoreError(f"{QUARANTINES_MAX} broken stores stand beside {path}: remove those that nobody will look at")


def _open_readable(path: Path, memory: StoreMemory) -> Store:
    store = RocksStore(path, memory)
    try:
        read_marks(store)
    except StoreError:
        store.close()
        raise
    return store
