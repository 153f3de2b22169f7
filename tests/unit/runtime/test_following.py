"""A reading that fails half-way: what was not taken is given again, in order, and nothing is passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.runtime import following as module
from services.runtime.errors import ServiceError
from services.runtime.following import Following
from services.runtime.settings import RuntimeSettings
from tests.beside import beside

PLACE = TopicPartition("requests", 0)
RECORDS = 6
WAIT_S = 10.0


class Consumer:
    """Gives two records at a time, and is ahead of whoever failed to take them. Fails once itself."""

    def __init__(self) -> None:
        self.at = 0
        self.failures = 1

    async def getmany(self, **_options: Any) -> dict[TopicPartition, list[int]]:
        await asyncio.sleep(0)
        if self.at == 4 and self.failures:
            self.failures -= 1
            self.at = 5
            raise KafkaError("the broker went away")
        given = list(range(self.at, min(self.at + 2, RECORDS)))
        self.at += len(given)
        return {PLACE: given} if given else {}

    async def position(self, _place: TopicPartition) -> int:
        return self.at

    def seek(self, _place: TopicPartition, offset: int) -> None:
        self.at = offset


async def test_what_could_not_be_taken_is_given_again_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_WAIT_S", 0)
    taken: list[int] = []
    refusals = [2, 2]

    def take(_place: TopicPartition, records: Sequence[int], _next: int) -> None:
        if refusals and records[0] == refusals[0]:
            refusals.pop()
            raise ServiceError("the disk is full")
        taken.extend(records)

    following = Following(RuntimeSettings(), {PLACE: 0}, take)
    async with asyncio.timeout(WAIT_S), beside(following._read_on(Consumer())):
        await following.passed(PLACE, RECORDS - 1)
    assert taken == list(range(RECORDS))
