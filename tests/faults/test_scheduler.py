"""F13: two schedulers lead for a minute, then a leader is killed and the one that stands by takes over."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path

import pytest

from schemas.topics import Topic
from tests.faults.process import Evaluator, Scheduler
from tests.faults.table import show
from tests.faults.workspace import Workspace
from tests.oracle.workspace import Record, judge_workspace, read_topic
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.faults, pytest.mark.timeout(300)]
TWO_LEAD_S = 60.0
TAKEN_OVER_WITHIN_S = 15.0
TICK_MS = "500"


async def leading(*schedulers: Scheduler) -> list[Scheduler]:
    """Those that say that they lead."""
    told = [await scheduler.told("/ready") for scheduler in schedulers]
    return [scheduler for scheduler, text in zip(schedulers, told, strict=True) if text and '"leading' in text]


def ticks(records: list[Record], partition: int) -> list[int]:
    """When the broker took the schedulers' ticks of a partition; the load has ticks of its own."""
    found = (each for each in records if each.partition == partition and each.headers.get("ce_type") == b"tick")
    return [each.timestamp for each in found if json.loads(each.value or b"")["interval_ms"] == int(TICK_MS)]


async def test_two_leaders_for_a_minute_are_harmless_and_a_killed_one_is_replaced_in_time(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=13, broker_stamps=True)
    await workspace.create()
    with (
        Evaluator(workspace, tmp_path / "evaluator", static_member="one") as evaluator,
        Scheduler(workspace, tmp_path / "one", tick_interval_ms=TICK_MS) as one,
        Scheduler(workspace, tmp_path / "two", tick_interval_ms=TICK_MS) as two,
        # Of a group of its own, so it leads whoever else does: as one that was cut off and does not know it.
        Scheduler(workspace, tmp_path / "other", tick_interval_ms=TICK_MS, scheduler_group="other") as other,
    ):
        evaluator.start()
        await evaluator.ready()
        for scheduler in (one, two, other):
            scheduler.start()
            await scheduler.ready()
        async with workspace.under_load(rate_per_s=30, poison=False):
            await until(
                lambda: leading(one, two, other), 30, "two leaders", satisfies=lambda leaders: len(leaders) == 2
            )
            await asyncio.sleep(TWO_LEAD_S)
            assert len(await leading(one, two, other)) == 2
            await other.kill()
            (leader,) = await leading(one, two)
            await leader.kill()
            await asyncio.sleep(TAKEN_OVER_WITHIN_S + 3)
        survivor = two if leader is one else one
        assert await leading(survivor) == [survivor]
        assert await survivor.stop() == 0
        await workspace.settled()
        assert await evaluator.stop() == 0
    log = await asyncio.to_thread(read_topic, broker, workspace.name(Topic.CONTACT_CHANGES), workspace.partitions)
    by_partition = [ticks(log, partition) for partition in range(workspace.partitions)]
    longest_ms = max(later - earlier for each in by_partition for earlier, later in pairwise(each))
    assert longest_ms < TAKEN_OVER_WITHIN_S * 1_000
    judged = await asyncio.to_thread(judge_workspace, broker, topic_prefix, workspace.partitions)
    assert judged.expected_changes > 0
    assert not judged.violations
    show(
        "F13",
        f"two leaders for {TWO_LEAD_S:.0f} s, the leader killed: {sum(map(len, by_partition))} ticks, no partition "
        f"without one for longer than {longest_ms / 1_000:.1f} s, {judged.expected_changes} changes exact",
    )
