"""Which proposed definitions reach the partitions, and when the position may move."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaTimeoutError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
)
from structlog.testing import capture_logs

from schemas.codec import SegmentDefined, decode_input
from schemas.segment_definition import SegmentDefinitionRecord
from segmentation.model import SegmentId
from services.scheduler import fanout
from services.scheduler.fanout import FanOut, Proposal

PARTITIONS = 3
WITHIN_S = 30.0


class Partitions:
    """Remembers what was appended; of each partition, raises first what it is told to."""

    def __init__(self, failures: Mapping[int, list[Exception]] | None = None) -> None:
        self.appended: list[tuple[int, str, int]] = []
        self.failures = failures or {}

    async def __call__(self, partition: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        # Those that take it answer before those that do not.
        await asyncio.sleep(0)
        if self.failures.get(partition):
            await asyncio.sleep(0)
            raise self.failures[partition].pop(0)
        decoded = decode_input(None, value, headers)
        assert isinstance(decoded, SegmentDefined)
        self.appended.append((partition, decoded.definition.segment_id, decoded.definition.version))


def fan_out_to(partitions: Partitions, forward_from: int = 0) -> FanOut:
    return FanOut(partitions, PARTITIONS, forward_from, lambda: len(partitions.appended))


def proposal(offset: int, segment_id: str = "pros", version: int = 1, **fields: Any) -> Proposal:
    record = SegmentDefinitionRecord(
        segment_id=SegmentId(segment_id),
        version=version,
        replaces=fields.pop("replaces", version - 1),
        name="Pros",
        where=fields.pop("where", {"plan": {"is": "pro"}}),
        text="",
    )
    return Proposal(offset, record.encode())


def _with_number(given: str, put: str) -> bytes:
    """A definition that another wrote, whose number fits JSON and not the JSON that we write."""
    value = proposal(0, where={"mrr": {"gt": 1}}).value
    assert value is not None
    assert given.encode() in value
    return value.replace(given.encode(), put.encode())


def to_all(segment_id: str, version: int) -> list[tuple[int, str, int]]:
    return [(partition, segment_id, version) for partition in range(PARTITIONS)]


async def test_an_accepted_version_reaches_every_partition() -> None:
    partitions = Partitions()
    fan_out = fan_out_to(partitions)
    assert await fan_out.take(proposal(0))
    assert sorted(partitions.appended) == to_all("pros", 1)


async def test_of_two_racing_versions_only_the_first_in_the_log_is_forwarded() -> None:
    partitions = Partitions()
    fan_out = fan_out_to(partitions)
    for offset, item in enumerate([proposal(0), proposal(1, version=2), proposal(2, version=2)]):
        assert await fan_out.take(Proposal(offset, item.value))
    assert sorted(partitions.appended) == sorted(to_all("pros", 1) + to_all("pros", 2))


async def test_what_was_forwarded_before_is_only_remembered_for_acceptance() -> None:
    partitions = Partitions()
    fan_out = fan_out_to(partitions, 1)
    assert not await fan_out.take(proposal(0))
    assert partitions.appended == []
    assert await fan_out.take(proposal(1, version=2))
    assert sorted(partitions.appended) == to_all("pros", 2)


@pytest.mark.parametrize(
    "item",
    [
        Proposal(0, None),
        Proposal(0, b"{"),
        Proposal(0, b"{}"),
        proposal(0, where={"mrr": {"gt": "lots"}}),
        proposal(0, where={"segment": "nowhere"}),
        proposal(0, version=3),
        Proposal(0, _with_number('"mrr":{"gt":1}', '"mrr":{"gt":99999999999999999999999}')),
        Proposal(0, _with_number('"defined_at":null', '"defined_at":99999999999999999999999')),
    ],
)
async def test_what_cannot_be_accepted_moves_the_position_and_nothing_else(item: Proposal) -> None:
    partitions = Partitions()
    assert await fan_out_to(partitions).take(item)
    assert partitions.appended == []


EVERYWHERE_AWAY: dict[int, list[Exception]] = {
    partition: [KafkaTimeoutError(), KafkaTimeoutError()] for partition in range(PARTITIONS)
}


@pytest.mark.parametrize(
    "failures",
    [
        EVERYWHERE_AWAY,
        {1: [ConnectionError("away")]},
        {1: [MessageSizeTooLargeError()]},
        {2: [NotLeaderForPartitionError(), MessageSizeTooLargeError()]},
    ],
)
async def test_what_waiting_does_not_mend_is_raised_so_that_the_position_stays(
    monkeypatch: pytest.MonkeyPatch, failures: dict[int, list[Exception]]
) -> None:
    monkeypatch.setattr(fanout, "RETRY_AFTER_S", 0)
    partitions = Partitions({partition: list(raised) for partition, raised in failures.items()})
    with pytest.raises((ConnectionError, KafkaTimeoutError, MessageSizeTooLargeError)):
        await asyncio.wait_for(fan_out_to(partitions).take(proposal(0)), WITHIN_S)


async def test_a_definition_waits_for_a_partition_without_a_leader_while_others_take_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fanout, "RETRY_AFTER_S", 0)
    partitions = Partitions({1: [KafkaTimeoutError(), NotLeaderForPartitionError(), LeaderNotAvailableError()]})
    fan_out = FanOut(partitions, PARTITIONS, 0, itertools.count().__next__)
    with capture_logs() as lines:
        assert await asyncio.wait_for(fan_out.take(proposal(0)), WITHIN_S)
    assert partitions.appended == [(0, "pros", 1), (2, "pros", 1), (1, "pros", 1)]
    assert [line["event"] for line in lines] == [
        "a definition waits for a partition",
        "the definition has reached the partition",
        "definition appended",
    ]


async def test_a_partition_that_fails_while_no_other_takes_anything_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others have taken the definition itself since the first time, nothing since the second."""
    monkeypatch.setattr(fanout, "RETRY_AFTER_S", 0)
    partitions = Partitions({1: [KafkaTimeoutError() for _ in range(9)]})
    with pytest.raises(KafkaTimeoutError):
        await asyncio.wait_for(fan_out_to(partitions).take(proposal(0)), WITHIN_S)
    assert len(partitions.failures[1]) == 9 - 2
