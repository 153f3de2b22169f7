"""How long a wiped evaluator takes to be ready again, and a warm one."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.e2e.backlog import await_positions
from bench.e2e.evaluator import POLL_S, EvaluatorUnderTest
from bench.e2e.workspace import BenchWorkspace


class RecoveryTime(NamedTuple):
    """One measurement. `recovery_ms` is from assignment to ready, without the start of the interpreter."""

    contacts: int
    cold_recovery_ms: float
    warm_recovery_ms: float
    records: int
    rss_mib: float


def measure_recovery(broker: str, partitions: int, contacts: int, segments: int) -> RecoveryTime:
    """Fill, stop, wipe, start; then stop and start once more."""
    workspace = BenchWorkspace(broker, partitions, contacts, segments)
    workspace.create()
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory) / "state"
        with EvaluatorUnderTest(workspace, state) as evaluator:
            records = [*workspace.definitions(), *workspace.creations()]
            ends: dict[int, int] = {}
            for record in records:
                ends[record.partition] = ends.get(record.partition, 0) + 1
            workspace.produce(records)
            await_positions(evaluator, ends)
            while evaluator.settling():
                time.sleep(POLL_S)
        shutil.rmtree(state)
        with EvaluatorUnderTest(workspace, state) as evaluator:
            cold = evaluator.log_line("partitions recovered")
            rss = evaluator.rss_mib
        with EvaluatorUnderTest(workspace, state) as evaluator:
            warm = evaluator.log_line("partitions recovered")
    return RecoveryTime(
        contacts,
        float(str(cold["recovery_ms"])),
        float(str(warm["recovery_ms"])),
        int(str(cold["changelog_records"])),
        rss,
    )
