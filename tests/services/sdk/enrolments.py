"""A workflow in a process of its own, to be killed: enrols on enter, cancels on exit, in its own database.

Rule: effect and version are one transaction, so that each change counts once, whatever is killed when. Run as
`python -m tests.services.sdk.enrolments BOOTSTRAP PREFIX FILE`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidegate import MembershipChange, Memberships

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS applied (segment, contact, at, place, PRIMARY KEY (segment, contact))",
    "CREATE TABLE IF NOT EXISTS effects (contact, at, member)",
)


class Enrolments:
    """The workflow's database, which is also the ledger of what it has applied."""

    def __init__(self, file: Path) -> None:
        self._rows = sqlite3.connect(file, isolation_level=None)
        self._rows.execute("PRAGMA journal_mode=WAL")
        for statement in SCHEMA:
            self._rows.execute(statement)

    def admits(self, change: MembershipChange) -> bool:
        row = self._rows.execute(
            "SELECT at, place FROM applied WHERE segment = ? AND contact = ?", (change.segment_id, change.contact_id)
        ).fetchone()
        return row is None or tuple(change.version) > tuple(row)

    def apply(self, change: MembershipChange) -> None:
        self._rows.execute("BEGIN IMMEDIATE")
        row = (change.contact_id, change.at_ms, change.member)
        self._rows.execute("INSERT INTO effects VALUES (?, ?, ?)", row)
        key = (change.segment_id, change.contact_id, change.at_ms, change.offset)
        self._rows.execute("INSERT OR REPLACE INTO applied VALUES (?, ?, ?, ?)", key)
        self._rows.execute("COMMIT")

    def record(self, changes: Sequence[MembershipChange]) -> None:
        """Recorded already, with the effect."""

    def close(self) -> None:
        self._rows.close()


async def work(bootstrap: str, prefix: str, file: Path) -> None:
    enrolments = Enrolments(file)
    options: dict[str, Any] = {
        "session_timeout_ms": 6_000,
        "heartbeat_interval_ms": 500,
        "group_instance_id": "enrolments",
    }
    async with Memberships(bootstrap, group="enrolments", topic_prefix=prefix, ledger=enrolments, **options) as changes:
        async for change in changes:
            enrolments.apply(change)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
