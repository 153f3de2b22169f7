"""A workspace is not moved to where no service would start, and a move that fails leaves topics as they were."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest
from aiokafka.errors import UnknownMemberIdError

from deploy.workspace import moving
from deploy.workspace.broker import Broker, Shape
from deploy.workspace.copying import Workspace
from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.moving import SEALED_BYTES, SIZE_SETTING, Move, MoveOptions
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
    """A broker that keeps the largest record of each topic and what is noted, and gives no group's offsets."""

    def __init__(self, sizes: Mapping[str, str]) -> None:
        self.sizes: dict[str, str | None] = dict(sizes)
        self.notes: dict[tuple[str, str], str] = {}

    async def shapes(self, names: Collection[str]) -> dict[str, Shape]:
        counts = {f"v2-{each}": SPECS[each].partition_count(4) for each in Topic}
        return {each: Shape(counts.get(each, 8), 1) for each in names if each != "v2-contact-changes"}

    async def own_settings(self, name: str) -> dict[str, str]:
        size = self.sizes.get(name)
        return {} if size is None else {SIZE_SETTING: size}

    async def change_settings(self, name: str, changes: Mapping[str, str | None]) -> None:
        if SIZE_SETTING in changes:
            self.sizes[name] = changes[SIZE_SETTING]

    async def note(self, group: str, topic: str) -> str:
        return self.notes.get((group, topic), "")

    async def write_note(self, group: str, topic: str, text: str) -> None:
        self.notes[group, topic] = text

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


HAD = {"segments": "3000000", "contact-changes": "5000000", "requests": "7000000"}
"""What an operator has set; `attributes` and `webhooks` have what they were created with."""


async def failed(broker: Broker) -> None:
    with pytest.raises(ServiceError, match="coordinator is away"):
        await Move(broker, RuntimeSettings(), MoveOptions("v2-", 4), lambda _: None).run()


@pytest.fixture(autouse=True)
def nothing_to_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "Copier", NothingToCopy)


async def test_a_move_that_fails_puts_back_what_an_operator_had_set() -> None:
    """`requests` is sealed by a run of long ago, whose note is gone, and `contact-changes` is not yet by this one."""
    broker = Sized({**HAD, "requests": "1"})
    await failed(broker)
    usual = SPECS[Topic.REQUESTS].config.get(SIZE_SETTING)
    assert {name: broker.sizes[name] for name in HAD} == {**HAD, "requests": usual}


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_after_a_kill_topics_get_what_an_operator_had_set(
    monkeypatch: pytest.MonkeyPatch, is_cancelled: bool
) -> None:
    broker = Sized(HAD)

    async def killed(move: Move, *_: object) -> None:
        raise ServiceError("the coordinator is away")

    with monkeypatch.context() as first:
        first.setattr(Move, "_reopen", killed)
        await failed(broker)
    assert broker.sizes["segments"] == "1", "what is killed leaves it sealed"
    if is_cancelled:
        await Move(broker, RuntimeSettings(), MoveOptions("v2-", 4), lambda _: None).cancel()
    else:
        await failed(broker)
    assert {name: broker.sizes[name] for name in HAD} == HAD


async def test_the_new_topics_take_what_the_old_ones_took_unsealed() -> None:
    broker = Sized({**HAD, "requests": "1"})
    broker.notes["before-repartition", "contact-changes"] = '{"requests":"7000000"}'
    move = Move(broker, RuntimeSettings(), MoveOptions("v2-", 4), lambda _: None)
    source, target = Workspace("", 8), Workspace("v2-", 4)
    await move._keep_sizes(source)
    await move._seal(source, *SEALED_BYTES)
    created = {topic: (await move._as_in(source, target, topic))[1].get(SIZE_SETTING) for topic in SEALED_BYTES}
    assert {topic.value: size for topic, size in created.items() if topic in HAD} == HAD
    assert all(created[topic] == SPECS[topic].config.get(SIZE_SETTING) for topic in created if topic not in HAD)


async def test_a_group_that_cannot_be_moved_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Sized):
        async def ends(self, topic: str, partitions: int) -> dict[int, int]:
            return dict.fromkeys(range(partitions), 0)

        async def commit_offsets(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
            raise UnknownMemberIdError

    async def readers(_move: Move, _topic: str) -> list[str]:
        return ["trial-emails"]

    monkeypatch.setattr(Move, "_readers", readers)
    move = Move(Refusing(HAD), RuntimeSettings(), MoveOptions("v2-", 4), lambda _: None)
    with pytest.raises(OperationRefusedError) as refusal:
        await move._move_groups(Workspace("", 8), Workspace("v2-", 4))
    assert str(refusal.value) == (
        "group trial-emails cannot be put behind the copies ([Error 25] UnknownMemberIdError): stop its consumers, and "
        "repeat the move"
    )
