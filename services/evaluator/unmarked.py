"""Transactions that the broker ended and of which it never wrote the outcome into some partition.

A broker that just comes back from a standstill may find no leader for a partition, take it for deleted, and call a
transaction complete without its markers. Readers of committed records then stand still there, and a later marker of the
same producer decides all that it wrote before. So the next owner decides it, before it appends anything: it aborts. The
records are evaluated again and are the same; a store that has them already is begun anew (`recovery.py`).
Rule: nothing undecided is left behind, and all of it is decided alike. This module must not write to a store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from schemas.topics import Topic
from services.evaluator.measures import UNDECIDED
from services.evaluator.ports import Changelogs, LogError, Undecided
from services.runtime.logs import get_logger

OUTPUTS = (Topic.MEMBERSHIPS, Topic.DEAD_LETTERS, Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG)
"""The topics of a partition's transactions."""
LOOKS_MAX = 50
LOOK_AFTER_S = 0.1
"""So often it is looked whether the markers are there, and how long it waits between two looks."""

log = get_logger("undecided")


async def settle(logs: Mapping[int, Undecided], changelogs: Changelogs) -> None:
    """Decide whatever fenced owners of partitions left without an outcome.

    Errors: `LogError` when the markers that decide it do not come either.
    """
    found = await changelogs.undecided([(topic, partition) for partition in logs for topic in OUTPUTS])
    for partition in sorted({partition for _, partition in found}):
        log.warning("the broker had left transactions without an outcome; they are aborted", partition=partition)
        await logs[partition].decide(OUTPUTS, commit=False)
        await _decided(partition, changelogs)
        UNDECIDED.inc()


async def _decided(partition: int, changelogs: Changelogs) -> None:
    """Wait for the markers."""
    wanted = [(topic, partition) for topic in OUTPUTS]
    for _ in range(LOOKS_MAX):
        if not await changelogs.undecided(wanted):
            return
        await asyncio.sleep(LOOK_AFTER_S)
    raise LogError("the broker ended a transaction and does not write its markers", partition=partition)
