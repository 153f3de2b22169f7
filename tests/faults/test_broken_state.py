"""F14 to F16, F21: the disk is full; the local state, the changelogs or the topics are not what they were."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import Topic
from services.runtime.topics import ensure_topics
from tests.faults.process import EXIT_REFUSED, Evaluator
from tests.faults.workspace import Workspace

pytestmark = [pytest.mark.broker, pytest.mark.faults]


def lose_manifest(store: Path) -> None:
    next(store.glob("MANIFEST-*")).unlink()


def lose_everything(store: Path) -> None:
    shutil.rmtree(store)


def lose_current(store: Path) -> None:
    (store / "CURRENT").write_bytes(b"garbage")


@pytest.mark.parametrize("damage", [lose_manifest, lose_everything, lose_current])
async def test_broken_local_state_is_rebuilt_from_the_changelogs(
    broker: str, topic_prefix: str, tmp_path: Path, damage: object
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=15)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one", static_member="one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        await workspace.load(600, rate_per_s=1_000)
        await workspace.settled()
        assert await evaluator.stop() == 0
        assert callable(damage)
        for partition in range(workspace.partitions):
            damage(tmp_path / "one" / "evaluator" / str(partition))
        evaluator.start()
        await evaluator.ready()
        await workspace.load(600, rate_per_s=1_000)
        await workspace.settled()
        assert await evaluator.stop() == 0
    aside = list((tmp_path / "one" / "evaluator").glob("*.broken-1"))
    assert len(aside) == (0 if damage is lose_everything else workspace.partitions)
    assert not await workspace.violations()


@pytest.mark.parametrize("wiped", [False, True], ids=["state kept", "state wiped"])
async def test_a_deleted_changelog_refuses_the_start_and_says_how_to_repair(
    broker: str, topic_prefix: str, tmp_path: Path, wiped: bool
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=16)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one", static_member="one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        await workspace.load(300, rate_per_s=1_000)
        await workspace.settled()
        assert await evaluator.stop() == 0
        admin = AIOKafkaAdminClient(bootstrap_servers=broker)
        await admin.start()
        try:
            await admin.delete_topics(
                [workspace.name(topic) for topic in (Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG)]
            )
        finally:
            await admin.close()
        await ensure_topics(workspace.settings)
        if wiped:
            shutil.rmtree(tmp_path / "one" / "evaluator")
        evaluator.start()
        assert await evaluator.ended() == EXIT_REFUSED
        assert "changelog" in evaluator.log
        assert "delete the local state, both changelogs" in evaluator.log


async def test_a_full_disk_ends_the_process_with_a_clear_error_and_work_goes_on_once_there_is_room(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=14)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one", static_member="one") as evaluator:
        evaluator.file_bytes_max = 100_000
        evaluator.start()
        await evaluator.ready()
        await workspace.load(1_500, rate_per_s=1_000)
        assert await evaluator.ended(60) == 1
        assert f"the local state in {tmp_path / 'one' / 'evaluator'}" in evaluator.log
        evaluator.file_bytes_max = None
        evaluator.start()
        await evaluator.ready()
        await workspace.settled()
        assert await evaluator.stop() == 0
    assert not await workspace.violations()


async def test_another_partition_count_refuses_the_start(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    workspace = Workspace(broker, topic_prefix, partitions=2)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one", partitions="3") as evaluator:
        evaluator.start()
        assert await evaluator.ended() == EXIT_REFUSED
        assert "has 2 partitions, expected 3" in evaluator.log
