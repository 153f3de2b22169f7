"""Bugs that such a system is known to grow, planted on purpose into the real code, one at a time.

Each takes the place of a part or of one function, for as long as it is planted. Rule: a planted bug is a plausible
mistake of a few lines, and it lives here only.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

from schemas.topics import Topic
from segmentation.decide import Command, Decision, Write, decide
from segmentation.definitions import DefinitionLog
from segmentation.index.catalogue import Catalogue
from segmentation.model import (
    Attributes,
    CauseKind,
    Change,
    ChangeKind,
    ContactId,
    ContactState,
    Erasure,
    InstantMs,
    Offset,
    Version,
)
from services.evaluator import history, owner, recovery, unmarked
from services.evaluator import partition as partition_module
from services.evaluator.ledger import FOLLOWERS, Ledger
from services.evaluator.partition import Partition
from services.evaluator.ports import FencedError, InputRecord, LogError, OutputRecord
from services.evaluator.worker import PartitionWorker
from tests.simulation import cluster
from tests.simulation.cluster import Parts
from tests.simulation.world import SimulatedLog

TYPE_HEADER = "ce_type"
_REAL_DUE = Catalogue.due
Decider = Callable[[ContactState | None, Command, DefinitionLog], Decision]


@dataclass(frozen=True)
class Planted:
    """One bug. `patches` name an object, one of its attributes and what takes its place while the bug is planted."""

    name: str
    parts: Parts = field(default_factory=Parts)
    patches: tuple[tuple[object, str, Any], ...] = ()

    @contextmanager
    def in_place(self) -> Iterator[Parts]:
        """Plant it, and dig it out again."""
        with ExitStack() as stack:
            for target, name, replacement in self.patches:
                stack.enter_context(patch.object(target, name, replacement))
            yield self.parts


class PositionOutsideTheTransaction(SimulatedLog):
    """The control row that holds the position is written at once, whatever becomes of the transaction."""

    async def append(self, topic: Topic, records: Sequence[OutputRecord]) -> None:
        if topic is Topic.CONTROL_CHANGELOG:
            for record in records:
                self._world.broker.produce(topic, self._partition, record, self._world.now_ms)
        else:
            await super().append(topic, records)


class NotFenced(SimulatedLog):
    """A former owner that is told that it was fenced takes the partition back instead of stopping."""

    async def commit(self, offset: int, *, tell_group: bool) -> None:
        try:
            await super().commit(offset, tell_group=tell_group)
        except FencedError:
            self._epoch = self._world.broker.take_over(self._id)
            await super().commit(offset, tell_group=tell_group)

    def _flush_one(self) -> None:
        try:
            super()._flush_one()
        except FencedError:
            self._epoch = self._world.broker.take_over(self._id)


class LocalWriteBeforeCommit(PartitionWorker):
    """The store is written while the transaction may still fail."""

    async def commit(self) -> None:
        await self._begin()
        contacts, controls = self.partition.seal()
        if contacts:
            await self._log.append(Topic.CONTACTS_CHANGELOG, contacts)
        await self._log.append(Topic.CONTROL_CHANGELOG, controls)
        ends = await self._log.acknowledged()
        position = self.partition.next_offset
        self.partition.committed(ends, self._now_ms())
        await self._log.commit(position, tell_group=True)
        self._open = False
        self._ahead_since = self._outputs_since = None
        self._records_since = 0


class OverlayKeptAfterAbort(PartitionWorker):
    """A failed transaction is begun anew with the states it had decided, but without the outputs it had sent."""

    async def commit(self) -> None:
        try:
            await super().commit()
        except FencedError:
            raise
        except LogError:
            if isinstance(self._log, SimulatedLog):
                await self._log.start()
            self._open = False


class StateBeforeItsOutputs(PartitionWorker):
    """Backfill's cursor and contacts are committed, and the changes they led to only in the next transaction."""

    _withhold = False

    async def _background(self) -> bool:
        self._withhold = self.partition.behind_definitions
        try:
            return await super()._background()
        finally:
            self._withhold = False

    async def _send(self) -> None:
        if not self._withhold:
            await super()._send()
        elif self._outputs_since is None and self.partition.has_outputs:
            self._outputs_since = self._monotonic()


class TicksIgnored(Partition):
    """A tick moves the position but not the clock."""

    def consume(self, records: Sequence[InputRecord], work_max: int = 1) -> int:
        real = [record for record in records if (TYPE_HEADER, b"tick") not in list(record.headers)]
        if real:
            super().consume(real)
        self.next_offset = records[-1].offset + 1
        return len(records)


class ClockGoesBack(Partition):
    """The clock is the last record's timestamp and not the greatest."""

    def consume(self, records: Sequence[InputRecord], work_max: int = 1) -> int:
        for record in records:
            self.clock = InstantMs(record.timestamp)
            super().consume([record])
        return len(records)


class DefinitionOnSomePartitions(Partition):
    """One partition never takes the third version of anything."""

    def _define(self, record: InputRecord, item: Any) -> None:
        if self.index == 0 or item.definition.version != 3:
            super()._define(record, item)


class BatchCollapsed(Partition):
    """Of several records of one contact in a batch only the last is evaluated."""

    def consume(self, records: Sequence[InputRecord], work_max: int = 1) -> int:
        last = {record.key: record.offset for record in records if record.key}
        kept = [record for record in records if not record.key or last[record.key] == record.offset]
        super().consume(kept)
        return len(records)


class UncommittedContactsNotBackfilled(Partition):
    """A backfill scans the store and forgets the contacts that are not committed yet."""

    def _begin_backfill(self) -> Any:
        return self.definitions.begin_backfill()


def _deciding(change: Callable[[Decision, Command], Decision]) -> Decider:
    return lambda contact, command, definitions: change(decide(contact, command, definitions), command)


def _map_changes(decision: Decision, change: Callable[[Change], Change]) -> Decision:
    return decision._replace(events=tuple(change(e) if isinstance(e, Change) else e for e in decision.events))


def _at_the_ticks_time(decision: Decision, command: Command) -> Decision:
    def late(change: Change) -> Change:
        at_clock = Version(command.clock, change.version.offset)
        return change._replace(version=at_clock) if change.cause is CauseKind.TIME else change

    return _map_changes(decision, late)


def _enter_exit_swapped(decision: Decision, command: Command) -> Decision:
    def swapped(change: Change) -> Change:
        other = ChangeKind.EXIT if change.kind is ChangeKind.ENTER else ChangeKind.ENTER
        return change._replace(kind=other) if change.count > 2 else change

    return _map_changes(decision, swapped)


def _tombstone_first(decision: Decision, command: Command) -> Decision:
    erasures = [event for event in decision.events if isinstance(event, Erasure)]
    return decision._replace(events=(*erasures, *(event for event in decision.events if isinstance(event, Change))))


def _erasure_forgotten(decision: Decision, command: Command) -> Decision:
    if decision.contact is None:
        return decision._replace(events=tuple(event for event in decision.events if isinstance(event, Change)))
    return decision


def _write_offset_off_by_one(decision: Decision, command: Command) -> Decision:
    def shifted(change: Change) -> Change:
        return change._replace(version=Version(change.version.at, Offset(change.version.offset + 1)))

    return _map_changes(decision, lambda change: shifted(change) if change.cause is CauseKind.WRITE else change)


def _deadline_after_write(contact: ContactState | None, command: Command, definitions: DefinitionLog) -> Decision:
    """A deadline at the very instant of a write waits until after it."""
    if contact is not None and isinstance(command, Write) and contact.due == command.clock:
        contact = replace(contact, due=None)
    return decide(contact, command, definitions)


def _nothing(*_: object) -> None:
    """Do nothing where something was due."""


async def _nothing_yet(*_: object) -> None:
    """Do nothing where something was due and waited for."""


def _never(*_: object) -> bool:
    return False


def _its_own_topics(_: Ledger, topic: Topic) -> Collection[Topic]:
    """Name only what the transaction itself will write to."""
    return FOLLOWERS.get(topic, ())


async def _gather(works: Iterable[Coroutine[None, None, None]]) -> None:
    await asyncio.gather(*works)


def _a_millisecond_late(catalogue: Catalogue, attributes: Attributes, after: InstantMs) -> InstantMs | None:
    due = _REAL_DUE(catalogue, attributes, after)
    return None if due is None else InstantMs(due + 1)


def _crc_partition(contact_id: ContactId, partitions: int) -> int:
    return zlib.crc32(contact_id.encode()) % partitions


def all_planted() -> list[Planted]:
    """Every bug that the judges must catch."""
    return [
        Planted("position committed outside the transaction", Parts(log=PositionOutsideTheTransaction)),
        Planted("former owner takes a fenced partition back", Parts(log=NotFenced)),
        Planted("local write before the commit", Parts(worker=LocalWriteBeforeCommit)),
        Planted("overlay kept after an abort", Parts(worker=OverlayKeptAfterAbort)),
        Planted("backfill's cursor saved before its differences", Parts(worker=StateBeforeItsOutputs)),
        Planted("ticks do not move the clock", Parts(partition=TicksIgnored)),
        Planted("clock goes back", Parts(partition=ClockGoesBack)),
        Planted("definition applied to some partitions only", Parts(partition=DefinitionOnSomePartitions)),
        Planted("two updates of a batch collapsed", Parts(partition=BatchCollapsed)),
        Planted("uncommitted contacts not backfilled", Parts(partition=UncommittedContactsNotBackfilled)),
        Planted(
            "deadline fired at the tick's time", patches=((partition_module, "decide", _deciding(_at_the_ticks_time)),)
        ),
        Planted(
            "deadline after a write of the same instant", patches=((partition_module, "decide", _deadline_after_write),)
        ),
        Planted("CRC in place of murmur2", patches=((partition_module, "partition_for", _crc_partition),)),
        Planted("enter and exit swapped", patches=((partition_module, "decide", _deciding(_enter_exit_swapped)),)),
        Planted("tombstone before the exit", patches=((partition_module, "decide", _deciding(_tombstone_first)),)),
        Planted(
            "tombstones of an erased contact forgotten",
            patches=((partition_module, "decide", _deciding(_erasure_forgotten)),),
        ),
        Planted("erased contact stays in the histories", patches=((history, "erase", _nothing),)),
        Planted("stores stay open when a recovery is broken off", patches=((owner, "_all", _gather),)),
        Planted(
            "disk believed although its last commit was aborted",
            patches=((recovery, "_empty_unwitnessed", _nothing_yet),),
        ),
        Planted("work goes on after a doubtful commit", patches=((cluster, "DOUBT_AFTER_MS", 1_000_000),)),
        Planted("undecided records left to the next commit", patches=((recovery, "settle", _nothing_yet),)),
        Planted(
            "undecided records aborted whatever proves their commit", patches=((unmarked, "is_committed", _never),)
        ),
        Planted("commit without markers made good in some topics only", patches=((Ledger, "name", _its_own_topics),)),
        Planted("deadline a millisecond late", patches=((Catalogue, "due", _a_millisecond_late),)),
        Planted(
            "version off by one record", patches=((partition_module, "decide", _deciding(_write_offset_off_by_one)),)
        ),
    ]
