"""How much the columns of all partitions of a process hold together, held to one limit.

Rule: it knows sizes, not columns; who goes beyond the limit is told, and gives up what it can.
"""

from __future__ import annotations

COLUMNS_BYTES_MAX = 384 << 20
"""What the columns of all partitions of a process may hold; beyond it contacts are read for each preview."""


class ColumnMemory:
    """What the partitions of a process hold in columns together."""

    def __init__(self, limit: int = COLUMNS_BYTES_MAX) -> None:
        self.limit = limit
        self._held: dict[int, int] = {}

    def hold(self, partition: int, size: int) -> bool:
        """Note what a partition holds now; whether that is within the limit."""
        self._held[partition] = size
        return self.held <= self.limit

    @property
    def held(self) -> int:
        """How many bytes all of them hold."""
        return sum(self._held.values())

    def free(self, partition: int) -> None:
        """The partition holds nothing any more."""
        self._held.pop(partition, None)
