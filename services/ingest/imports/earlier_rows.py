"""What earlier rows of a file made of their contacts: kept on disk, so that a dry run's memory does not grow.

Rule: a scratch file that nobody else sees, that is gone at the end and never larger than its limit, whatever the rows
hold: a folder for temporary files has little room, and whoever fills it is ended. Synchronous.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from segmentation.model import AttributeName, ContactId, Value

CACHE_KIB = 8 * 1024
SCRATCH_BYTES_MAX = 512 * 1024 * 1024
"""Of one dry run; a process has two at a time."""
PAGE_BYTES = 4_096


class NoRoomError(Exception):
    """The scratch file can hold no more: its limit is reached, or the disk is full."""


class EarlierRows:
    """Attributes by contact id. Errors of its methods: NoRoomError, after which nothing more can be asked of it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tidegate-dry-run-")
        self._database = sqlite3.connect(Path(self._folder.name) / "rows.db", check_same_thread=False)
        self._database.execute(f"PRAGMA page_size={PAGE_BYTES}")
        self._database.execute(f"PRAGMA max_page_count={SCRATCH_BYTES_MAX // PAGE_BYTES}")
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        self._database.execute("CREATE TABLE contacts (id TEXT PRIMARY KEY, attributes BLOB) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        self._folder.cleanup()

    def of(self, contact_ids: Sequence[ContactId]) -> dict[ContactId, dict[AttributeName, Value]]:
        """The attributes of those that an earlier row had."""
        found = {}
        with _said():
            for contact_id in contact_ids:
                row = self._database.execute("SELECT attributes FROM contacts WHERE id = ?", (contact_id,)).fetchone()
                if row is not None:
                    found[contact_id] = orjson.loads(row[0])
        return found

    def keep(self, attributes: Mapping[ContactId, Mapping[AttributeName, Value]]) -> None:
        """Remember what rows made of these contacts."""
        rows = [(contact_id, orjson.dumps(values)) for contact_id, values in attributes.items()]
        with _said():
            self._database.executemany("INSERT OR REPLACE INTO contacts VALUES (?, ?)", rows)
            self._database.commit()


@contextmanager
def _said() -> Iterator[None]:
    """SQLite's word for a full file, and for a disk that fails, as ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise NoRoomError(str(error)) from error
