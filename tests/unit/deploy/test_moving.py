"""A workspace is not moved to where no service would start, and a move that fails leaves topics as they were."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from deploy.workspace import moving
from deploy.workspace.broker import Broker, Shape
from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.moving import SIZE_SETTING, Move, MoveOptions
from schemas.topics import SPECS, Topic
from services.runtime.errors import ServiceError, StartRefusedError
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


class Sized(EightPartitions):
    """A broker that keeps the largest record of each topic, and gives no group's offsets."""

    def __init__(self, sizes: Mapping[str, str]) -> None:
        self.sizes: dict[str, str | None] = dict(sizes)

    async def shapes(self, names: Collection[str]) -> dict[str, Shape]:
        counts = {f"v2-{each}": SPECS[each].partition_count(4) for each in Topic}
        return {each: Shape(counts.get(each, 8), 1) for each in names if each != "v2-contact-changes"}

    async def own_settings(self, name: str) -> dict[str, str]:
        size = self.sizes.get(name)
        return {} if size is None else {SIZE_SETTING: size}

    async def change_settings(self, name: str, changes: Mapping[str, str | None]) -> None:
        if SIZE_SETTING in changes:
            self.sizes[name] = changes[SIZE_SETTING]

    async def group_offsets(self, group: str, topic: str) -> dict[int, int]:
        assert self.sizes["segments"] == "1", "it is sealed"
        raise ServiceError("the coordinator is away")


class NothingToCopy:
    """Copies nothing."""

    def __init__(self, _broker: Broker, source: object, target: object) -> None:
        self.source = source
        self.target = target

    async def start(self) -> None:
        """It needs no connection."""

    async def copy_all(self) -> int:
        return 0

    async def close(self) -> None:
        """It has no connection."""


async def test_a_move_that_fails_puts_back_what_an_operator_had_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """`requests` is sealed by a run that was killed, and `contact-changes` is not yet by this one."""
    monkeypatch.setattr(moving, "Copier", NothingToCopy)
    broker = Sized({"segments": "3000000", "contact-changes": "5000000", "requests": "1"})
    with pytest.raises(ServiceError, match="coordinator is away"):
        await Move(broker, RuntimeSettings(), MoveOptions("v2-", 4), lambda _: None).run()
    usual = SPECS[Topic.REQUESTS].config.get(SIZE_SETTING)
    had = {"segments": "3000000", "contact-changes": "5000000", "requests": usual}
    assert {name: broker.sizes[name] for name in had} == had
