"""When a consumer has caught up: not before what has arrived is handed over. The broker's client is played by hand."""

from __future__ import annotations

from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from tests.unit.sdk.test_grouping import change
from tidegate import Memberships, memberships
from tidegate.grouping import PartitionReader


class Client:
    """One partition with one record, which another task of the consumer polls while this one asks for the end."""

    def __init__(self, **_: Any) -> None:
        self.changes: Memberships | None = None
        self.read = 0

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.changes is not None and self.read == 0:
            await self.changes._poll()
        return dict.fromkeys(places, 1)

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        self.read = 1
        key, value = change("a", "u", 1, 0)
        return {TopicPartition("memberships", 0): [SimpleNamespace(offset=0, key=key, value=value)]}

    async def position(self, place: TopicPartition) -> int:
        return self.read


async def test_what_arrives_while_the_end_is_asked_for_is_not_caught_up_with(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    monkeypatch.setattr(memberships, "AIOKafkaConsumer", lambda **_: client)
    changes = Memberships("nowhere:9092", group="g", start="earliest")
    changes._readers[0] = PartitionReader(0, 0, None)
    client.changes = changes
    assert not await changes.caught_up()
    assert client.read == 1, "the position was at the end already"
    async with aclosing(changes.__aiter__()) as given:
        assert (await anext(given)).contact_id == "u"
    assert await changes.caught_up()
