"""Clearing what was erased is not called done where a store was not reached, and gives back whatever it changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from deploy.workspace import clearing
from deploy.workspace.broker import Broker, Shape
from deploy.workspace.clearing import COMPACTED, DROPPABLE, Cleared, ClearOptions, clear_erased
from deploy.workspace.eager_settings import EAGER
from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.settings import OperatorSettings
from schemas.topics import SPECS, Topic
from services.runtime.errors import ServiceError


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


HAD = {"segment.ms": "3600000", "max.compaction.lag.ms": "90000", "retention.ms": "7"}
"""What an operator has set on each topic."""


class Settings(ThreePartitions):
    """A broker that keeps the settings of topics, each change in its time, and whose ends nobody is ever told."""

    def __init__(self) -> None:
        self.settings: dict[str, dict[str, str]] = {}
        self.notes: dict[tuple[str, str], str] = {}
        self.at_work = asyncio.Event()
        self.is_away = False

    def after_a_kill(self) -> Settings:
        """The same broker as whoever was killed just now leaves it."""
        other = Settings()
        other.settings = {name: dict(each) for name, each in self.settings.items()}
        other.notes = dict(self.notes)
        return other

    async def own_settings(self, name: str) -> dict[str, str]:
        return dict(self.settings.setdefault(name, dict(HAD)))

    async def change_settings(self, name: str, changes: Mapping[str, str | None]) -> None:
        if self.is_away:
            raise KafkaConnectionError
        await asyncio.sleep(0.01)
        kept = {**self.settings[name], **changes}
        self.settings[name] = {setting: value for setting, value in kept.items() if value is not None}

    async def note(self, group: str, topic: str) -> str:
        return self.notes.get((group, topic), "")

    async def write_note(self, group: str, topic: str, text: str) -> None:
        self.notes[group, topic] = text

    async def read(
        self, topic: str, starts: Mapping[int, int], records_max: int = 0
    ) -> AsyncGenerator[tuple[int, Sequence[Any], int]]:
        for partition in starts:
            yield partition, (), 0

    async def ends(self, topic: str, partitions: int) -> dict[int, int]:
        self.at_work.set()
        await asyncio.Event().wait()
        return {}


@pytest.fixture(autouse=True)
def no_evaluator_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stores are compacted, and no delivery was given up."""

    async def owners(_broker: Broker, _prefix: str) -> list[str]:
        return ["http://one"]

    async def compact_stores(_addresses: Sequence[str]) -> list[int]:
        return [0, 1, 2]

    async def forget_erased(*_of: object) -> int:
        return 0

    for each in (owners, compact_stores, forget_erased):
        monkeypatch.setattr(clearing, each.__name__, each)


async def begun(broker: Settings, *dropped: Topic) -> asyncio.Task[Cleared]:
    """A command that has set its own settings and is at work."""
    options = ClearOptions(frozenset(dropped))
    task = asyncio.create_task(clear_erased(broker, OperatorSettings(), options, lambda _: None))
    await broker.at_work.wait()
    cleared = (*COMPACTED, Topic.WEBHOOKS, *dropped)
    assert {broker.settings[name]["segment.ms"] for name in cleared} == {"100"}
    return task


async def ended(task: asyncio.Task[Cleared]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
async def clearing_begun() -> tuple[Settings, asyncio.Task[Cleared]]:
    """A broker, and a command that is at work on it."""
    broker = Settings()
    return broker, await begun(broker)


async def test_who_is_told_to_end_again_and_again_gives_every_topic_its_settings_back(
    clearing_begun: tuple[Settings, asyncio.Task[Cleared]],
) -> None:
    broker, task = clearing_begun
    while not task.done():
        task.cancel()
        await asyncio.sleep(0.001)
    assert task.cancelled()
    assert list(broker.settings.values()) == [HAD] * len(broker.settings)


async def test_a_broker_that_is_away_when_the_settings_are_given_back_is_told_with_what_to_do(
    clearing_begun: tuple[Settings, asyncio.Task[Cleared]],
) -> None:
    broker, task = clearing_begun
    broker.is_away = True
    task.cancel()
    with pytest.raises(ServiceError, match="could not be given their settings back: repeat the command"):
        await task


async def test_after_a_kill_every_topic_gets_what_an_operator_had_set_also_one_that_is_cleared_no_more() -> None:
    first = Settings()
    killed = await begun(first, Topic.CONTACT_CHANGES)
    broker = first.after_a_kill()
    await ended(killed)
    await ended(await begun(broker, Topic.REQUESTS))
    assert broker.settings == dict.fromkeys((*COMPACTED, Topic.WEBHOOKS, *DROPPABLE), HAD)


async def test_topics_whose_note_is_gone_get_what_they_are_created_with() -> None:
    first = Settings()
    killed = await begun(first)
    broker = first.after_a_kill()
    await ended(killed)
    broker.notes.clear()
    await ended(await begun(broker))
    assert {name: broker.settings[name] for name in COMPACTED} == {
        name: {
            "retention.ms": "7",
            **{setting: value for setting, value in SPECS[name].config.items() if setting in EAGER},
        }
        for name in COMPACTED
    }
