"""How fast a backlog is worked off, by an evaluator that starts with its contacts in place, and by the peers.

All read the same topic; each passes the same checker before its figure counts.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from bench.e2e.checker import Judged, Reference, clock_of, read_published
from bench.e2e.evaluator import EvaluatorUnderTest
from bench.e2e.peers import PeerRate, measure_kafka_streams, measure_python_peers
from bench.e2e.stages import Stages
from bench.e2e.workspace import BenchWorkspace, Sent
from schemas.topics import Topic
from segmentation.model import InstantMs


class Work(NamedTuple):
    """What is to be measured. The Python peers are timed on the first `peer_updates` alone; without any, no peer is."""

    contacts: int
    segments: int
    updates: int
    peer_updates: int = 0
    with_faust: bool = False


class Backlog(NamedTuple):
    """One measurement of ours."""

    rate_per_s: float
    cpu_us_per_update: float
    rss_mib: float
    stages: str
    judged: Judged


class Filled:
    """A workspace whose segments and contacts an evaluator has taken in, and that evaluator's state."""

    def __init__(self, broker: str, partitions: int, work: Work, directory: Path) -> None:
        self.workspace = BenchWorkspace(broker, partitions, work.contacts, work.segments)
        self.workspace.create()
        self.state = directory / "state"
        self.ends: Counter[int] = Counter()
        self._clocks: dict[int, InstantMs] = {}
        self.produce(chain(self.workspace.definitions(), self.workspace.creations()))
        with EvaluatorUnderTest(self.workspace, self.state) as evaluator:
            evaluator.await_committed(self.ends)
            evaluator.await_settled()

    @property
    def written(self) -> int:
        """Records so far."""
        return sum(self.ends.values())

    def produce(self, records: Iterable[Sent]) -> None:
        """Send records as they are made, and keep each partition's end and clock: a list of a million is large."""
        self.workspace.produce(self._counted(records))

    def _counted(self, records: Iterable[Sent]) -> Iterator[Sent]:
        for record in records:
            self.ends[record.partition] += 1
            clock = self._clocks.get(record.partition, InstantMs(0))
            self._clocks[record.partition] = max(clock, InstantMs(record.timestamp_ms))
            yield record

    def judge(self) -> Judged:
        """Hold what was published to the reference, as of each partition's clock."""
        published = read_published(self.workspace, self.workspace.name(Topic.MEMBERSHIPS))
        return Reference(self.workspace).judge("the evaluator", published, clock_of(self.workspace, self._clocks))


@contextmanager
def filled(broker: str, partitions: int, work: Work) -> Iterator[Filled]:
    """A filled workspace; its state is removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="tidegate-bench-"))
    try:
        yield Filled(broker, partitions, work, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure_backlog(found: Filled, work: Work) -> Iterator[Backlog | PeerRate]:
    """Write the Python peers' part, run them, write the rest, run the Java peer, start ours and time it to its end."""
    workspace, warm = found.workspace, found.written
    if work.peer_updates:
        found.produce(workspace.updates(work.peer_updates))
        yield from measure_python_peers(workspace, dict(found.ends), warm, with_faust=work.with_faust)
    found.produce(workspace.updates(work.updates - work.peer_updates))
    if work.peer_updates:
        yield from measure_kafka_streams(workspace, dict(found.ends), warm)
    with EvaluatorUnderTest(workspace, found.state) as evaluator:
        before, began, cpu = Stages.of(evaluator), time.perf_counter(), evaluator.cpu_s
        done_before = sum(evaluator.positions().values())
        evaluator.await_committed(found.ends)
        took = time.perf_counter() - began
        done = found.written - done_before
        spent, rss_mib = evaluator.cpu_s - cpu, evaluator.rss_mib
        stages = Stages.of(evaluator).since(before).of_a_write(done)
        yield Backlog(done / took, spent / done * 1e6, rss_mib, stages, found.judge())
