"""A workspace is not moved to where no service would start."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from deploy.workspace.broker import Broker, Shape
from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.moving import Move, MoveOptions
from services.runtime.errors import StartRefusedError
from services.runtime.settings import RuntimeSettings, load_settings


class EightPartitions(Broker):
    """A broker that has every topic, of eight partitions."""

    def __init__(self) -> None:
        """It has no connection."""

    async def shapes(self, names: Collection[str]) -> dict[str, Shape]:
        return {name: Shape(8, 1) for name in names}


@pytest.mark.parametrize("prefix", ["a/b", "with space ", "v" * 101, "v2-\n"])
async def test_a_prefix_that_no_service_takes_is_refused_before_anything_is_done(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = Move(EightPartitions(), RuntimeSettings(), MoveOptions(prefix, 4), lambda _: None)
    with pytest.raises(OperationRefusedError, match="no service would start with the prefix"):
        await move.run()
    monkeypatch.setenv("TIDEGATE_TOPIC_PREFIX", prefix)
    with pytest.raises(StartRefusedError):
        load_settings(RuntimeSettings)
