"""However many partitions there are, what waits in all of them together is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from schemas.topics import topic_name
from segmentation.model import InstantMs
from services.evaluator import owner as owner_module
from services.evaluator import transport
from services.evaluator.owner import Owned, PartitionOwner
from services.evaluator.partition import Partition
from services.evaluator.ports import RECORD_BYTES
from services.evaluator.restored import restore
from services.evaluator.store import RocksStore
from services.evaluator.surroundings import Workspace
from services.evaluator.worker import PartitionWorker
from tests.services.evaluator.inputs import NOW, tick
from tests.services.evaluator.test_worker import TICK_BYTES, RecordingLog

WITHIN_S = 20.0


def owner_of(tmp_path: Path, *queued_bytes: int) -> PartitionOwner:
    owner = PartitionOwner(Workspace("group", 8, lambda topic: topic_name("", topic), {}, tmp_path))
    for index, waiting in enumerate(queued_bytes):
        owner.owned[index] = Owned(index, worker=cast("PartitionWorker", SimpleNamespace(queued_bytes=waiting)))
    owner.owned[len(queued_bytes)] = Owned(len(queued_bytes))  # it is being recovered
    return owner


@pytest.mark.parametrize(("more", "is_full"), [(-1, False), (0, True)])
async def test_it_is_full_once_too_much_waits_in_all_partitions_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int, is_full: bool
) -> None:
    monkeypatch.setattr(owner_module, "QUEUED_TOGETHER_BYTES_MAX", 1_000)
    assert owner_of(tmp_path, 400, 600 + more).is_full == is_full


def test_what_waits_counts_with_what_a_record_takes_besides_its_value(open_store: Callable[[str], RocksStore]) -> None:
    store = open_store("0")
    partition = Partition(0, 1, "contact-changes", store, restore(store))
    worker = PartitionWorker(partition, RecordingLog(), monotonic=lambda: 0.0, now_ms=lambda: InstantMs(NOW))
    worker.feed([tick(offset, NOW) for offset in range(3)])
    assert worker.queued_bytes == 3 * (TICK_BYTES + RECORD_BYTES)
    worker.stop()
    assert worker.queued_bytes == 0


class Fetching(transport.Consumer):
    """Of one partition, from a list."""

    def __init__(self, owner: PartitionOwner) -> None:
        self.owner, self.input_topic, self.flow_active = owner, "contact-changes", True
        self.fetches = 0

    should_stop = False

    def _get_active_partitions(self) -> set[TP]:
        return {TP("contact-changes", 0)}

    async def _getmany(self, *_asked: object) -> Any:
        self.fetches += 1
        await asyncio.sleep(0)
        return {}


async def test_nothing_is_fetched_while_too_much_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner_module, "QUEUED_TOGETHER_BYTES_MAX", 1_000)
    rests = 0

    async def rest(seconds: float) -> None:
        nonlocal rests
        rests += seconds == transport.IDLE_WAIT_S
        await turn(0)

    turn = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", rest)
    owner = owner_of(tmp_path, 1_000)
    consumer = Fetching(owner)
    fetcher = SimpleNamespace(should_stop=False)
    draining = asyncio.create_task(consumer._drain_messages(fetcher))
    for _ in range(10):
        await turn(0)
    assert (consumer.fetches, rests > 1) == (0, True)
    owner.owned[0].worker = cast("PartitionWorker", SimpleNamespace(queued_bytes=999))
    for _ in range(10):
        await turn(0)
    assert consumer.fetches > 1
    fetcher.should_stop = True
    await asyncio.wait_for(draining, WITHIN_S)
