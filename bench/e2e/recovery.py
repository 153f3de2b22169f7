"""How long a wiped evaluator takes to be ready again, and a warm one."""

from __future__ import annotations

import shutil
from typing import NamedTuple

from bench.e2e.backlog import Filled
from bench.e2e.evaluator import EvaluatorUnderTest


class RecoveryTime(NamedTuple):
    """One measurement. The times are from assignment to ready, and those of the whole process from its start."""

    contacts: int
    records: int
    wiped_s: float
    wiped_process_s: float
    warm_s: float
    warm_process_s: float
    rss_mib: float
    warm_rss_mib: float


def measure_recovery(found: Filled) -> RecoveryTime:
    """Wipe, start; then stop and start once more."""
    shutil.rmtree(found.state)
    with EvaluatorUnderTest(found.workspace, found.state) as evaluator:
        wiped, wiped_process_s, rss_mib = (
            evaluator.log_line("partitions recovered"),
            evaluator.ready_s,
            evaluator.rss_mib,
        )
    with EvaluatorUnderTest(found.workspace, found.state) as evaluator:
        warm = evaluator.log_line("partitions recovered")
        return RecoveryTime(
            found.workspace.contacts,
            int(str(wiped["changelog_records"])),
            float(str(wiped["recovery_ms"])) / 1_000,
            wiped_process_s,
            float(str(warm["recovery_ms"])) / 1_000,
            evaluator.ready_s,
            rss_mib,
            evaluator.rss_mib,
        )
