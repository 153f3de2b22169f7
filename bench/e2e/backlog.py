"""How fast a backlog is worked off, by an evaluator that starts with its contacts in place."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.e2e.evaluator import POLL_S, EvaluatorUnderTest
from bench.e2e.workspace import BenchWorkspace, Sent


class Backlog(NamedTuple):
    """One measurement."""

    contacts: int
    segments: int
    updates: int
    rate_per_s: float
    cpu_us_per_update: float
    rss_mib: float


def measure_backlog(broker: str, partitions: int, contacts: int, segments: int, updates: int) -> Backlog:
    """Load segments and contacts, stop, write a backlog, start, and time the way to its end."""
    workspace = BenchWorkspace(broker, partitions, contacts, segments)
    workspace.create()
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory) / "state"
        ends = _produce(workspace, [*workspace.definitions(), *workspace.creations()], {})
        with EvaluatorUnderTest(workspace, state) as evaluator:
            await_positions(evaluator, ends)
            while evaluator.settling():
                time.sleep(POLL_S)
        before = sum(ends.values())
        ends = _produce(workspace, list(workspace.updates(updates)), ends)
        with EvaluatorUnderTest(workspace, state) as evaluator:
            began, cpu = time.perf_counter(), evaluator.cpu_s
            done_before = sum(evaluator.positions().values()) - before
            await_positions(evaluator, ends)
            took = time.perf_counter() - began
            done = sum(ends.values()) - before - done_before
            return Backlog(
                contacts,
                segments,
                updates,
                done / took,
                (evaluator.cpu_s - cpu) / done * 1e6,
                evaluator.rss_mib,
            )


def _produce(workspace: BenchWorkspace, records: list[Sent], ends: dict[int, int]) -> dict[int, int]:
    """Send records; the end of each partition after them."""
    workspace.produce(records)
    after = dict(ends)
    for record in records:
        after[record.partition] = after.get(record.partition, 0) + 1
    return after


def await_positions(evaluator: EvaluatorUnderTest, ends: dict[int, int]) -> None:
    """Wait until every partition has reached its end."""
    while True:
        positions = evaluator.positions()
        if all(positions.get(partition, 0) >= end for partition, end in ends.items()):
            return
        time.sleep(POLL_S)
