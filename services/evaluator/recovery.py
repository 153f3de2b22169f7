"""Bring a partition's local store level with its changelogs, or say why that is impossible.

The order is: fence the former owner, then read the bounds, then drain committed records from where the store stands.
What the former owner left without an outcome is decided before (`unmarked.py`).
Rule: a store that is behind is brought along, one that is broken, missed erasures or holds what was aborted is rebuilt,
and a changelog that holds less than it must is refused: guessing there would lose or repeat changes without anybody
noticing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.codec import decode_contact
from schemas.topics import Topic
from segmentation.model import ORIGIN, ContactId, Position, SegmentId
from services.evaluator import census, history, rows
from services.evaluator.contradictions import check_controls, check_members, check_positions
from services.evaluator.measures import STORES_DISBELIEVED
from services.evaluator.new_contacts import NewContacts, furthest
from services.evaluator.ports import (
    Bounds,
    Changelogs,
    FencedError,
    InputRecord,
    Store,
    StoreError,
    TopicPart,
    Undecided,
)
from services.evaluator.restored import RestoredPartition, restore, scan_all
from services.evaluator.senseless import SENSELESS, SenselessRows, check_control, read_contact
from services.evaluator.unmarked import Fenced, settle
from services.evaluator.unreadable import UnreadableValues, attributes_of
from services.runtime.errors import StartRefusedError
from services.runtime.logs import get_logger

CHANGELOGS = (Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG)
APPLY_RECORDS_MAX = 5_000
"""Records applied to a store in one write: of more, sorted rows lie nearer together."""
CONTACTS_BETWEEN_TURNS = 500
"""Contacts made into rows between two turns of the event loop: some ten milliseconds where each ends in segments."""
CONTROLS_BETWEEN_TURNS = 200
REBUILDS_MAX = 2
"""How often one recovery begins a store anew: the broker may drop tombstones while the changelog is read."""

log = get_logger("recovery")


@dataclass(slots=True)
class Recovery:
    """One partition being recovered, and how far it has come.

    `log` is the new owner's, to decide what the broker left without an outcome. `group` is the input position that the
    consumer group has committed, None if it is not known.
    """

    partition: int
    store: Store
    log: Undecided
    group: int | None = None
    marks: rows.Marks = rows.EMPTY
    counts: dict[SegmentId, rows.Count] = field(default_factory=dict)
    unreadable: UnreadableValues = field(default_factory=UnreadableValues)
    senseless: SenselessRows = field(init=False)
    contacts_from: int = 0
    """Where reading the contacts began."""
    furthest: Position = ORIGIN
    """Through where a contact that was read has been evaluated at the most."""
    records: int = 0
    todo: int = 0

    def __post_init__(self) -> None:
        """Nothing has been read yet."""
        self.senseless = SenselessRows(self.partition)

    @property
    def percent(self) -> float:
        """How much of the changelogs has been read. Units: 0 to 100."""
        return 100.0 if self.records >= self.todo else 100.0 * self.records / self.todo

    @property
    def stands(self) -> Mapping[Topic, int]:
        """The next offset to read of each changelog."""
        return {
            Topic.CONTACTS_CHANGELOG: self.marks.contacts_changelog,
            Topic.CONTROL_CHANGELOG: self.marks.control_changelog,
        }

    @property
    def lacks_tombstones(self) -> bool:
        """Whether the store, level with its changelogs, has another number of contacts than the last commit left."""
        left = census.contacts_left(self.store)
        return left is not None and left != self.marks.contacts


async def recover(recoveries: Sequence[Recovery], changelogs: Changelogs) -> dict[int, RestoredPartition]:
    """Recover partitions whose former owners are fenced; all share one reader.

    Errors: `StartRefusedError` when a changelog has lost records that the state needs.
    """
    await settle({recovery.partition: _fenced(recovery) for recovery in recoveries}, changelogs)
    await _empty_unwitnessed(recoveries, changelogs)
    waiting = list(recoveries)
    rebuilds = 0
    while waiting:
        starts = await _bring_level(waiting, changelogs)
        waiting = [recovery for recovery in waiting if recovery.lacks_tombstones]
        for recovery in waiting:
            await _begin_anew(recovery, starts, changelogs, rebuilds)
        rebuilds += 1
    restored: dict[int, RestoredPartition] = {}
    for recovery in recoveries:
        await check_controls(recovery.partition, recovery.store)
        found = restored[recovery.partition] = restore(recovery.store)
        check_members(recovery.partition, recovery.store, found)
        await _check_positions(recovery, found)
    return restored


async def _check_positions(recovery: Recovery, restored: RestoredPartition) -> None:
    """Of a contact that is ahead the next start is to hear again, so it reads again what this one has read."""
    try:
        await check_positions(recovery.partition, recovery.store, restored, recovery.furthest)
    except StartRefusedError:
        again = read_marks(recovery.store)._replace(contacts_changelog=recovery.contacts_from)
        recovery.store.write({rows.MARKS_KEY: again.encode()})
        raise


def _fenced(recovery: Recovery) -> Fenced:
    return Fenced(recovery.log, read_marks(recovery.store).control_changelog, recovery.group)


async def _empty_unwitnessed(recoveries: Sequence[Recovery], changelogs: Changelogs) -> None:
    """Empty each store whose last control record is not among the committed ones.

    Either it was aborted after it had been acknowledged, or compaction has taken it: then a later one is there, and
    nobody can tell any more.
    """
    lasts: dict[TopicPart, Bounds] = {}
    for recovery in recoveries:
        last = read_marks(recovery.store).control_changelog - 1
        bounds = await changelogs.bounds(Topic.CONTROL_CHANGELOG, recovery.partition)
        if bounds.first <= last < bounds.end:
            lasts[Topic.CONTROL_CHANGELOG, recovery.partition] = Bounds(last, last + 1)
    missing = {partition: at.first for (_, partition), at in lasts.items()}
    if not missing:
        return
    async for drained in changelogs.drain(lasts):
        if any(record.offset == missing.get(drained.partition) for record in drained.records):
            del missing[drained.partition]
    for recovery in recoveries:
        if recovery.partition in missing:
            STORES_DISBELIEVED.inc()
            log.warning(
                "local state ends in a commit that the log does not hold and is rebuilt",
                partition=recovery.partition,
                offset=missing[recovery.partition],
            )
            await census.empty(recovery.store, read_marks(recovery.store))


async def _bring_level(recoveries: Sequence[Recovery], changelogs: Changelogs) -> Mapping[TopicPart, Bounds]:
    """Read both changelogs of each from where its store stands to their ends; the ranges that were read."""
    by_partition = {recovery.partition: recovery for recovery in recoveries}
    starts: dict[TopicPart, Bounds] = {}
    for recovery in recoveries:
        recovery.marks = read_marks(recovery.store)
        counts = scan_all(recovery.store, rows.COUNTS_START, rows.COUNTS_END)
        recovery.counts = {SegmentId(key[1:].decode()): rows.Count.decode(value) for key, value in counts}
        found = scan_all(recovery.store, rows.UNREADABLE_START, rows.UNREADABLE_END)
        recovery.unreadable = UnreadableValues.stored(found)
        for topic in CHANGELOGS:
            bounds = await changelogs.bounds(topic, recovery.partition)
            start = _start(topic, recovery, bounds)
            if topic is Topic.CONTACTS_CHANGELOG:
                recovery.contacts_from = start
            starts[topic, recovery.partition] = Bounds(start, bounds.end)
            recovery.todo += bounds.end - start
    async for drained in changelogs.drain(starts):
        recovery = by_partition[drained.partition]
        for begin in range(0, len(drained.records), APPLY_RECORDS_MAX):
            await _apply(recovery, drained.topic, drained.records[begin : begin + APPLY_RECORDS_MAX])
            await asyncio.sleep(0)
    for recovery in recoveries:
        recovery.senseless.refuse()
        _mark_level(recovery, starts)
    return starts


async def _begin_anew(
    recovery: Recovery, read: Mapping[TopicPart, Bounds], changelogs: Changelogs, rebuilds: int
) -> None:
    """Empty a store that has other contacts than the last commit left, unless that is not ours to judge any more."""
    partition, found = recovery.partition, recovery.marks.contacts
    for topic in CHANGELOGS:
        if (await changelogs.bounds(topic, partition)).end != read[topic, partition].end:
            raise FencedError("another process writes this partition since", topic=topic, partition=partition)
    expected = census.contacts_left(recovery.store)
    if rebuilds == REBUILDS_MAX:
        raise StartRefusedError(
            f"the last commit left {expected} contacts, but {Topic.CONTACTS_CHANGELOG} holds {found}: it lost records, "
            "or one changelog was restored without the other. Restore both from one moment, or, to build everything "
            "again from the input log, delete the local state, both changelogs and the group's offsets together",
            topic=Topic.CONTACTS_CHANGELOG,
            partition=partition,
        )
    log.warning("local state missed erasures and is rebuilt", partition=partition, contacts=found, expected=expected)
    await census.empty(recovery.store, recovery.marks)


def read_marks(store: Store) -> rows.Marks:
    """Where a store stands. Errors: `StoreError` if it is not one that this version wrote."""
    row = store.get_many([rows.MARKS_KEY])[0]
    if row is None:
        if store.scan(b"\0", b"\xff", 1):
            raise StoreError("the local state has rows but no marks")
        return rows.EMPTY
    marks = rows.Marks.decode(row)
    if marks is None:
        raise StoreError("the local state has another format")
    return marks


def _start(topic: Topic, recovery: Recovery, bounds: Bounds) -> int:
    """Where to read on. The store must not be ahead of the changelog, nor the changelog begin after the store."""
    stands = recovery.stands[topic]
    if stands > bounds.end:
        raise StartRefusedError(
            f"the local state was built from {topic} through offset {stands}, but committed records end at "
            f"{bounds.end}: the topic was truncated or created anew. Restore the topic, or, to build everything again "
            "from the input log, delete the local state, both changelogs and the consumer group's offsets together",
            topic=topic,
            partition=recovery.partition,
        )
    if stands < bounds.first:
        raise StartRefusedError(
            f"records of {topic} before offset {bounds.first} were deleted, but the local state stands at {stands}: "
            "contacts would be missing. A changelog must be compacted, never deleted from. Restore the topic or a "
            "checkpoint of the local state",
            topic=topic,
            partition=recovery.partition,
        )
    return stands


async def _apply(recovery: Recovery, topic: Topic, records: Sequence[InputRecord]) -> None:
    newest = {record.key: record for record in records if record.key is not None}
    recovery.senseless.replaced(topic, newest)
    batch = rows.CommitRows(recovery.counts)
    if topic is Topic.CONTROL_CHANGELOG:
        await _apply_controls(recovery, batch, newest)
    else:
        contacts = recovery.marks.contacts + await _apply_contacts(recovery, batch, newest)
        recovery.marks = recovery.marks._replace(contacts=contacts, due_from=rows.DUE_START)
    if not recovery.senseless.hold_back(topic):
        recovery.marks = _moved(recovery.marks, topic, records[-1].offset + 1)
    batch.put_counts()
    recovery.unreadable.put(batch.rows)
    batch.rows[rows.MARKS_KEY] = recovery.marks.encode()
    recovery.store.write(batch.rows)
    recovery.records += len(records)


def _moved(marks: rows.Marks, topic: Topic, end: int) -> rows.Marks:
    if topic is Topic.CONTROL_CHANGELOG:
        return marks._replace(control_changelog=end)
    return marks._replace(contacts_changelog=end)


async def _apply_controls(recovery: Recovery, batch: rows.CommitRows, newest: Mapping[bytes, InputRecord]) -> None:
    for number, (key, record) in enumerate(newest.items(), 1):
        if number % CONTROLS_BETWEEN_TURNS == 0:
            await asyncio.sleep(0)
        try:
            if record.value is not None:
                check_control(key, record.value)
        except SENSELESS as error:
            recovery.senseless.add(Topic.CONTROL_CHANGELOG, record, error)
            continue
        batch.rows[rows.control_key(key)] = record.value


async def _apply_contacts(recovery: Recovery, batch: rows.CommitRows, newest: Mapping[bytes, InputRecord]) -> int:
    """Put rows as a commit would have put them, in the order of the contacts; how many contacts there are more.

    Nothing is written yet, so a recovery that is cancelled at a turn leaves the store as it was.
    """
    store = recovery.store
    new = NewContacts()
    more = 0
    ended: list[ContactId] = []
    keys = sorted(newest)
    found = store.get_many([rows.CONTACTS_START + key for key in keys])
    is_watched = recovery.unreadable.is_watching
    for number, (key, old) in enumerate(zip(keys, found, strict=True), 1):
        if number % CONTACTS_BETWEEN_TURNS == 0:
            await asyncio.sleep(0)
        row = newest[key].value
        before = decode_contact(old) if old is not None else None
        try:
            contact_id = ContactId(key.decode())
            if row is not None and old is None and not is_watched:
                new.add(key, row)
                continue
            now = read_contact(row) if row is not None else None
        except SENSELESS as error:
            if row is not None:
                recovery.senseless.add(Topic.CONTACTS_CHANGELOG, newest[key], error)
            continue
        batch.put_contact(key, before, now, row)
        if now is not None:
            recovery.furthest = furthest(recovery.furthest, now.position)
        recovery.unreadable.change(contact_id, attributes_of(before), attributes_of(now))
        more += (now is not None) - (before is not None)
        # Of a contact that was erased and came back, compaction may have left only the present life's row.
        if now is None or (before is not None and before.born != now.born):
            ended.append(contact_id)
    new.put(batch)
    recovery.furthest = furthest(recovery.furthest, new.furthest)
    for _ in history.erasing(batch, ended, store):
        await asyncio.sleep(0)
    return more + len(new)


def _mark_level(recovery: Recovery, starts: Mapping[TopicPart, Bounds]) -> None:
    """The contacts have been read to the end, markers and compacted records included.

    The control changelog's mark stays behind its last record, which must be found there when the store is next opened.
    """
    end = starts[Topic.CONTACTS_CHANGELOG, recovery.partition].end
    if end != recovery.marks.contacts_changelog:
        recovery.marks = recovery.marks._replace(contacts_changelog=end)
        recovery.store.write({rows.MARKS_KEY: recovery.marks.encode()})


class InputStart(NamedTuple):
    """Where a recovered partition reads on, and what the consumer group has committed (None: nothing known)."""

    partition: int
    position: int
    committed: int | None


def check_input(start: InputStart, bounds: Bounds) -> int:
    """Return where to read on, if evaluation can go on at the recovered position without a gap.

    The position was committed in the same transaction as the group's offset, so a group that is ahead says that the
    control changelog lost it. A group that is behind or unknown is no evidence: offsets expire, and people reset them.
    """
    if start.committed is not None and start.committed > start.position:
        raise StartRefusedError(
            f"the consumer group has evaluated {Topic.CONTACT_CHANGES} through offset {start.committed}, but the "
            f"changelogs only through {start.position}: they were deleted or truncated. Restore them, or, to build "
            "everything again from the input log, delete the local state, both changelogs and the group's offsets",
            topic=Topic.CONTROL_CHANGELOG,
            partition=start.partition,
        )
    if start.position > bounds.end:
        raise StartRefusedError(
            f"evaluation stands at offset {start.position}, but the log ends at {bounds.end}: it was truncated or "
            "created anew. Choose a new topic prefix, or restore the topic",
            topic=Topic.CONTACT_CHANGES,
            partition=start.partition,
        )
    if start.position == 0:
        return bounds.first
    if start.position < bounds.first:
        raise StartRefusedError(
            f"evaluation stands at offset {start.position}, but retention has removed everything before "
            f"{bounds.first}: the changes between are lost. Send them again after resetting the partition",
            topic=Topic.CONTACT_CHANGES,
            partition=start.partition,
        )
    return start.position
