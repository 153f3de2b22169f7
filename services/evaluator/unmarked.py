"""Transactions that the broker ended and of which it never wrote the outcome into some partition.

A broker that just comes back from a standstill may find no leader for a partition, take it for deleted, and call a
transaction complete without its markers. Readers of committed records then stand still there, and a later marker of the
same producer decides all that it wrote before. So the next owner decides it, before it appends anything: it commits
what is proved to have been committed (`evidence.py`), and aborts the rest, which is evaluated again and comes out the
same. Rule: nothing undecided is left behind, and all of it is decided alike. This module must not write to a store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from schemas.control_rows import CLOCK_KEY, ClockRow
from schemas.topics import Topic
from services.evaluator.evidence import Case, Row, is_committed, telling
from services.evaluator.ledger import OUTPUTS, wrote
from services.evaluator.measures import ABORTED, COMMITTED, UNDECIDED
from services.evaluator.ports import Bounds, Changelogs, InputRecord, LogError, TopicPart, Undecided
from services.evaluator.senseless import SENSELESS, senseless
from services.runtime.logs import get_logger

LOOKS_MAX = 50
LOOK_AFTER_S = 0.1
"""So often it is looked whether the markers are there, and how long it waits between two looks."""

log = get_logger("undecided")


class Fenced(NamedTuple):
    """A partition's new owner, and what it knows of the owners before.

    `disk` is right behind the last control record that its store holds, `group` the input position that the group has
    committed, None if it is not known.
    """

    log: Undecided
    disk: int
    group: int | None


async def settle(owners: Mapping[int, Fenced], changelogs: Changelogs) -> None:
    """Decide whatever fenced owners of partitions left without an outcome.

    Errors: `LogError` when the markers that decide it do not come either.
    """
    found = await changelogs.ends([(topic, partition) for partition in owners for topic in OUTPUTS])
    for partition, owner in owners.items():
        ends = {topic: found[topic, partition] for topic in OUTPUTS}
        if _undecided(ends):
            case = await _case(partition, owner, ends, changelogs)
            commit = is_committed(case, await _holding(partition, telling(case), changelogs))
            await owner.log.decide(OUTPUTS, commit=commit)
            ends = await _decided(partition, changelogs)
            outcome = COMMITTED if commit else ABORTED
            UNDECIDED.labels(outcome).inc()
            log.warning("the broker had left transactions without an outcome", partition=partition, now=outcome)
        owner.log.begin_at({topic: bounds.end for topic, bounds in ends.items()})


def _undecided(ends: Mapping[Topic, Bounds]) -> dict[Topic, Bounds]:
    return {topic: bounds for topic, bounds in ends.items() if bounds.first < bounds.end}


async def _case(partition: int, owner: Fenced, ends: Mapping[Topic, Bounds], changelogs: Changelogs) -> Case:
    """Read what the control changelog says, from its beginning."""
    undecided = _undecided(ends)
    part = (Topic.CONTROL_CHANGELOG, partition)
    stable, end = ends[Topic.CONTROL_CHANGELOG]
    first = (await changelogs.bounds(*part)).first
    clock: InputRecord | None = None
    last: Row = {}
    async for drained in changelogs.drain({part: Bounds(first, stable)}):
        for record in drained.records:
            if record.key == CLOCK_KEY:
                clock = record
            last = wrote(record.headers) or last
    open_rows: list[Row] = []
    async for drained in changelogs.drain({part: Bounds(stable, end)}, undecided=True):
        open_rows += [row for record in drained.records if (row := wrote(record.headers)) is not None]
    return Case(
        undecided,
        {topic: bounds.end for topic, bounds in ends.items()},
        last,
        open_rows,
        _stands(partition, clock),
        owner.disk,
        owner.group,
    )


def _stands(partition: int, clock: InputRecord | None) -> int:
    """The input position that the newest clock row tells. Errors: `StartRefusedError` where it makes no sense."""
    if clock is None or clock.value is None:
        return 0
    try:
        return ClockRow.decode(clock.value).offset
    except SENSELESS as error:
        raise senseless(Topic.CONTROL_CHANGELOG, partition, clock, error) from error


async def _holding(partition: int, ranges: Mapping[Topic, Bounds], changelogs: Changelogs) -> set[Topic]:
    """In which of the ranges there is a committed record."""
    wanted: dict[TopicPart, Bounds] = {
        (topic, partition): bounds for topic, bounds in ranges.items() if bounds.first < bounds.end
    }
    holding: set[Topic] = set()
    async for drained in changelogs.drain(wanted):
        bounds = wanted[drained.topic, partition]
        if any(bounds.first <= record.offset < bounds.end for record in drained.records):
            holding.add(drained.topic)
    return holding


async def _decided(partition: int, changelogs: Changelogs) -> dict[Topic, Bounds]:
    """Wait for the markers; where the topics then end."""
    for _ in range(LOOKS_MAX):
        found = await changelogs.ends([(topic, partition) for topic in OUTPUTS])
        ends = {topic: found[topic, partition] for topic in OUTPUTS}
        if not _undecided(ends):
            return ends
        await asyncio.sleep(LOOK_AFTER_S)
    raise LogError("the broker ended a transaction and does not write its markers", partition=partition)
