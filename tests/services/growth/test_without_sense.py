"""Records without sense in our own topics, which every service passes by, hold up no operator's command either.

The topics are compacted, so one stays for as long as nobody writes its key again.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from schemas.topics import Topic
from schemas.webhook import failure_key
from tests.faults.process import Evaluator
from tests.faults.workspace import Workspace
from tests.waiting import until
from tidegate.cli.connection import EXIT_REFUSED
from tidegate.cli.main import app

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

LETTER_WITHIN_S = 30.0
NONSENSE = b'{"written": "by somebody else'
PLACES = (
    (Topic.EVALUATOR_STATUS, b"partition|0|old"),
    (Topic.WEBHOOKS, failure_key("wh_1", "f_1")),
    (Topic.MEMBERSHIPS, b"pros|u_1"),
)


async def test_a_backup_a_clearing_and_a_move_pass_by_what_has_no_sense(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, partitions=2)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "data") as evaluator:
        evaluator.start()
        await evaluator.ready()
        await workspace.load(50, rate_per_s=1_000)
        await workspace.settled()
        letters = len(await workspace.read(Topic.DEAD_LETTERS))
        await write_nonsense(workspace)
        await until(partial(has_letters, workspace, letters + 1), LETTER_WITHIN_S, "the dead letter")
        for words in (
            ("backup", str(tmp_path / "backup")),
            ("clear-erased",),
            ("repartition", "--to", "3", "--to-prefix", f"{topic_prefix}moved-"),
        ):
            arguments = ["admin", *words]
            done = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=named(workspace, tmp_path / "data"))
            assert done.exit_code == 0, (words, done.output, done.exception)
        assert await evaluator.stop() == 0
    moved = Workspace(broker, f"{topic_prefix}moved-", partitions=3)
    assert (None, None) in [(letter.key or None, letter.value) for letter in await moved.read(Topic.DEAD_LETTERS)]


async def test_a_move_names_the_contact_whose_row_has_no_sense_and_goes_on_once_it_is_gone(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, partitions=2)
    await workspace.create()
    words = ["admin", "repartition", "--to", "3", "--to-prefix", f"{topic_prefix}moved-"]
    with Evaluator(workspace, tmp_path / "data") as evaluator:
        evaluator.start()
        await evaluator.ready()
        await workspace.load(50, rate_per_s=1_000)
        await workspace.settled()
        await write_row(workspace, NONSENSE)
        refused = await asyncio.to_thread(CliRunner().invoke, app, words, env=named(workspace, tmp_path / "data"))
        await write_row(workspace, None)
        done = await asyncio.to_thread(CliRunner().invoke, app, words, env=named(workspace, tmp_path / "data"))
        assert await evaluator.stop() == 0
    assert refused.exit_code == EXIT_REFUSED, refused.exception
    told = " ".join(refused.output.split())
    assert f"partition 1 of {workspace.name(Topic.CONTACTS_CHANGELOG)} holds a record without sense" in told
    assert "for contact 'nobody'" in told
    assert "the workspace takes writes again" in told
    assert done.exit_code == 0, done.output
    moved = Workspace(broker, f"{topic_prefix}moved-", partitions=3)
    assert NONSENSE not in [row.value for row in await moved.read(Topic.CONTACTS_CHANGELOG)]


async def write_row(workspace: Workspace, value: bytes | None) -> None:
    """Write to the changelog of a contact that is not there."""
    producer = AIOKafkaProducer(bootstrap_servers=workspace.broker, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(workspace.name(Topic.CONTACTS_CHANGELOG), value, b"nobody", partition=1)
    finally:
        await producer.stop()


async def has_letters(workspace: Workspace, count: int) -> bool:
    return len(await workspace.read(Topic.DEAD_LETTERS)) == count


async def write_nonsense(workspace: Workspace) -> None:
    """Write to our own topics, and an input without key and value, whose dead letter has neither too."""
    producer = AIOKafkaProducer(bootstrap_servers=workspace.broker, acks="all")
    await producer.start()
    try:
        bare = producer.create_batch()
        bare.append(key=None, value=None, timestamp=None)
        bare.close()
        await (await producer.send_batch(bare, workspace.name(Topic.CONTACT_CHANGES), partition=0))
        for topic, key in PLACES:
            await producer.send_and_wait(workspace.name(topic), NONSENSE, key, partition=0)
    finally:
        await producer.stop()


def named(workspace: Workspace, data: Path) -> dict[str, str]:
    """What an operator's command is told of the workspace."""
    return {
        "TIDEGATE_KAFKA_BOOTSTRAP": workspace.broker,
        "TIDEGATE_TOPIC_PREFIX": workspace.prefix,
        "TIDEGATE_REPLAY_HISTORY": "true",
        "TIDEGATE_DATA_DIR": str(data),
    }
