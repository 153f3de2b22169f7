"""F10, F12, F17 to F20: what arrives is repeated, poisoned, out of time, too large, erased, defined and redefined."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from schemas.topics import Topic
from tests.faults.process import Evaluator
from tests.faults.workspace import Workspace
from tests.oracle.reference import DefinitionInput, DeleteInput, PoisonInput

pytestmark = pytest.mark.broker


async def test_definitions_erasures_poison_and_clock_jumps_under_load_are_exact(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=17)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one", static_member="one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        await workspace.load(2_000, rate_per_s=1_000)
        await workspace.settled()
        assert await evaluator.stop() == 0
    sent = [proposed for log in workspace.sent.values() for _, proposed in log.values()]
    for kind in (DefinitionInput, DeleteInput, PoisonInput):
        assert sum(isinstance(proposed, kind) for proposed in sent) > 10
    assert not await workspace.violations()


async def test_records_of_the_largest_size_are_refused_or_taken_and_never_stop_a_partition(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=18, partitions=1)
    await workspace.create()
    large = 1_000_000
    deep = b"[" * 50_000
    poison = {
        "too_large": b'{"attributes":{"a":"' + b"x" * large + b'"}}',
        "deep": b'{"attributes":{"a":' + deep + b"]" * len(deep) + b"}}",
        "many": b'{"attributes":{' + b",".join(b'"a%d":1' % number for number in range(10_000)) + b"}}",
    }
    producer = AIOKafkaProducer(bootstrap_servers=broker, max_request_size=2 << 20)
    await producer.start()
    try:
        with Evaluator(workspace, tmp_path / "one", static_member="one") as evaluator:
            evaluator.start()
            await evaluator.ready()
            for name, value in poison.items():
                await producer.send_and_wait(
                    workspace.name(Topic.CONTACT_CHANGES), key=name.encode(), value=value, partition=0
                )
            await producer.send_and_wait(
                workspace.name(Topic.CONTACT_CHANGES), key=b"good", value=b'{"attributes":{"a":1}}', partition=0
            )
            workspace.sent[0] = {len(poison): (0, PoisonInput())}
            await workspace.settled()
            assert await evaluator.stop() == 0
    finally:
        await producer.stop()
    letters = await workspace.read(Topic.DEAD_LETTERS)
    assert {letter.key.decode(): letter.value for letter in letters} == poison
    rows = await workspace.read(Topic.CONTACTS_CHANGELOG)
    assert [row.key for row in rows] == [b"good"]
