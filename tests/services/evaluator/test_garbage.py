"""When unreachable objects are looked for: in a quiet moment, and in time all the same where there is none."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from segmentation.model import InstantMs
from services.evaluator import garbage
from services.evaluator.partition import Partition
from services.runtime import clock
from tests.services.evaluator.inputs import NOW, Record, definition, tick, write
from tests.waiting import until

WAIT_S = 30.0


class Knot:
    """Refers to itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    thresholds = gc.get_threshold()
    monkeypatch.setattr(garbage, "COLLECT_EVERY_S", 0.01)
    monkeypatch.setattr(garbage, "WATCH_EVERY_S", 0.001)
    monkeypatch.setattr(garbage, "LOOK_EVERY_S", 0.001)
    garbage.collect_rarely()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


async def _collected(knot: weakref.ref[Knot]) -> None:
    await until(lambda: knot() is None, WAIT_S, "a collection")


async def test_what_is_unreachable_goes_once_nothing_waits() -> None:
    busy = True
    looked = asyncio.Event()

    def is_quiet() -> bool:
        looked.set()
        return not busy

    knot = weakref.ref(Knot())
    collecting = asyncio.create_task(garbage.collect_in_quiet(is_quiet, clock.monotonic))
    await looked.wait()
    assert knot() is not None
    busy = False
    await _collected(knot)
    collecting.cancel()


async def test_a_process_that_is_never_quiet_collects_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LOOKS_MAX", 5)
    knot = weakref.ref(Knot())
    collecting = asyncio.create_task(garbage.collect_in_quiet(lambda: False, clock.monotonic))
    await _collected(knot)
    collecting.cancel()


async def test_memory_that_has_grown_is_looked_at_long_before_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "COLLECT_EVERY_S", 1_000_000.0)
    resident = 100 << 20
    knot = weakref.ref(Knot())
    looked = asyncio.Event()

    def resident_bytes() -> int:
        looked.set()
        return resident

    collecting = asyncio.create_task(garbage.collect_in_quiet(lambda: True, clock.monotonic, resident_bytes))
    for grown in (0, garbage.GROWN_BYTES_MIN - 1):
        resident = (100 << 20) + grown
        looked.clear()
        await looked.wait()
        assert knot() is not None
    resident += 1
    await _collected(knot)
    collecting.cancel()


def test_what_was_settled_is_walked_over_no_more_and_the_next_time_looked_at_again() -> None:
    kept = Knot()
    knot = weakref.ref(kept)
    garbage.settle()
    del kept
    gc.collect()
    assert knot() is not None
    garbage.settle()
    assert knot() is None


def _inputs(first: int) -> list[Record]:
    """Something of everything: writes, definitions that refer to one another, a deadline between them, erasures."""
    wheres = {
        "pros": [{"plan": "pro"}],
        "rich": [{"any": [{"segment": "pros"}, {"mrr": {"gt": 9}}]}],
        "ended": [{"ends_at": {"in_past": True}}, {"segment": "rich"}],
    }
    return [
        write(first, "a", plan="pro", mrr="lots", ends_at=NOW + 1_000 * first + 500),
        write(first + 1, "b", plan="free"),
        *(definition(first + 2 + place, where, name, first + 1) for place, (name, where) in enumerate(wheres.items())),
        write(first + 5, "a", plan="free"),
        tick(first + 6, NOW + 1_000 * (first + 1)),
        write(first + 7, "a", at=NOW + 1_000 * (first + 1), plan="pro"),
        definition(first + 8, wheres["ended"], "ended", first + 2, "deleted"),
        Record(first + 9, NOW, b"b", None),
    ]


def _work_off(partition: Partition, first: int) -> None:
    for record in _inputs(first):
        partition.consume([record])
    while partition.due.any_due(partition.clock):
        partition.wake_due(10)
    while partition.behind_definitions:
        partition.backfill(1)
    partition.take_unsent()
    partition.seal()
    partition.committed({}, InstantMs(NOW))


def test_what_is_decided_leaves_nothing_that_only_a_collection_frees(partition: Partition) -> None:
    _work_off(partition, 0)
    garbage.settle()  # so that nothing of another test is looked at
    gc.disable()
    try:
        _work_off(partition, 10)
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert partition.tally.changes > 10
    assert partition.tally.dead_lettered == 0
