"""Ticks keep their beat: never two at once in a partition, never a drift or a burst; no partition waits for another."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

import pytest
from aiokafka.errors import KafkaError, KafkaTimeoutError, NotLeaderForPartitionError
from structlog.testing import capture_logs

from schemas.codec import Tick, decode_input
from segmentation.model import InstantMs
from services.runtime.metrics import REGISTRY
from services.scheduler.ticker import Ticker

PARTITIONS = 2
ACKNOWLEDGED_WITHIN_S = 0.001
TURNS = 10
"""Of the event loop, until everything that can go on at an instant has."""


class World:
    """A clock moved by hand, and a broker that takes its time with a partition, or refuses in the end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.slowness_s: dict[tuple[int, float], float] = {}
        """By partition and the instant of the append."""
        self.refuses: Callable[[int], KafkaError | None] = lambda _: None
        self.ticks: dict[int, list[float]] = {partition: [] for partition in range(PARTITIONS)}
        self.under_way = dict.fromkeys(range(PARTITIONS), 0)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = count()
        self._turn = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    def now_ms(self) -> InstantMs:
        return InstantMs(int(self.now_s * 1000))

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now_s + seconds, next(self._number), woken))
        await woken

    async def append(self, partition: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        assert isinstance(decode_input(None, value, headers), Tick)
        self.ticks[partition].append(round(self.now_s, 6))
        self.under_way[partition] += 1
        assert self.under_way[partition] == 1
        try:
            await self.sleep(self.slowness_s.get((partition, round(self.now_s, 6)), ACKNOWLEDGED_WITHIN_S))
            error = self.refuses(partition)
            if error is not None:
                raise error
        finally:
            self.under_way[partition] -= 1

    async def settle(self) -> None:
        for _ in range(TURNS):
            await self._turn(0)

    async def go_on(self, until_s: float, ticking: asyncio.Task[None]) -> None:
        """Let time pass, to the end of the ticker at most."""
        await self.settle()
        while not ticking.done() and self._sleepers and self._sleepers[0][0] < until_s:
            at, _, woken = heapq.heappop(self._sleepers)
            self.now_s = max(self.now_s, at)
            if not woken.done():
                woken.set_result(None)
            await self.settle()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def begin(world: World, interval_ms: int) -> asyncio.Task[None]:
    return asyncio.create_task(Ticker(world.append, PARTITIONS, interval_ms, world.now_ms, world.monotonic).run())


async def end(ticking: asyncio.Task[None]) -> None:
    ticking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ticking


async def beats(world: World, until_s: float, interval_ms: int = 1_000) -> dict[int, list[float]]:
    ticking = begin(world, interval_ms)
    await world.go_on(until_s, ticking)
    await end(ticking)
    return world.ticks


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_ticks_do_not_drift_however_long_a_broker_takes(world: World) -> None:
    world.slowness_s = {(0, 2): 0.4, (1, 5): 0.9}
    assert await beats(world, 9.5) == {0: list(range(10)), 1: list(range(10))}


async def test_ticks_missed_by_a_slow_partition_are_skipped_and_others_keep_their_beat(world: World) -> None:
    world.slowness_s = {(1, 2): 3.5}
    assert await beats(world, 9.5) == {0: list(range(10)), 1: [0, 1, 2, 6, 7, 8, 9]}


async def test_a_process_that_stood_still_ticks_once_and_then_in_its_old_beat(world: World) -> None:
    ticking = begin(world, 1_000)
    await world.go_on(2.5, ticking)
    world.now_s = 5.4
    await world.go_on(8.5, ticking)
    await end(ticking)
    assert world.ticks == {0: [0, 1, 2, 5.4, 6, 7, 8], 1: [0, 1, 2, 5.4, 6, 7, 8]}


async def test_a_partition_without_a_leader_holds_up_no_other(world: World) -> None:
    world.slowness_s = {(1, 0.1): 2.95, (1, 3.1): 2.95}
    world.refuses = lambda partition: (
        NotLeaderForPartitionError() if partition == 1 and 0.1 < world.now_s < 6.1 else None
    )
    failed, appended = counted("tidegate_ticks_failed_total"), counted("tidegate_ticks_total")
    with capture_logs() as lines:
        ticking = begin(world, 100)
        await world.go_on(6.09, ticking)
        assert not ticking.done()
        assert [line["event"] for line in lines] == ["a partition takes no ticks, others do"]
        await world.go_on(6.45, ticking)
        await end(ticking)
    assert world.ticks[0] == pytest.approx([n / 10 for n in range(65)])
    assert world.ticks[1] == pytest.approx([0, 0.1, 3.1, 6.1, 6.2, 6.3, 6.4])
    assert counted("tidegate_ticks_failed_total") - failed == 2
    assert counted("tidegate_ticks_total") - appended == 65 + 5
    assert [line["event"] for line in lines[1:]] == ["a partition takes ticks again"]


async def test_lateness_is_that_of_the_worst_partition_also_before_it_acknowledges(world: World) -> None:
    name = "tidegate_tick_lateness_seconds"
    measured, in_time, all_s = (
        counted(f"{name}_count"),
        counted(f"{name}_bucket", le="1.0"),
        counted(f"{name}_sum"),
    )
    world.slowness_s = {(1, 0): 4.4}
    await beats(world, 7.5)
    assert counted(f"{name}_count") - measured == 7
    assert counted(f"{name}_bucket", le="1.0") - in_time == 1 + 2
    assert counted(f"{name}_sum") - all_s == pytest.approx(1 + 2 + 3 + 4 + 4.4 + 0.001 * 2, abs=0.0001)


async def test_a_tick_that_failed_is_late_until_the_next_is_acknowledged(world: World) -> None:
    all_s = counted("tidegate_tick_lateness_seconds_sum")
    world.slowness_s = {(1, 0): 1.5}
    world.refuses = lambda partition: KafkaTimeoutError() if partition == 1 and world.now_s < 2 else None
    await beats(world, 3.5)
    assert world.ticks[1] == [0, 2, 3]
    assert counted("tidegate_tick_lateness_seconds_sum") - all_s == pytest.approx(1 + 2 + 2.001)


async def test_when_no_partition_takes_ticks_the_failure_is_counted_and_raised(world: World) -> None:
    world.refuses = lambda _: KafkaTimeoutError() if world.now_s >= 3 else None
    world.slowness_s = {(0, 3): 2.5, (1, 3): 2.6}
    before = counted("tidegate_ticks_failed_total")
    ticking = begin(world, 1_000)
    await world.go_on(9.5, ticking)
    with pytest.raises(KafkaTimeoutError):
        await ticking
    assert world.now_s == pytest.approx(5.5)
    assert world.under_way == {0: 0, 1: 0}
    assert counted("tidegate_ticks_failed_total") == before + 1


async def test_another_failure_of_an_append_ends_the_ticker_at_once(world: World) -> None:
    async def append(partition: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        await world.append(partition, value, headers)
        if partition == 1:
            raise OSError("no route")

    ticking = asyncio.create_task(Ticker(append, PARTITIONS, 1_000, world.now_ms, world.monotonic).run())
    await world.go_on(9.5, ticking)
    with pytest.raises(OSError, match="no route"):
        await ticking
    assert world.now_s < 1


async def test_a_ticker_that_is_cancelled_waits_for_no_partition(world: World) -> None:
    world.slowness_s = {(1, 0): 60}
    ticking = begin(world, 1_000)
    await world.go_on(2.5, ticking)
    assert world.under_way == {0: 0, 1: 1}
    await end(ticking)
    assert world.now_s < 3
    assert world.under_way == {0: 0, 1: 0}
