"""Which partitions can be read here, and what is told to whom when one of them commits.

Rule: a partition is served from the moment it is recovered until just before its store is closed; asked for any other,
readers are told whether it is being recovered here or is worked elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from services.evaluator.column_memory import COLUMNS_BYTES_MAX, ColumnMemory
from services.evaluator.measures import PartitionMeasures
from services.evaluator.outcomes import Outcomes
from services.evaluator.owner import WorkerListeners
from services.evaluator.partition import Partition
from services.evaluator.ports import Store
from services.evaluator.previews import Previews
from services.evaluator.reads import ServedPartition
from services.evaluator.segment_news import SegmentNews
from services.evaluator.worker import Committed
from services.runtime import clock

if TYPE_CHECKING:
    from services.evaluator.traces import TracedInputs


class Serving:
    """The partitions of this process as readers see them. An `Observer` of the owner."""

    def __init__(
        self, trace: Callable[[int], TracedInputs] | None = None, columns_bytes_max: int = COLUMNS_BYTES_MAX
    ) -> None:
        self._trace = trace
        self._traced: dict[int, TracedInputs] = {}
        self.served: dict[int, ServedPartition] = {}
        self.recovering: set[int] = set()
        self._memory = ColumnMemory(columns_bytes_max)
        self._ending: dict[int, Outcomes] = {}
        self.news: dict[int, SegmentNews] = {}
        self._measures: dict[int, PartitionMeasures] = {}

    def assigned(self, partitions: Sequence[int]) -> None:
        """Being recovered: not readable yet."""
        self.recovering = set(partitions)

    def started(self, partition: Partition, store: Store) -> WorkerListeners:
        """Readable from now on."""
        outcomes = Outcomes(partition.next_offset)
        measures = PartitionMeasures(partition)
        self.recovering.discard(partition.index)
        self.served[partition.index] = ServedPartition(
            partition, store, outcomes, Previews(partition, store, self._memory, clock.monotonic)
        )
        self._measures[partition.index] = measures
        news = self.news[partition.index] = SegmentNews(partition)

        traced = self._trace(partition.index) if self._trace is not None else None
        if traced is not None:
            self._traced[partition.index] = traced

        def on_commit(done: Committed) -> None:
            outcomes.committed(done.next_offset, done.changes)
            measures.committed(done)
            news.committed(done.changes)
            if traced is not None:
                traced.committed(done)

        return WorkerListeners(on_commit, outcomes.passed, traced.fed if traced is not None else None)

    def stopping(self, index: int) -> None:
        """No longer readable."""
        self.recovering.discard(index)
        served = self.served.pop(index, None)
        if served is not None:
            served.previews.close()
            self._ending[index] = served.outcomes
        traced = self._traced.pop(index, None)
        if traced is not None:
            traced.stopped()
        self.news.pop(index, None)
        measures = self._measures.pop(index, None)
        if measures is not None:
            measures.stopped()

    def stopped(self, index: int) -> None:
        """Who waits has heard of the last commit, or is to ask the next owner."""
        outcomes = self._ending.pop(index, None)
        if outcomes is not None:
            outcomes.close()

    def has(self, index: int) -> bool:
        """Whether a partition is this process's."""
        return index in self.served or index in self.recovering

    @property
    def previews(self) -> list[Previews]:
        """Those of every served partition."""
        return [served.previews for served in self.served.values()]

    def refresh_metrics(self) -> None:
        """Bring the counters level with the workers' tallies."""
        for measures in self._measures.values():
            measures.refresh()
