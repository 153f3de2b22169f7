"""The waiting list: told after the commit, bounded, and honest about what it forgot."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from segmentation.model import (
    DEADLINE_OFFSET,
    CauseKind,
    Change,
    ChangeKind,
    ContactId,
    InstantMs,
    Offset,
    SegmentId,
    Version,
)
from services.evaluator import outcomes
from services.evaluator.outcomes import Outcomes, TooManyWaitersError
from services.evaluator.read_api import WAIT_MAX_MS


def change(offset: int) -> Change:
    version = Version(InstantMs(1), Offset(offset))
    return Change(SegmentId("s"), 1, ContactId("c"), ChangeKind.ENTER, version, CauseKind.WRITE, 0, 1)


async def test_a_waiter_is_told_when_its_offset_is_committed() -> None:
    list_ = Outcomes(since=5)
    waiting = asyncio.create_task(list_.wait_for(7, timeout_s=5))
    await asyncio.sleep(0)
    list_.committed(7, [])
    await asyncio.sleep(0)
    assert not waiting.done()
    list_.committed(8, [change(7)])
    await waiting
    (outcome,) = list_.outcomes([7])
    assert (outcome.committed, outcome.changes) == (True, [change(7)])


async def test_nobody_waits_for_a_partition_that_was_given_up() -> None:
    list_ = Outcomes(since=0)
    waiting = [asyncio.create_task(list_.wait_for(offset, timeout_s=60)) for offset in (1, 2)]
    await asyncio.sleep(0)
    list_.close()
    await asyncio.gather(*waiting, list_.wait_for(3, timeout_s=60))
    assert [outcome.committed for outcome in list_.outcomes([1, 2])] == [False, False]


async def test_a_request_looks_at_what_it_asks_for_and_not_at_all_that_is_remembered() -> None:
    looked_at = 0

    class Looked:
        """A change that counts how often its version is looked at; every other change is one that time caused."""

        def __init__(self, offset: int) -> None:
            self._offset = DEADLINE_OFFSET if offset % 2 else Offset(offset)

        @property
        def version(self) -> Version:
            nonlocal looked_at
            looked_at += 1
            return Version(InstantMs(1), self._offset)

    list_ = Outcomes(since=0)
    changes = [cast("Change", Looked(offset)) for offset in range(outcomes.REMEMBERED_CHANGES_MAX)]
    for start in range(0, len(changes), 500):
        list_.committed(start + 500, changes[start : start + 500])
    looked_at = 0
    told = list_.outcomes([4_000, 4_001, 12_000])
    assert [outcome.changes for outcome in told] == [[changes[4_000]], [], [changes[12_000]]]
    assert 0 < looked_at <= 2 * (outcomes.PIECE_CHANGES + 1)


async def test_a_wait_ends_when_its_time_is_up() -> None:
    list_ = Outcomes(since=0)
    await list_.wait_for(3, timeout_s=0.01)
    (outcome,) = list_.outcomes([3])
    assert (outcome.committed, outcome.changes) == (False, None)


async def test_an_input_before_the_owner_started_is_unknown_and_not_unchanged() -> None:
    list_ = Outcomes(since=100)
    (outcome,) = list_.outcomes([99])
    assert (outcome.committed, outcome.changes) == (True, None)


async def test_what_was_forgotten_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "REMEMBERED_CHANGES_MAX", 2)
    list_ = Outcomes(since=0)
    list_.committed(4, [change(0), change(1), change(3)])
    assert [outcome.changes for outcome in list_.outcomes([0, 1, 2, 3])] == [None, [change(1)], [], [change(3)]]


async def test_what_no_caller_can_wait_for_any_more_is_forgotten_and_unknown() -> None:
    now = 0.0
    list_ = Outcomes(since=0, monotonic=lambda: now)
    list_.committed(2, [change(0), change(1)])
    now = outcomes.REMEMBERED_S - 1
    list_.committed(4, [change(3)])
    assert [outcome.changes for outcome in list_.outcomes([1, 2, 3])] == [[change(1)], [], [change(3)]]
    now = outcomes.REMEMBERED_S + 1
    list_.committed(5, [])
    assert [outcome.changes for outcome in list_.outcomes([1, 2, 3])] == [None, [], [change(3)]]
    assert outcomes.REMEMBERED_S * 1_000 > WAIT_MAX_MS


async def test_forgetting_takes_whole_commits_and_of_the_next_only_what_is_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcomes, "REMEMBERED_CHANGES_MAX", 3)
    list_ = Outcomes(since=0)
    list_.committed(2, [change(0), change(1)])
    list_.committed(6, [change(2), change(4), change(4), change(5)])
    told = [outcome.changes for outcome in list_.outcomes([0, 1, 2, 3, 4, 5])]
    assert told == [None, None, None, [], [change(4), change(4)], [change(5)]]


async def test_a_commit_of_many_changes_is_forgotten_as_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "REMEMBERED_CHANGES_MAX", 1_000)
    list_ = Outcomes(since=0)
    list_.committed(1_000, [change(offset) for offset in range(1_000)])
    list_.committed(1_300, [change(offset) for offset in range(1_000, 1_300)])
    told = list_.outcomes(range(1_300))
    assert [outcome.changes for outcome in told] == [None] * 300 + [[change(offset)] for offset in range(300, 1_300)]


async def test_a_full_waiting_list_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "WAITERS_MAX", 1)
    list_ = Outcomes(since=0)
    first = asyncio.create_task(list_.wait_for(1, timeout_s=5))
    await asyncio.sleep(0)
    with pytest.raises(TooManyWaitersError):
        await list_.wait_for(1, timeout_s=5)
    list_.committed(2, [])
    await first


async def test_who_waited_in_vain_or_went_away_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "WAITERS_MAX", 1)
    list_ = Outcomes(since=0)
    await list_.wait_for(1, timeout_s=0.001)
    gone = asyncio.create_task(list_.wait_for(1, timeout_s=5))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait({gone})
    await list_.wait_for(1, timeout_s=0.001)


async def test_who_comes_after_a_partition_was_given_up_does_not_wait() -> None:
    list_ = Outcomes(since=0)
    list_.close()
    async with asyncio.timeout(1):
        await list_.wait_for(1, timeout_s=60)


async def test_an_input_that_led_to_nothing_is_told_without_a_commit() -> None:
    list_ = Outcomes(since=0)
    waiting = asyncio.create_task(list_.wait_for(4, timeout_s=5))
    await asyncio.sleep(0)
    list_.passed(5)
    await waiting
    (outcome,) = list_.outcomes([4])
    assert (outcome.committed, outcome.changes) == (True, [])
