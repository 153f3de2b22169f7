"""Which proposed definitions reach the partitions, and when the position may move."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from schemas.codec import SegmentDefined, decode_input
from schemas.segment_definition import SegmentDefinitionRecord
from segmentation.model import SegmentId
from services.scheduler.fanout import FanOut, Proposal

PARTITIONS = 3


class Partitions:
    """Remembers what was appended; fails when told to."""

    def __init__(self) -> None:
        self.appended: list[tuple[int, str, int]] = []
        self.failing = False

    async def __call__(self, partition: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        await asyncio.sleep(0)
        if self.failing:
            raise ConnectionError("away")
        decoded = decode_input(None, value, headers)
        assert isinstance(decoded, SegmentDefined)
        self.appended.append((partition, decoded.definition.segment_id, decoded.definition.version))


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
    fan_out = FanOut(partitions, PARTITIONS, forward_from=0)
    assert await fan_out.take(proposal(0))
    assert sorted(partitions.appended) == to_all("pros", 1)


async def test_of_two_racing_versions_only_the_first_in_the_log_is_forwarded() -> None:
    partitions = Partitions()
    fan_out = FanOut(partitions, PARTITIONS, forward_from=0)
    for offset, item in enumerate([proposal(0), proposal(1, version=2), proposal(2, version=2)]):
        assert await fan_out.take(Proposal(offset, item.value))
    assert sorted(partitions.appended) == sorted(to_all("pros", 1) + to_all("pros", 2))


async def test_what_was_forwarded_before_is_only_remembered_for_acceptance() -> None:
    partitions = Partitions()
    fan_out = FanOut(partitions, PARTITIONS, forward_from=1)
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
    assert await FanOut(partitions, PARTITIONS, forward_from=0).take(item)
    assert partitions.appended == []


async def test_a_failed_append_is_raised_so_that_the_position_stays() -> None:
    partitions = Partitions()
    partitions.failing = True
    with pytest.raises(ConnectionError):
        await FanOut(partitions, PARTITIONS, forward_from=0).take(proposal(0))
