"""What a recovery derives from contact rows is what the commits derived that wrote them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from schemas.topics import Topic
from segmentation.model import InstantMs
from services.evaluator import rows
from services.evaluator.partition import Partition
from services.evaluator.ports import Bounds, Drained
from services.evaluator.recovery import Recovery, recover
from services.evaluator.restored import restore
from services.evaluator.store import RocksStore, StoreMemory
from tests.services.evaluator.inputs import NOW, Record, definition, write

DERIVED = (
    (rows.CONTACTS_START, rows.CONTACTS_END),
    (rows.DUE_START, rows.DUE_END),
    (rows.LISTINGS_START, rows.LISTINGS_END),
)
DAY_MS = 86_400_000
RECENT = [{"seen_at": {"within_last": "50d"}}]


class Written:
    """The changelogs of one partition as its commits wrote them, read in short batches."""

    def __init__(self) -> None:
        self.records: dict[Topic, list[Record]] = {Topic.CONTACTS_CHANGELOG: [], Topic.CONTROL_CHANGELOG: []}

    def commit(self, partition: Partition, *inputs: Any) -> None:
        """Take inputs through to a commit."""
        partition.consume(inputs)
        while partition.behind_definitions:
            partition.backfill(100)
        partition.take_unsent()
        for topic, outputs in zip(self.records, partition.seal(), strict=True):
            log = self.records[topic]
            log += [Record(len(log) + place, NOW, each.key, each.value) for place, each in enumerate(outputs)]
        partition.committed({topic: len(log) for topic, log in self.records.items()}, InstantMs(NOW))

    async def bounds(self, topic: Topic, _partition: int) -> Bounds:
        return Bounds(0, len(self.records[topic])) if topic in self.records else Bounds(0, 0)

    async def drain(self, starts: Mapping[tuple[Topic, int], Bounds]) -> AsyncIterator[Drained]:
        for (topic, partition), bounds in starts.items():
            for start in range(bounds.first, bounds.end, 3):
                yield Drained(topic, partition, self.records[topic][start : min(start + 3, bounds.end)])


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[RocksStore, RocksStore]]:
    memory = StoreMemory(cache_bytes=8 << 20, buffers_bytes=4 << 20)
    pair = RocksStore(tmp_path / "a", memory), RocksStore(tmp_path / "b", memory)
    yield pair
    for store in pair:
        store.close()


async def test_a_wiped_store_is_rebuilt_row_for_row_from_what_commits_wrote(
    stores: tuple[RocksStore, RocksStore],
) -> None:
    kept, wiped = stores
    partition, written = Partition(0, 1, "contact-changes", kept, restore(kept)), Written()
    written.commit(partition, definition(0, [{"plan": "pro"}]), definition(1, RECENT, "recent"))
    inputs = [
        write(number, f"c{number % 7}", plan=("pro", "free", ',"members":{')[number % 3], seen_at=NOW - number * DAY_MS)
        for number in range(2, 40)
    ]
    for start in range(0, len(inputs), 5):
        written.commit(partition, *inputs[start : start + 5])
    written.commit(partition, Record(40, NOW, b"c3", None))
    recovery = Recovery(0, wiped)
    restored = (await recover([recovery], written))[0]
    for first, last in DERIVED:
        assert wiped.scan(first, last, 1_000) == kept.scan(first, last, 1_000)
    assert kept.scan(*DERIVED[1], 1_000) != []
    assert restored.marks.contacts == partition.contacts == 6
    assert {each: count.members for each, count in restored.counts.items() if count.members} == {
        each: count.members for each, count in partition.counts.items() if count.members
    }
