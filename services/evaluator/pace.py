"""When a worker commits and how much it does at once.

Rule: what runs without a break is bounded by what it takes, not by records alone: a contact that many definitions are
new to takes as many evaluations. None of this changes what is published, only when.
"""

from __future__ import annotations

from dataclasses import dataclass

COMMIT_AFTER_MS = 100
COMMIT_GAP_MS = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """When to commit and how much to do at once. Units: milliseconds, records, contacts."""

    batch_records_max: int = 500
    batch_work: int = 2_000
    """Memberships that a batch changes, and the definitions that each record's contact may not have seen: nothing else
    runs meanwhile."""
    commit_records: int = 2_000
    commit_contacts: int = 250
    """While it commits, its own live records wait; storing what changed holds up those of all partitions besides."""
    commit_changes: int = 20_000
    """Behind thousands of definitions few contacts change thousands of memberships each."""
    commit_after_ms: int = COMMIT_AFTER_MS
    """A transaction is open no longer than this under load."""
    backlog_queue_min: int = 2_000
    """With so many live records waiting, what is read is late already, and transactions grow: a contact that is written
    several times in one is encoded, sent and stored once."""
    backlog_commit_records: int = 8_000
    backlog_commit_after_ms: int = 1_000
    """So long it is open with `backlog_queue_min` waiting, and longer as more does: that is later still."""
    backlog_commit_after_ms_max: int = 4_000
    commit_gap_ms: int = COMMIT_GAP_MS
    """Without load it commits at once, but leaves at least this between two commits, and more when they take long."""
    position_after_ms: int = 5_000
    """A position alone, with nothing to publish, waits this long."""
    group_after_ms: int = 1_000
    """The consumer group is told the position this often: that is a third of a commit, and nothing recovers from it."""
    doubt_after_ms: int = 10_000
    """A broker that takes longer to acknowledge a commit may have forgotten some of its markers (`unmarked.py`)."""
    slice_ms: int = 2
    slice_contacts: int = 50
    """Contacts between two looks at the clock in a slice."""
    slice_evaluations: int = 200
    """Those contacts, times the definitions that they may not have seen yet."""
    slice_changes: int = 200
    """Memberships that those contacts change: each may move through thousands at one deadline, or by one definition."""
    queue_records_max: int = 20_000
    """Beyond it the consumer is asked to stop fetching this partition; a shallow queue starves it."""
    queue_bytes_max: int = 8 << 20
    """Likewise beyond so many bytes of values: as many records as above would be gigabytes if they were large."""
    backfill_queue_max: int = 5_000
    """With more live records than this waiting, backfill rests; deadlines never do."""

    def backlog_after_ms(self, queued: int) -> float:
        """How long a transaction may be open behind a backlog of so many records."""
        return min(self.backlog_commit_after_ms * queued / self.backlog_queue_min, self.backlog_commit_after_ms_max)

    def contacts_of_batch(self, unseen: int) -> int:
        """Contacts of one batch, with so many definitions that they may not have seen; one at least."""
        return _bounded(self.batch_records_max, self.batch_work, unseen)

    def contacts_of_slice(self, unseen: int) -> int:
        """Contacts between two looks at the clock, likewise."""
        return _bounded(self.slice_contacts, self.slice_evaluations, unseen)


def _bounded(most: int, evaluations: int, unseen: int) -> int:
    return min(most, max(1, evaluations // unseen)) if unseen else most
