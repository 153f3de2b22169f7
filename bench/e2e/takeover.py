"""How long writes wait when an evaluator stops, is killed, or is started again at once under its own name.

Two evaluators share the partitions, probes are sent all the while, and the figure is the longest that any of them took
from its planned instant to its change: that is what people notice, whatever the group did meanwhile.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.e2e.evaluator import EvaluatorUnderTest
from bench.e2e.latency import Probes
from bench.e2e.workspace import BenchWorkspace
from bench.waiting import until

PROBES_PER_S = 100
LEAD_S = 4.0
"""Load before the event; readers and sender need a moment to begin."""
SESSION_TIMEOUT_S = 10.0
SHARED_TIMEOUT_S = 60.0
"""How long two evaluators may take to share the partitions."""
CONTACTS, SEGMENTS = 2_000, 50


class Takeover(NamedTuple):
    """One measurement."""

    event: str
    longest_s: float
    goal_s: float
    writes: int


def measure_takeovers(broker: str, partitions: int) -> Iterator[Takeover]:
    """Each event on a workspace of its own."""
    yield _of_two(broker, partitions, "clean stop, another takes over", EvaluatorUnderTest.stop, 1.5, 4.0)
    yield _of_two(
        broker, partitions, "kill, another takes over", EvaluatorUnderTest.kill, SESSION_TIMEOUT_S + 1.5, 14.0
    )
    yield _restarted(broker, partitions, "kill, restarted at once under the same name", EvaluatorUnderTest.kill)
    yield _restarted(broker, partitions, "clean stop, restarted at once under the same name", EvaluatorUnderTest.stop)


def _of_two(
    broker: str,
    partitions: int,
    event: str,
    end: Callable[[EvaluatorUnderTest], None],
    goal_s: float,
    after_s: float,
) -> Takeover:
    workspace = _workspace(broker, partitions)
    with (
        tempfile.TemporaryDirectory() as directory,
        EvaluatorUnderTest(workspace, Path(directory) / "a", static_member=None) as leaving,
        EvaluatorUnderTest(workspace, Path(directory) / "b", static_member=None) as staying,
    ):
        until(
            lambda: leaving.positions() and staying.positions(), SHARED_TIMEOUT_S, "both evaluators to own partitions"
        )
        return _across(workspace, event, lambda: end(leaving), goal_s, after_s)


def _restarted(broker: str, partitions: int, event: str, end: Callable[[EvaluatorUnderTest], None]) -> Takeover:
    workspace = _workspace(broker, partitions)
    with tempfile.TemporaryDirectory() as directory, EvaluatorUnderTest(workspace, Path(directory) / "a") as evaluator:

        def restart() -> None:
            end(evaluator)
            evaluator.start()

        return _across(workspace, event, restart, SESSION_TIMEOUT_S + 1.5, 8.0)


def _workspace(broker: str, partitions: int) -> BenchWorkspace:
    workspace = BenchWorkspace(broker, partitions, CONTACTS, SEGMENTS, replay_history=False)
    workspace.create()
    workspace.produce([*workspace.definitions(), *workspace.creations()])
    return workspace


def _across(
    workspace: BenchWorkspace, event: str, happen: Callable[[], None], goal_s: float, after_s: float
) -> Takeover:
    probes = Probes(workspace)
    happening = threading.Timer(LEAD_S, happen)
    happening.start()
    try:
        uncommitted = probes.run(PROBES_PER_S, LEAD_S + after_s)[0]
    finally:
        happening.join()
    return Takeover(event, uncommitted.longest / 1_000, goal_s, uncommitted.writes)
