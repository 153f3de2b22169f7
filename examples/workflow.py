"""A workflow that follows segments: one campaign a contact, chosen anew whenever its segments change.

`python -m examples.workflow localhost:9092 campaigns.db` runs it against the local stack. It enrols on enter, cancels
on exit, and when one write moves a contact out of one segment and into another, it does both at once, so the contact
never gets two campaigns or none in between. The campaign, the memberships behind it and their versions are one
transaction: whatever is killed when, each change counts exactly once.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Sequence

from tidegate import MembershipChange, Memberships, UnreachableError

CAMPAIGNS = {"at-risk": "a call from support", "trial-ending": "upgrade offer", "reachable-pro": "newsletter"}
"""By segment, the most urgent first."""
TABLES = """
CREATE TABLE IF NOT EXISTS memberships (segment, contact, member, at, log_offset, PRIMARY KEY (segment, contact));
CREATE TABLE IF NOT EXISTS campaigns (contact PRIMARY KEY, campaign);
"""


class Campaigns:
    """The workflow's database. It is also the consumer's ledger: it knows which versions it has applied."""

    def __init__(self, path: str) -> None:
        self._rows = sqlite3.connect(path, isolation_level=None)
        self._rows.executescript(TABLES)

    def admits(self, change: MembershipChange) -> bool:
        """Whether a change is newer than what is known of its contact and segment."""
        known = self._rows.execute(
            "SELECT at, log_offset FROM memberships WHERE segment = ? AND contact = ?",
            (change.segment_id, change.contact_id),
        ).fetchone()
        return known is None or tuple(change.version) > tuple(known)

    def reconcile(self, changes: Sequence[MembershipChange]) -> str | None:
        """Apply all changes of one cause, and give the contact the campaign that its whole new state asks for."""
        contact = changes[0].contact_id
        with self._rows:
            self._rows.execute("BEGIN IMMEDIATE")
            self._rows.executemany(
                "INSERT OR REPLACE INTO memberships VALUES (?, ?, ?, ?, ?)",
                [(change.segment_id, contact, change.member, change.at_ms, change.offset) for change in changes],
            )
            campaign = self._wanted(contact)
            if campaign is None:
                self._rows.execute("DELETE FROM campaigns WHERE contact = ?", (contact,))
            else:
                self._rows.execute("INSERT OR REPLACE INTO campaigns VALUES (?, ?)", (contact, campaign))
        return campaign

    def campaign(self, contact: str) -> str | None:
        """The campaign that a contact is in."""
        row = self._rows.execute("SELECT campaign FROM campaigns WHERE contact = ?", (contact,)).fetchone()
        return None if row is None else str(row[0])

    def record(self, changes: Sequence[MembershipChange]) -> None:
        """Nothing to do: `reconcile` has written the versions with the effect."""

    def close(self) -> None:
        """Close the database."""
        self._rows.close()

    def _wanted(self, contact: str) -> str | None:
        found = self._rows.execute(
            "SELECT segment FROM memberships WHERE contact = ? AND member", (contact,)
        ).fetchall()
        segments = {segment for (segment,) in found}
        return next((campaign for segment, campaign in CAMPAIGNS.items() if segment in segments), None)


async def follow(bootstrap: str, path: str, topic_prefix: str = "") -> None:
    """Follow the segments for ever."""
    campaigns = Campaigns(path)
    async with Memberships(
        bootstrap, group="campaigns", segments=CAMPAIGNS.keys(), topic_prefix=topic_prefix, ledger=campaigns
    ) as changes:
        async for batch in changes.batches():
            campaign = campaigns.reconcile(batch)
            moves = ", ".join(f"{'+' if change.entered else '-'}{change.segment_id}" for change in batch)
            print(f"{batch[0].contact_id}: {moves} -> {campaign or 'no campaign'}", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [bootstrap, path]:
            try:
                asyncio.run(follow(bootstrap, path))
            except UnreachableError as error:
                sys.exit(str(error))
            except KeyboardInterrupt:
                sys.exit(130)
        case _:
            print("usage: python -m examples.workflow BOOTSTRAP DATABASE", file=sys.stderr)
            sys.exit(2)
