"""How long a worker leaves between two commits when nothing presses: a multiple of what a commit takes.

A commit costs the broker and this process about the same whatever it holds, so the more are under way at once, the
longer each takes. Rule: the gap follows the measured time and the number of partitions that commit, so commits come
soon on an idle machine, take at most a fixed share of a busy partition's time, and of all partitions of a process few
are under way at once. It is never shorter than the configured least. What bounds it from above, the longest life of a
transaction, is the worker's.
"""

from __future__ import annotations

from collections import deque

GAP_COMMITS = 3
"""The gap, in commits: a partition commits for at most a quarter of its time."""
COMMITS_AT_ONCE = 1.2
"""So many commits of a process are under way at once, on average: each busies a core, here and at the broker."""
REMEMBERED_COMMITS = 4
"""The shortest of so many counts: a single slow one, as of a large backlog, says nothing about the next."""
COMMITTING_S = 0.05
"""A partition that committed within this time is one of those that share the process."""


class ProcessCommits:
    """When each worker of a process committed last. Units: seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._ended: dict[CommitGap, float] = {}

    def ended(self, worker: CommitGap, now: float) -> int:
        """Note the end of a commit; how many workers have been committing lately, this one among them."""
        self._ended[worker] = now
        return sum(now - at <= COMMITTING_S for at in self._ended.values())

    def leave(self, worker: CommitGap) -> None:
        """Forget a worker that has stopped."""
        self._ended.pop(worker, None)


class CommitGap:
    """The gap of one worker. Units: seconds."""

    def __init__(self, least_s: float, process: ProcessCommits) -> None:
        self._least_s = least_s
        self._process = process
        self._latest: deque[float] = deque(maxlen=REMEMBERED_COMMITS)
        self.seconds = least_s
        """From the end of a commit to the earliest start of the next without load."""

    def took(self, commit_s: float, now: float) -> None:
        """Take note of how long a commit took, from its start to the local write, which ended just now."""
        self._latest.append(commit_s)
        commits = max(GAP_COMMITS, self._process.ended(self, now) / COMMITS_AT_ONCE - 1)
        self.seconds = max(self._least_s, commits * min(self._latest))
