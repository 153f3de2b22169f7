"""Opening a partition's store so that a broken or an outdated one never stops a start: an empty one is begun.

Rule: a broken store is set aside for a person to look at; an outdated one is deleted, since it may hold contacts that
were erased since. The changelogs fill the empty store again. One that cannot be opened because the disk is full, the
machine is out of something, or another process has it open is whole, and stays where it is.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from segmentation.model import InstantMs
from services.evaluator import rows
from services.evaluator.ports import Store, StoreError, StoreUnavailableError
from services.evaluator.recovery import read_marks
from services.evaluator.store import RocksStore, StoreMemory, corruption_mark

QUARANTINES_MAX = 100
"""Broken stores of one partition that may stand side by side before a person must look."""


OUTDATED_AFTER_MS = 12 * 3_600_000
"""Half of the time for which the broker keeps tombstones (its `delete.retention.ms` of 24 hours)."""


class Opened(NamedTuple):
    """An open store, where the broken one went if there was one, and whether an outdated one was deleted."""

    store: Store
    quarantined: Path | None
    outdated: bool = False


def open_store(path: Path, memory: StoreMemory, now: InstantMs) -> Opened:
    """Open the store in `path`, or begin anew. Errors: StoreUnavailableError where the fault is not the store's."""
    try:
        store, outdated = _open_readable(path, memory, now)
    except StoreUnavailableError:
        raise
    except StoreError:
        mark = corruption_mark(path)
        if path.exists():
            aside = quarantine(path)
        elif mark.exists():
            aside = None  # who set it aside or deleted it came no further
        else:
            raise
        mark.unlink(missing_ok=True)
        return Opened(_open_readable(path, memory, now)[0], aside)
    if not outdated:
        return Opened(store, None)
    store.close()
    shutil.rmtree(path)
    return Opened(_open_readable(path, memory, now)[0], None, outdated=True)


def quarantine(path: Path) -> Path:
    """Move a broken store aside; the newest has the highest number."""
    for number in range(1, QUARANTINES_MAX + 1):
        target = path.with_name(f"{path.name}.broken-{number}")
        if not target.exists():
            path.rename(target)
            return target
    raise StoreError(f"{QUARANTINES_MAX} broken stores stand beside {path}: remove those that nobody will look at")


def is_outdated(store: Store, now: InstantMs) -> bool:
    """Whether a store is too old to be brought along: a tombstone that it never read may be gone from the changelog.

    Then a contact that was erased meanwhile would come back; where the clocks hide the age, `census.py` sees it after
    the recovery. An empty store is marked as begun now.
    """
    marks = read_marks(store)
    if marks == rows.EMPTY:
        store.write({rows.MARKS_KEY: marks._replace(written=now).encode()})
        return False
    return now - marks.written > OUTDATED_AFTER_MS


def _open_readable(path: Path, memory: StoreMemory, now: InstantMs) -> tuple[Store, bool]:
    store = RocksStore(path, memory)
    try:
        return store, is_outdated(store, now)
    except StoreError:
        store.close()
        raise
