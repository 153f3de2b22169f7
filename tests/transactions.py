"""Waiting for the end of transactions: a broker says "committed" before the partitions written to have the marker.

Rule: whoever reads committed records once, and must find what was just committed, waits here first. Until the marker is
in a partition, its committed records end before the transaction; on a busy machine that is long enough to be seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from bench.waiting import until

DECIDED_WITHIN_S: Final = 30.0
"""Longer than a broker keeps the transaction of a process that died, in every test that kills one."""
ANSWER_WITHIN_S: Final = 30.0
POLL_S: Final = 0.005


class Transactions:
    """What is still undecided on one broker."""

    def __init__(self, bootstrap: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def until_decided(self, topic: str, partitions: Iterable[int], within_s: float = DECIDED_WITHIN_S) -> None:
        """Wait until everything that is now on these partitions is committed or aborted, and readable as such.

        Errors: `TimeoutError`, with what is still open.
        """
        written = self._ends(topic, partitions, IsolationLevel.READ_UNCOMMITTED)
        open_ends: dict[int, int] = {}

        def none_is_open() -> bool:
            decided = self._ends(topic, written, IsolationLevel.READ_COMMITTED)
            open_ends.clear()
            open_ends.update((each, decided[each]) for each, end in written.items() if decided[each] < end)
            return not open_ends

        doing = f"the transactions on {topic} to end (written up to {written})"
        until(none_is_open, within_s, doing, POLL_S)

    async def until_readable(self, topic: str, partitions: Iterable[int]) -> None:
        """The same, without holding up the loop."""
        await asyncio.to_thread(self.until_decided, topic, frozenset(partitions))

    def _ends(self, topic: str, partitions: Iterable[int], isolation: IsolationLevel) -> Mapping[int, int]:
        asked = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in partitions}  # type: ignore[no-untyped-call]  # it has no types
        answers = self._admin.list_offsets(asked, isolation_level=isolation, request_timeout=ANSWER_WITHIN_S)
        return {at.partition: answer.result().offset for at, answer in answers.items()}
