"""How long a worker leaves between two commits when nothing presses: a multiple of what a commit takes.

A commit costs the broker and this process about the same whatever it holds, so the more are under way at once, the
longer each takes. Rule: the gap follows the measured time, so commits come soon on an idle machine and never take more
than a fixed share of a busy one. It is never shorter than the configured least. What bounds it from above, the longest
life of a transaction, is the worker's.
"""

from __future__ import annotations

from collections import deque

GAP_COMMITS = 3
"""The gap, in commits: a partition commits for at most a quarter of its time."""
REMEMBERED_COMMITS = 4
"""The shortest of so many counts: a single slow one, as of a large backlog, says nothing about the next."""


class CommitGap:
    """The gap of one worker. Units: seconds."""

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._latest: deque[float] = deque(maxlen=REMEMBERED_COMMITS)
        self.seconds = least_s
        """From the end of a commit to the earliest start of the next without load."""

    def took(self, commit_s: float) -> None:
        """Take note of how long a commit took, from its start to the local write."""
        self._latest.append(commit_s)
        self.seconds = max(self._least_s, GAP_COMMITS * min(self._latest))
