"""Transactions that the broker acknowledged and of which it never wrote the outcome into their partitions.

A broker that just comes back from a standstill may find no leader for a partition, take it for deleted, and call a
transaction complete without its markers. Readers of committed records then stand still there. A later marker of the
same producer decides all that it wrote before, so the next owner commits again, without records. Rule: only what a
store proves is decided so: it holds these records to the last, and it writes none before it is told that they are
committed. This module must not write to a store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from schemas.topics import Topic
from services.evaluator.ports import Bounds, Changelogs, UnmarkedCommits

OUTPUTS = (Topic.MEMBERSHIPS, Topic.DEAD_LETTERS, Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG)
"""The topics of a partition's transactions."""
LOOKS_MAX = 50
LOOK_AFTER_S = 0.1
"""So often it is looked whether the markers are there, and how long it waits before each look."""


async def commit_unmarked(
    partition: int, stands: Mapping[Topic, int], log: UnmarkedCommits, changelogs: Changelogs
) -> bool:
    """Commit anew what a fenced partition's store proves to have been committed; whether all of it now is.

    `stands` are the store's next offsets by changelog. False, with nothing done, where it proves nothing: its offsets
    are beyond the log, or within what has no outcome.
    """
    for topic, at in stands.items():
        end = await changelogs.end(topic, partition)
        if at > end or (at < end and (await changelogs.bounds(topic, partition)).end < end):
            return False
    await log.commit_unmarked(OUTPUTS)
    for _ in range(LOOKS_MAX):
        await asyncio.sleep(LOOK_AFTER_S)
        bounds: dict[Topic, Bounds] = {topic: await changelogs.bounds(topic, partition) for topic in stands}
        if all(at <= bounds[topic].end for topic, at in stands.items()):
            return True
    return False
