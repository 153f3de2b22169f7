"""The changelogs of one partition, kept in memory: what commits appended, for a recovery to read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from schemas.topics import Topic
from services.evaluator.ports import Bounds, Drained, OutputRecord, TopicPart
from tests.services.evaluator.inputs import Record


class AllDecided:
    """Of a partition that has nothing without an outcome."""

    async def decide(self, topics: Sequence[Topic], *, commit: bool) -> None:
        """Never."""
        raise AssertionError(f"decided {topics} as {commit=}, which had their markers")

    def begin_at(self, ends: Mapping[Topic, int]) -> None:
        """No matter."""


class RecordedChangelogs:
    """`Changelogs` of what was appended."""

    def __init__(self) -> None:
        self._records: dict[Topic, list[Record]] = {}

    def append(self, appended: Mapping[Topic, Sequence[OutputRecord]]) -> dict[Topic, int]:
        """Add records; the next offset of each topic."""
        for topic, records in appended.items():
            log = self._records.setdefault(topic, [])
            log += [Record(offset, 0, each.key, each.value) for offset, each in enumerate(records, len(log))]
        return {topic: len(log) for topic, log in self._records.items()}

    async def bounds(self, topic: Topic, _partition: int) -> Bounds:
        """Everything that was appended."""
        return Bounds(0, len(self._records.get(topic, [])))

    async def ends(self, wanted: Collection[TopicPart]) -> dict[TopicPart, Bounds]:
        """Everything is decided."""
        ends = {at: (await self.bounds(*at)).end for at in wanted}
        return {at: Bounds(end, end) for at, end in ends.items()}

    async def drain(self, starts: Mapping[TopicPart, Bounds], *, undecided: bool = False) -> AsyncIterator[Drained]:
        """The records between the bounds."""
        for (topic, partition), bounds in starts.items():
            records = self._records.get(topic, [])[bounds.first : bounds.end]
            if records:
                yield Drained(topic, partition, records)
