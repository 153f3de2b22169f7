"""The consumer on a real broker: committed changes once, in order; snapshots without a gap; restarts without a loss."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest

from schemas.partitioner import partition_for
from segmentation.model import ContactId
from tests.services.sdk.conftest import Workspace
from tests.services.sdk.stream import PARTITIONS, Step, Stream
from tests.unit.sdk.test_grouping import NO_CHANGES
from tests.waiting import until
from tidegate import MembershipChange, Memberships, UnreachableError
from tidegate.memberships import Start

pytestmark = pytest.mark.broker
WAIT_S = 120.0
Told = tuple[str, str, bool]


def told(change: MembershipChange) -> Told:
    return change.contact_id, change.segment_id, change.member


def consumer(workspace: Workspace, group: str = "g", **options: Any) -> Memberships:
    return Memberships(workspace.bootstrap, group=group, topic_prefix=workspace.prefix, **options)


async def take(changes: Memberships, count: int) -> list[MembershipChange]:
    taken: list[MembershipChange] = []
    async with asyncio.timeout(WAIT_S), aclosing(changes.__aiter__()) as stream:
        async for change in stream:
            taken.append(change)
            if len(taken) == count:
                return taken
    raise AssertionError("the stream never ends by itself")


async def drain(changes: Memberships) -> list[MembershipChange]:
    """Everything committed so far."""
    taken: list[MembershipChange] = []

    task = asyncio.create_task(collect(changes, taken))
    await until(changes.caught_up, WAIT_S, "everything committed to be handed over")
    task.cancel()
    await asyncio.wait([task])
    return taken


async def collect(changes: Memberships, taken: list[MembershipChange]) -> None:
    async for change in changes:
        taken.append(change)  # noqa: PERF401 - each must be in the list as soon as it comes


async def test_committed_changes_come_once_in_order_and_aborted_ones_never(
    workspace: Workspace, stream: Stream
) -> None:
    await stream.commit(Step("u", 1, ("a",)))
    await stream.abort(Step("u", 2, ("a",), enters=False))
    await stream.commit(Step("u", 2, ("a",), enters=False), Step("u", 3, ("a",)))
    async with consumer(workspace, start="earliest") as changes:
        assert [told(change) for change in await drain(changes)] == [
            ("u", "a", True),
            ("u", "a", False),
            ("u", "a", True),
        ]


async def test_a_change_written_twice_is_given_once(workspace: Workspace, stream: Stream) -> None:
    step = Step("u", 1, ("a",))
    await stream.commit(step)
    await stream.commit(step, Step("u", 2, ("a",), enters=False))
    await stream.commit(step)
    async with consumer(workspace, start="earliest") as changes:
        assert [told(change) for change in await drain(changes)] == [("u", "a", True), ("u", "a", False)]


@pytest.mark.parametrize("start", ["earliest", "snapshot"])
async def test_records_that_are_no_change_are_passed_by_and_met_once(
    workspace: Workspace, stream: Stream, start: Start
) -> None:
    await stream.commit(Step("u", 1, ("a",)))
    for value in NO_CHANGES:
        await stream.put("u", "a", value)
    await stream.commit(Step("u", 2, ("b",)))
    async with consumer(workspace, start=start) as changes:
        assert [told(change) for change in await drain(changes)] == [("u", "a", True), ("u", "b", True)]
        assert changes.passed_by == len(NO_CHANGES)
    await stream.commit(Step("u", 3, ("b",), enters=False))
    async with consumer(workspace, start=start) as changes:
        assert [told(change) for change in await drain(changes)] == [("u", "b", False)]
        assert changes.passed_by == 0


async def test_only_the_wanted_segments_come(workspace: Workspace, stream: Stream) -> None:
    await stream.commit(Step("u", 1, ("a", "b")), Step("v", 2, ("b",)))
    async with consumer(workspace, segments=["b"], start="earliest") as changes:
        assert sorted(told(change) for change in await drain(changes)) == [("u", "b", True), ("v", "b", True)]


async def test_a_new_group_meets_current_members_first_and_then_what_changes(
    workspace: Workspace, stream: Stream
) -> None:
    await stream.commit(Step("u", 1, ("a",)), Step("v", 2, ("a",)), Step("w", 3, ("a",)))
    await stream.commit(Step("v", 4, ("a",), enters=False))
    await stream.commit(Step("w", 5, ("a",), enters=False))
    await stream.erase("w", "a")
    async with consumer(workspace) as changes:
        (member,) = await take(changes, 1)
        assert (told(member), member.snapshot) == (("u", "a", True), True)
        await stream.commit(Step("v", 6, ("a",)))
        (live,) = await take(changes, 1)
        assert (told(live), live.snapshot) == (("v", "a", True), False)


async def test_a_snapshot_under_load_has_no_gap_and_no_repeat(workspace: Workspace, stream: Stream) -> None:
    written = [Step(f"u{at % 50}", at, ("a",), enters=(at // 50) % 2 == 0) for at in range(600)]
    await stream.commit(*written[:200])

    async def keep_writing() -> None:
        for start in range(200, 600, 20):
            await stream.commit(*written[start : start + 20])

    view: dict[str, tuple[int, bool]] = {}
    writing = asyncio.create_task(keep_writing())
    async with consumer(workspace) as changes, asyncio.timeout(WAIT_S), aclosing(changes.__aiter__()) as reading:
        async for change in reading:
            last = view.get(change.contact_id)
            assert last is None or last[0] < change.at_ms, "a change was repeated or came out of order"
            assert change.snapshot or last is None or last[1] != change.member, "a change was left out"
            view[change.contact_id] = (change.at_ms, change.member)
            if len(view) == 50 and all(at >= 550 for at in _last_steps(view)):
                break
    await writing
    expected = {step.contact: step.enters for step in written}
    assert {contact: member for contact, (_, member) in view.items()} == expected


def _last_steps(view: dict[str, tuple[int, bool]]) -> Sequence[int]:
    return [at % 1_000_000 for at, _ in view.values()]


async def test_all_changes_of_one_cause_come_as_one_batch(workspace: Workspace, stream: Stream) -> None:
    await stream.commit(Step("u", 1, ("a", "b", "c")), Step("u", 2, ("a",), enters=False))
    async with consumer(workspace, start="earliest") as changes:
        batches: list[list[Told]] = []
        async with asyncio.timeout(WAIT_S), aclosing(changes.batches()) as reading:
            async for batch in reading:
                batches.append([told(change) for change in batch])
                if len(batches) == 2:
                    break
    assert batches == [[("u", "a", True), ("u", "b", True), ("u", "c", True)], [("u", "a", False)]]


async def test_a_restart_goes_on_behind_the_last_handled_change(workspace: Workspace, stream: Stream) -> None:
    steps = [Step("u", at, ("a",), enters=at % 2 == 0) for at in range(6)]
    await stream.commit(*steps)
    async with consumer(workspace, start="earliest") as changes:
        first = await take(changes, 2)
    async with consumer(workspace, start="earliest") as changes:
        second = await take(changes, 4)
    assert [change.at_ms % 10 for change in (*first, *second)] == [0, 1, 2, 3, 4, 5]


async def test_a_change_whose_body_failed_comes_again(workspace: Workspace, stream: Stream) -> None:
    await stream.commit(Step("u", 0, ("a",)), Step("u", 1, ("a",), enters=False))
    seen: list[int] = []

    async def fail_at_the_second() -> None:
        async with consumer(workspace, start="earliest") as changes:
            async for change in changes:
                seen.append(change.at_ms % 10)
                if len(seen) == 2:
                    raise RuntimeError("the workflow is away")

    with pytest.raises(RuntimeError, match="the workflow is away"):
        await fail_at_the_second()
    async with consumer(workspace, start="earliest") as changes:
        seen += [change.at_ms % 10 for change in await take(changes, 1)]
    assert seen == [0, 1, 1]


async def test_a_member_told_before_a_crash_inside_the_snapshot_does_not_leave_unnoticed(
    workspace: Workspace, stream: Stream
) -> None:
    first, second = [f"u{n}" for n in range(100) if partition_for(ContactId(f"u{n}"), PARTITIONS) == 0][:2]
    await stream.commit(Step(first, 1, ("a",)), Step(second, 2, ("a",)))

    async def crash_inside_the_snapshot() -> None:
        async with consumer(workspace) as changes:
            async for change in changes:
                assert told(change) == (first, "a", True)
                raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        await crash_inside_the_snapshot()
    await stream.commit(Step(first, 3, ("a",), enters=False))
    async with consumer(workspace) as changes:
        again = await take(changes, 3)
    assert [told(change) for change in again] == [(first, "a", True), (second, "a", True), (first, "a", False)]


async def test_two_consumers_of_a_group_share_the_partitions_and_lose_nothing(
    workspace: Workspace, stream: Stream
) -> None:
    handled: list[MembershipChange] = []

    async def work() -> None:
        async with consumer(workspace, start="earliest") as changes:
            await collect(changes, handled)

    def missing() -> set[int]:
        return set(range(200)) - {change.at_ms % 1000 for change in handled}

    first = asyncio.create_task(work())
    await stream.commit(*(Step(f"u{at}", at, ("a",)) for at in range(100)))
    second = asyncio.create_task(work())
    for start in range(100, 200, 10):
        await stream.commit(*(Step(f"u{at}", at, ("a",)) for at in range(start, start + 10)))
    await until(missing, WAIT_S, "every change to be handled", satisfies=operator.not_)
    for task in (first, second):
        task.cancel()
        await asyncio.wait([task])


async def test_an_always_fresh_view_ignores_the_committed_position(workspace: Workspace, stream: Stream) -> None:
    await stream.commit(Step("u", 0, ("a",)))
    for _ in range(2):
        async with consumer(workspace, always_snapshot=True) as changes:
            (member,) = await take(changes, 1)
            assert (told(member), member.snapshot) == (("u", "a", True), True)


async def test_a_consumer_cancelled_while_it_starts_leaves_nothing_open(workspace: Workspace) -> None:
    def others() -> set[asyncio.Task[Any]]:
        return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}

    for delay_s in (0.0, 0.002, 0.01, 0.03):
        starting = asyncio.create_task(consumer(workspace).__aenter__())
        await asyncio.sleep(delay_s)
        starting.cancel()
        await asyncio.wait([starting])
        if not starting.cancelled():
            await starting.result().__aexit__(None, None, None)
    await until(others, WAIT_S, "the end of every task that it started", satisfies=operator.not_)


async def test_an_empty_topic_is_caught_up_at_once(workspace: Workspace) -> None:
    async with consumer(workspace) as changes:
        assert await drain(changes) == []


async def test_no_broker_is_said_with_its_address() -> None:
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
        async with Memberships("127.0.0.1:9", group="g"):
            pass
