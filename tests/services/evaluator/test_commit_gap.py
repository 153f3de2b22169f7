"""The gap between two commits of a partition, by what they take and by how many partitions share the process."""

from __future__ import annotations

import pytest

from services.evaluator.commit_gap import COMMITS_AT_ONCE, GAP_COMMITS, REMEMBERED_COMMITS, CommitGap, ProcessCommits

COMMIT_S = 0.004


def _committing(partitions: int, rounds: int = 4) -> list[CommitGap]:
    """Gaps of partitions that all commit once a round, 20 ms each."""
    process = ProcessCommits()
    gaps = [CommitGap(0.0, process) for _ in range(partitions)]
    for turn in range(rounds):
        for number, gap in enumerate(gaps):
            gap.took(COMMIT_S, turn * 0.02 + number * 0.001)
    return gaps


def test_a_partition_that_commits_alone_leaves_three_commits_between() -> None:
    [gap] = _committing(1)
    assert gap.seconds == pytest.approx(GAP_COMMITS * COMMIT_S)


@pytest.mark.parametrize("partitions", [8, 12, 32])
def test_of_all_partitions_of_a_process_few_commits_are_under_way_at_once(partitions: int) -> None:
    gaps = _committing(partitions)
    at_once = sum(COMMIT_S / (COMMIT_S + gap.seconds) for gap in gaps)
    assert at_once == pytest.approx(COMMITS_AT_ONCE)


def test_partitions_that_rest_do_not_slow_the_one_that_commits() -> None:
    gaps = _committing(8)
    gaps[0].took(COMMIT_S, 1.0)
    assert gaps[0].seconds == pytest.approx(GAP_COMMITS * COMMIT_S)


def test_a_worker_that_has_stopped_is_not_waited_for() -> None:
    process = ProcessCommits()
    staying, *leaving = [CommitGap(0.0, process) for _ in range(8)]
    for gap in (staying, *leaving):
        gap.took(COMMIT_S, 0.0)
    for gap in leaving:
        process.leave(gap)
    staying.took(COMMIT_S, 0.01)
    assert staying.seconds == pytest.approx(GAP_COMMITS * COMMIT_S)


def test_the_gap_is_never_below_the_configured_least_and_one_slow_commit_does_not_widen_it() -> None:
    gap = CommitGap(0.05, ProcessCommits())
    for took_s in (0.001, 3.0):
        gap.took(took_s, 0.0)
    assert gap.seconds == 0.05


def test_commits_that_stay_slow_widen_the_gap_and_quick_ones_narrow_it_at_once() -> None:
    gap = CommitGap(0.0, ProcessCommits())
    gap.took(COMMIT_S, 0.0)
    for number in range(REMEMBERED_COMMITS):
        assert gap.seconds == pytest.approx(GAP_COMMITS * COMMIT_S)
        gap.took(10 * COMMIT_S, float(number))
    assert gap.seconds == pytest.approx(GAP_COMMITS * 10 * COMMIT_S)
    gap.took(COMMIT_S, 9.0)
    assert gap.seconds == pytest.approx(GAP_COMMITS * COMMIT_S)
