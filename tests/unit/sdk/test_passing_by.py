"""A consumer of membership changes meets what is none: said and counted, never an end. The broker is played by hand."""

from __future__ import annotations

import logging
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from tests.unit.sdk.test_grouping import NO_CHANGES, change
from tidegate import Memberships, memberships
from tidegate.grouping import PartitionReader

PLACE = TopicPartition("memberships", 3)


class Client:
    """One partition, whose records come at once; it keeps what is committed."""

    def __init__(self, values: tuple[tuple[bytes, bytes | None], ...]) -> None:
        self.records = [SimpleNamespace(offset=at, key=key, value=value) for at, (key, value) in enumerate(values)]
        self.committed: dict[TopicPartition, int] = {}

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        records, self.records = self.records, []
        return {PLACE: records} if records else {}

    async def commit(self, handled: dict[TopicPartition, int]) -> None:
        self.committed.update(handled)


async def test_records_that_are_no_change_are_logged_and_counted_and_the_consumer_goes_on_behind_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client((*((b"canary", value) for value in NO_CHANGES), change("a", "u", 1, 0), change("a", "v", 2, 1)))
    monkeypatch.setattr(memberships, "AIOKafkaConsumer", lambda **_: client)
    changes = Memberships("nowhere:9092", group="g", start="earliest")
    changes._readers[PLACE.partition] = PartitionReader(PLACE.partition, 0, None)
    assert changes.passed_by == 0
    with caplog.at_level(logging.WARNING, logger="tidegate"):
        async with aclosing(changes.__aiter__()) as given:
            assert [(await anext(given)).contact_id, (await anext(given)).contact_id] == ["u", "v"]
    assert changes.passed_by == len(NO_CHANGES)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(NO_CHANGES)
    assert all(f"topic memberships, partition 3, offset {at}" in line for at, line in enumerate(told))
    assert "canary" not in caplog.text, "what a record holds may be a secret"
    await changes._commit()
    assert client.committed == {PLACE: len(NO_CHANGES) + 1}, "the position is not behind what was handled"
