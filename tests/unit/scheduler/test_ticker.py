"""Ticks keep their beat: never two rounds at once, never a drift, never a burst after a pause."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import KafkaTimeoutError

from schemas.codec import Tick, decode_input
from segmentation.model import InstantMs
from services.runtime.metrics import REGISTRY
from services.scheduler.ticker import Ticker

PARTITIONS = 2


class World:
    """A clock moved by hand: sleeping moves it, and so does a slow broker."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slowness_s: dict[int, float] = {}
        self.ticks: list[tuple[float, int]] = []

    def now_ms(self) -> InstantMs:
        return InstantMs(int(self.now_s * 1000))

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= 10:
            raise asyncio.CancelledError

    async def append(self, partition: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        assert isinstance(decode_input(None, value, headers), Tick)
        self.ticks.append((self.now_s, partition))
        if partition == PARTITIONS - 1:
            self.now_s += self.slowness_s.pop(int(self.now_s), 0.001)


async def beats(world: World, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    monkeypatch.setattr(asyncio, "sleep", world.sleep)
    with pytest.raises(asyncio.CancelledError):
        await Ticker(world.append, PARTITIONS, 1_000, world.now_ms, world.monotonic).run()
    assert [partition for _, partition in world.ticks] == [0, 1] * (len(world.ticks) // 2)
    return [at for at, partition in world.ticks if partition == 0]


async def test_ticks_do_not_drift_however_long_a_round_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.slowness_s = {2: 0.4, 5: 0.9}
    assert await beats(world, monkeypatch) == pytest.approx([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])


async def test_missed_ticks_are_skipped_and_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.slowness_s = {2: 3.5}
    assert await beats(world, monkeypatch) == pytest.approx([0, 1, 2, 6, 7, 8, 9])


def rounds_failed() -> float:
    return REGISTRY.get_sample_value("tidegate_tick_rounds_failed_total") or 0.0


async def test_a_round_that_the_broker_does_not_take_is_counted_and_raised() -> None:
    async def refuse(partition: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        raise KafkaTimeoutError

    world = World()
    before = rounds_failed()
    with pytest.raises(KafkaTimeoutError):
        await Ticker(refuse, PARTITIONS, 1_000, world.now_ms, world.monotonic).run()
    assert rounds_failed() == before + 1
