"""How evaluation gets on while something happens to it: what is committed, looked at again and again.

Rule: seen from outside, in the offsets that the group has committed; under a load that never stops, so that a partition
that stands still is one that is not worked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.beside import beside
from tests.faults.workspace import Workspace

LOOK_EVERY_S = 0.5


@dataclass
class Progress:
    """The committed positions by partition, each with the second at which it was seen."""

    seen: list[tuple[float, dict[int, int]]] = field(default_factory=list)

    async def watch(self, workspace: Workspace) -> None:
        """Look for ever."""
        while True:
            self.seen.append((time.monotonic(), await workspace.positions()))
            await asyncio.sleep(LOOK_EVERY_S)

    def longest_pause_s(self, partition: int) -> float:
        """The longest time for which a partition did not get on."""
        longest, (since, position) = 0.0, (self.seen[0][0], self.seen[0][1].get(partition, 0))
        for at, positions in self.seen:
            longest = max(longest, at - since)
            if positions.get(partition, 0) != position:
                since, position = at, positions[partition]
        return longest

    def fewest_in(self, window_s: float) -> int:
        """The fewest records that were evaluated within any so long time."""
        totals = [(at, sum(positions.values())) for at, positions in self.seen]
        ends = ((first, next((end for end in totals if end[0] >= first[0] + window_s), None)) for first in totals)
        return min(end[1] - first[1] for first, end in ends if end is not None)


@asynccontextmanager
async def watched(workspace: Workspace) -> AsyncIterator[Progress]:
    """The progress from now to the end of the block."""
    progress = Progress()
    async with beside(progress.watch(workspace)):
        yield progress
