"""Clearing what was erased does not call itself done where a partition's store was not reached."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from deploy.workspace import clearing
from deploy.workspace.broker import Broker, Shape
from deploy.workspace.clearing import ClearOptions, clear_erased
from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.settings import OperatorSettings


class ThreePartitions(Broker):
    """A broker with topics of three partitions and no consumer group."""

    def __init__(self) -> None:
        """It has no connection."""

    async def groups(self) -> list[str]:
        return []

    async def shapes(self, names: Collection[str]) -> dict[str, Shape]:
        return {name: Shape(3, 1) for name in names}


async def test_a_store_that_changes_hands_meanwhile_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def owners(_broker: Broker, _prefix: str) -> list[str]:
        return ["http://one", "http://two"]

    async def compact_stores(_addresses: Sequence[str]) -> list[int]:
        return [0, 2, 2]

    monkeypatch.setattr(clearing, "owners", owners)
    monkeypatch.setattr(clearing, "compact_stores", compact_stores)
    with pytest.raises(OperationRefusedError, match=r"the stores of partitions \[1\] were not compacted"):
        await clear_erased(ThreePartitions(), OperatorSettings(), ClearOptions(), lambda _: None)
