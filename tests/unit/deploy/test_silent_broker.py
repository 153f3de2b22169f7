"""A broker that gives nothing more ends a command instead of holding it for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from deploy.workspace import broker, copying
from deploy.workspace.broker import Broker
from deploy.workspace.copying import Copier, Workspace
from schemas.topics import Topic
from services.runtime.errors import ServiceError

HELD_FOR_EVER_S = 20.0


class Consumer:
    """Gives the first `given` of three records, then nothing, as the client does while it connects again."""

    def __init__(self, given: int) -> None:
        self.given = given
        self.stands = 0

    async def beginning_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)

    async def end_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 3)

    def assign(self, places: Sequence[TopicPartition]) -> None:
        """It has one partition."""

    def seek(self, place: TopicPartition, offset: int) -> None:
        """It begins at the first record."""

    def pause(self, place: TopicPartition) -> None:
        """It gives nothing more anyway."""

    async def getmany(self, *places: TopicPartition, timeout_ms: int, max_records: int) -> dict[TopicPartition, Any]:
        await asyncio.sleep(0)
        if self.stands >= self.given:
            return {}
        self.stands += 1
        return {places[0]: [SimpleNamespace(offset=self.stands - 1)]}

    async def position(self, place: TopicPartition) -> int:
        return self.stands


class OneTopic(Broker):
    """A broker that gives so many of its three records."""

    def __init__(self, given: int) -> None:
        self.consumer = Consumer(given)

    @asynccontextmanager
    async def reader(self, isolation: str = "read_committed") -> AsyncIterator[Consumer]:
        yield self.consumer


async def offsets(kafka: Broker) -> list[int]:
    return [record.offset async for _, records, _ in kafka.read("segments", {0: 0}) for record in records]


async def test_what_a_silent_broker_holds_back_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "SILENT_S", 0.05)
    with pytest.raises(ServiceError, match=r"gave nothing more for 0 s: .* \(topic segments\)"):
        await asyncio.wait_for(offsets(OneTopic(given=2)), HELD_FOR_EVER_S)


async def test_what_comes_late_is_read_to_the_end() -> None:
    assert await offsets(OneTopic(given=3)) == [0, 1, 2]


class Silent:
    """A producer whose transactions are never answered, and that never ends."""

    async def begin_transaction(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        await asyncio.Event().wait()


class Beginning(OneTopic):
    """A broker that has copied nothing."""

    client = MappingProxyType({"bootstrap_servers": "127.0.0.1:1"})

    async def group_offsets(self, group: str, topic: str) -> dict[int, int]:
        return {}


async def test_a_copy_that_a_silent_broker_does_not_take_ends_the_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "TRANSACTION_S", 0.05)
    monkeypatch.setattr(copying, "CLOSE_S", 0.05)
    monkeypatch.setattr(copying, "AIOKafkaProducer", lambda **_: Silent())
    copier = Copier(Beginning(given=3), Workspace("", 1), Workspace("v2-", 2))
    with pytest.raises(ServiceError, match=r"took no copies for 0 s: .* \(topic v2-segments\)"):
        await asyncio.wait_for(copier.copy(Topic.SEGMENTS), HELD_FOR_EVER_S)
    await asyncio.wait_for(copier.close(), HELD_FOR_EVER_S)
