"""Ledgers: the version last applied per (segment, contact), by which a repeated change is recognised.

Rule: a change is admitted only if its version is greater than the last recorded one. A ledger in memory guards one run;
one on disk guards over restarts. To apply each change exactly once whatever is killed, keep the version in the same
database transaction as the effect: `Ledger` is all that takes.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from segmentation.model import ContactId, SegmentId, Version
from tidegate.changes import MembershipChange

MEMORY_KEYS_MAX: Final = 200_000
"""Keys that a ledger in memory remembers; the least recently changed are forgotten first."""


class Ledger(Protocol):
    """What a consumer asks of a ledger."""

    def admits(self, change: MembershipChange) -> bool:
        """Whether the change is newer than the last one recorded for its (segment, contact)."""
        ...

    def record(self, changes: Sequence[MembershipChange]) -> None:
        """Remember that these have been applied. Called after the body, before the position is committed."""
        ...

    def close(self) -> None:
        """Release what the ledger holds."""
        ...


class MemoryLedger:
    """Versions in memory, bounded. A consumer that reads committed records needs no more between restarts."""

    def __init__(self, keys_max: int = MEMORY_KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._versions: OrderedDict[tuple[SegmentId, ContactId], Version] = OrderedDict()

    def admits(self, change: MembershipChange) -> bool:
        """Whether the change is newer than the last one remembered."""
        known = self._versions.get((change.segment_id, change.contact_id))
        return known is None or change.version > known

    def record(self, changes: Sequence[MembershipChange]) -> None:
        """Remember these; forget the oldest beyond the bound."""
        for change in changes:
            key = (change.segment_id, change.contact_id)
            self._versions[key] = change.version
            self._versions.move_to_end(key)
        while len(self._versions) > self._keys_max:
            self._versions.popitem(last=False)

    def close(self) -> None:
        """Forget everything."""
        self._versions.clear()


class SqliteLedger:
    """Versions in a SQLite file: a consumer that is killed and started again does not apply a change twice.

    What remains is a kill between your effect and `record`; put both in one transaction of your own to close that too.
    """

    def __init__(self, path: str | Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS applied (segment_id TEXT, contact_id TEXT, at_ms INTEGER, log_offset INTEGER,"
            " PRIMARY KEY (segment_id, contact_id)) WITHOUT ROWID"
        )

    def admits(self, change: MembershipChange) -> bool:
        """Whether the change is newer than the last one in the file."""
        row = self._connection.execute(
            "SELECT at_ms, log_offset FROM applied WHERE segment_id = ? AND contact_id = ?",
            (change.segment_id, change.contact_id),
        ).fetchone()
        return row is None or tuple(change.version) > (row[0], row[1])

    def record(self, changes: Sequence[MembershipChange]) -> None:
        """Write these in one transaction."""
        with self._connection:
            self._connection.execute("BEGIN")
            self._connection.executemany(
                "INSERT INTO applied VALUES (?, ?, ?, ?) ON CONFLICT (segment_id, contact_id)"
                " DO UPDATE SET at_ms = excluded.at_ms, log_offset = excluded.log_offset",
                [(change.segment_id, change.contact_id, change.at_ms, change.offset) for change in changes],
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
