"""The evaluator's metrics, and the two moments at which they are brought along: a commit, and a look from outside.

Rule: nothing is measured per record on the hot path; counters take differences of the workers' own tallies.
"""

from __future__ import annotations

from dataclasses import replace

from services.evaluator.partition import Partition
from services.evaluator.store import StoreMemory
from services.evaluator.tally import Tally
from services.evaluator.worker import Committed, Stages
from services.runtime import clock
from services.runtime.metrics import SIZE_BUCKETS, counter, gauge, histogram

PROCESSED = counter("tidegate_evaluator_records", "Input records evaluated, refused ones included.", ["partition"])
DEAD_LETTERS = counter("tidegate_evaluator_dead_letters", "Input records refused.", ["partition"])
CHANGES = counter("tidegate_evaluator_changes", "Membership changes committed.", ["partition"])
FIRES = counter("tidegate_evaluator_deadlines_fired", "Contacts woken by a due deadline.", ["partition"])
COUNTED = {"processed": PROCESSED, "dead_lettered": DEAD_LETTERS, "changes": CHANGES, "deadlines_fired": FIRES}
"""Counts of `Tally`, by name."""
COMMITS = counter("tidegate_evaluator_commits", "Transactions committed.", ["partition"])
COMMIT_SECONDS = histogram("tidegate_evaluator_commit_seconds", "From the start of a commit to the local write.")
COMMIT_RECORDS = histogram(
    "tidegate_evaluator_commit_records", "Input records in one transaction.", buckets=SIZE_BUCKETS
)
LATENCY_SECONDS = histogram(
    "tidegate_evaluator_latency_seconds",
    "From an input's broker timestamp to its commit, of the first and the last record of each batch.",
)
STAGE_SECONDS = counter(
    "tidegate_evaluator_stage_seconds",
    "Where the workers' time goes: `evaluated`, `sent`, `gathered` (from the first output to the start of its commit), "
    "`acknowledged`, `committed` (the end of the transaction), `applied` (the local write).",
    ["stage"],
)
QUEUED = gauge("tidegate_evaluator_queued_records", "Fetched records not yet evaluated.", ["partition"])
LAG = gauge("tidegate_evaluator_lag_records", "Records on the broker not yet evaluated.", ["partition"])
LATENESS_SECONDS = gauge(
    "tidegate_evaluator_deadline_lateness_seconds",
    "By how much the partition clock is past the earliest deadline that has not fired.",
    ["partition"],
)
CONTACTS = gauge("tidegate_evaluator_contacts", "Contacts in the partition.", ["partition"])
HELD = gauge(
    "tidegate_evaluator_held_contacts", "Contacts set aside because their evaluation failed twice.", ["partition"]
)
RECOVERY_SECONDS = gauge("tidegate_evaluator_recovery_seconds", "How long the last recovery took.")
SPANS_DROPPED = counter("tidegate_evaluator_spans_dropped", "Traced inputs without a span: too many at once.")
COMMITTED, ABORTED = OUTCOMES = ("committed", "aborted")
UNDECIDED = counter(
    "tidegate_evaluator_undecided",
    "Partitions found with transactions that the broker had left without an outcome, by what became of these.",
    ["outcome"],
)
for _outcome in OUTCOMES:  # of a counter that begins at 1, nobody sees that it has grown
    UNDECIDED.labels(_outcome)
STORES_DISBELIEVED = counter(
    "tidegate_evaluator_stores_disbelieved", "Stores begun anew because their last commit was not found in the log."
)
RECOVERED_RECORDS = gauge("tidegate_evaluator_recovered_records", "Changelog records that the last recovery read.")
STORE_BYTES = gauge(
    "tidegate_evaluator_store_bytes",
    "Memory that the stores hold, `all`, and of it `buffers`, rows not yet in files. It fills up to its limit.",
    ["part"],
)
STORE_LIMIT_BYTES = gauge("tidegate_evaluator_store_limit_bytes", "What the stores of this process may hold together.")


def measure_stores(memory: StoreMemory) -> None:
    """Have every look at the metrics ask the stores themselves."""
    STORE_LIMIT_BYTES.set(memory.limit_bytes)
    STORE_BYTES.labels("all").set_function(lambda: memory.held_bytes)
    STORE_BYTES.labels("buffers").set_function(lambda: memory.buffers_held_bytes)


class PartitionMeasures:
    """Brings one partition's metrics along."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._label = label = str(partition.index)
        self._counters = {name: each.labels(label) for name, each in COUNTED.items()}
        self._commits = COMMITS.labels(label)
        self._lateness = LATENESS_SECONDS.labels(label)
        self._contacts = CONTACTS.labels(label)
        self._held = HELD.labels(label)
        self._told = Tally()
        self._stages = [STAGE_SECONDS.labels(stage) for stage in Stages._fields]

    def committed(self, done: Committed) -> None:
        """Count a commit and measure what it held."""
        self._commits.inc()
        COMMIT_SECONDS.observe(done.took_s)
        for metric, spent_s in zip(self._stages, done.stages, strict=True):
            metric.inc(max(0.0, spent_s))
        if done.records:
            COMMIT_RECORDS.observe(done.records)
        now = clock.now_ms()
        for stamp in done.stamps:
            LATENCY_SECONDS.observe(max(0, now - stamp) / 1_000)

    def refresh(self) -> None:
        """Bring the counters level with the partition's tally."""
        tally = self._partition.tally
        for name, metric in self._counters.items():
            metric.inc(getattr(tally, name) - getattr(self._told, name))
        self._told = replace(tally)
        self._lateness.set(self._partition.due.lateness_ms(self._partition.clock) / 1_000)
        self._contacts.set(self._partition.contacts)
        self._held.set(len(self._partition.failures.held))

    def stopped(self) -> None:
        """Bring the counters level, and measure nothing more: what stayed would be alerted on and added up twice."""
        self.refresh()
        for metric in (LAG, LATENESS_SECONDS, CONTACTS, HELD):
            metric.remove(self._label)
