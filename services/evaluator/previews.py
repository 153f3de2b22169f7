"""What an expression would match over all contacts of a partition: exact, and repeated quickly while somebody edits.

Rule: every contact is read into columns, in slices between which the worker has its turn: by the first preview, or
before it in spare time (`warming.py`). Previews count on the columns and on what was committed since. An answer that
does not speak of every contact says of how many it does. Nothing is kept beyond its share of memory, nor, where
columns are not kept ready, when nobody has asked for some time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from enum import Enum

from schemas.codec import decode_attributes_and_members
from segmentation.expression.atoms import Member
from segmentation.expression.compiler import CompiledSegment
from segmentation.expression.normal import All, Literal, Normal
from segmentation.model import AttributeName, ContactId, InstantMs, SegmentId
from services.evaluator import rows
from services.evaluator.column_memory import ColumnMemory
from services.evaluator.columns import ContactColumns, Held, Steps, first
from services.evaluator.partition import Partition
from services.evaluator.ports import Store, StoreError

SAMPLE_MAX = 20
SLICE_CONTACTS = 200
"""Contacts read between two turns of the event loop."""
WARM_SLICE_CONTACTS = 50
"""Contacts read at once while nobody waits for them."""
COUNTING_S_MAX = 2.0
"""Counting itself takes so much longer than a caller said that it would wait, at most."""
IDLE_S = 600.0
"""Columns that are not kept ready are given up at the next commit when nobody has asked for this long."""
TRIES_MAX = 20
"""A preview whose columns are given up so often before it has counted reads the contacts for itself."""
TOUCHED_MAX = 50_000
"""With more changed contacts than this waiting, reading everything anew is as quick."""


@dataclass(slots=True)
class Preview:
    """What a segment would hold. `would_enter` and `would_leave` compare with a saved segment's members.

    `counted` is how many of `total` contacts the other numbers speak of.
    """

    matched: int = 0
    counted: int = 0
    total: int = 0
    sample: list[ContactId] = field(default_factory=list)
    would_enter: int = 0
    would_leave: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether it speaks of every contact."""
        return self.counted >= self.total


class Warmed(Enum):
    """How far a partition's columns are after a step in spare time."""

    READY = "ready"
    """Or a preview is at work on them."""
    MORE = "more"
    TOO_LARGE = "too large"


class Previews:
    """The previews of one partition, one at a time."""

    def __init__(
        self, partition: Partition, store: Store, memory: ColumnMemory, monotonic: Callable[[], float]
    ) -> None:
        self._partition = partition
        self._store = store
        self._memory = memory
        self._monotonic = monotonic
        self._columns: ContactColumns | None = None
        self._loading: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._asked_at: float | None = None
        self._barred_until = 0.0
        """Until then columns are not tried again: they were too large."""
        self._is_closed = False
        self._is_kept = False
        """Whether columns are kept ready, also when nobody asks."""

    async def preview(
        self, segment: CompiledSegment, saved: SegmentId | None, patience_s: float | None = None
    ) -> Preview:
        """Evaluate a segment over the partition's contacts, at its clock, without saving anything.

        With `patience_s`, what is counted by then; else everything. Ends early when the partition is given up.
        """
        asked_at = self._asked_at = self._monotonic()
        until = None if patience_s is None else asked_at + patience_s
        segments = segment.references | ({saved} if saved is not None else set())
        tries = TRIES_MAX
        while not self._is_closed:
            columns = self._columns
            if not tries or (columns is None and asked_at < self._barred_until):
                return await self._by_reading(segment, saved, until)
            tries -= 1
            if columns is None:
                columns = self._begin(segment.reads, segments)
            if not columns.is_whole and self._loading is None:
                self._loading = asyncio.create_task(
                    self._load(columns, segment), name=f"columns {self._partition.index}"
                )
            await self._loaded(until)
            if columns is self._columns and not columns.is_whole and columns.lacks(segment.reads):
                break
            try:
                found = await self._by_columns(columns, segment, saved, segments, until)
            except StoreError:
                if self._columns is columns:
                    raise
                continue  # they were given up meanwhile, and the store perhaps with them
            if found is not None:
                return found
        return Preview(total=self._partition.contacts)

    async def _loaded(self, until: float | None) -> None:
        """Wait until the columns are loaded, or until it is time to answer."""
        loading = self._loading
        if loading is not None:
            await asyncio.wait({loading}, timeout=None if until is None else max(0.0, until - self._monotonic()))
            if loading.done() and not loading.cancelled():
                loading.result()

    def close(self) -> None:
        """The partition is given up."""
        self._is_closed = True
        if self._loading is not None:
            self._loading.cancel()
        self._give_up()

    # In spare time

    def warm(self) -> Warmed:
        """One small step towards columns that stand ready, unless a preview is at work on them."""
        self._is_kept = True
        if self._is_closed or self._loading is not None or self._turn.locked():
            return Warmed.READY
        columns = self._columns or self._begin((), ())
        if not columns.is_whole:
            self._load_some(columns, WARM_SLICE_CONTACTS)
        elif columns.touched:
            self._level_some(columns, WARM_SLICE_CONTACTS)
            if columns.is_slack:
                self._give_up()  # reading anew goes in small steps too, compacting does not
                return Warmed.MORE
        elif not columns.prepare():
            return Warmed.READY
        fits = self._memory.hold(self._partition.index, columns.size) and not columns.is_selective
        return Warmed.MORE if fits else Warmed.TOO_LARGE

    def cool(self) -> None:
        """Keep columns ready no more: they go now, or when whoever edits has stopped asking."""
        self._is_kept = False
        if self._loading is None and not self._turn.locked() and self._is_idle():
            self._give_up()

    def _is_idle(self) -> bool:
        return self._asked_at is None or self._monotonic() - self._asked_at > IDLE_S

    # Loading

    def _begin(self, reads: Iterable[AttributeName], segments: Iterable[SegmentId]) -> ContactColumns:
        """Columns without a contact yet."""
        columns = self._columns = ContactColumns(reads, segments)
        self._partition.on_contacts = self._touch
        return columns

    def _load_some(self, columns: ContactColumns, contacts: int) -> None:
        """Read so many more contacts. Nothing else runs between the reading and the taking note of it."""
        start = rows.CONTACTS_START if columns.last is None else rows.after(rows.CONTACTS_START + columns.last)
        chunk = self._store.scan(start, rows.CONTACTS_END, contacts)
        columns.load([key[1:] for key, _ in chunk], [decode_attributes_and_members(row) for _, row in chunk])
        columns.is_whole = len(chunk) < contacts

    async def _load(self, columns: ContactColumns, segment: CompiledSegment) -> None:
        try:
            while not columns.is_whole:
                async with self._turn:
                    if self._columns is not columns:
                        return  # given up by a preview of what was read so far
                    self._load_some(columns, SLICE_CONTACTS)
                    if not self._fits(columns, segment):
                        self._barred_until = self._monotonic() + IDLE_S
                        columns.is_whole = False
                        return
                await asyncio.sleep(0)
        finally:
            if self._columns is columns:
                self._loading = None
                if not columns.is_whole:
                    self._give_up()

    def _fits(self, columns: ContactColumns, segment: CompiledSegment) -> bool:
        index = self._partition.index
        if self._memory.hold(index, columns.size):
            return True
        columns.drop_all_but(segment.reads)
        return self._memory.hold(index, columns.size)

    def _touch(self, contact_ids: Iterable[ContactId]) -> None:
        """These contacts are committed anew."""
        columns = self._columns
        if columns is None:
            return
        columns.touch(contact_ids)
        if self._loading is not None or self._turn.locked():
            return
        if len(columns.touched) > TOUCHED_MAX or (not self._is_kept and self._is_idle()):
            self._give_up()

    def _give_up(self) -> None:
        self._columns = self._loading = None
        self._partition.on_contacts = None
        self._memory.free(self._partition.index)

    # Counting

    async def _by_columns(
        self,
        columns: ContactColumns,
        segment: CompiledSegment,
        saved: SegmentId | None,
        segments: Set[SegmentId],
        until: float | None,
    ) -> Preview | None:
        """None to begin again: the columns were given up, or lack an attribute. Nothing counted if it took too long."""
        async with self._turn:
            if self._columns is not columns:
                return None
            if columns.is_whole:
                await self._level(columns)
                if columns.lacks(segment.reads):
                    self._give_up()  # within the turn: nobody counts on them, and on what is touched meanwhile
                    return None
            columns.keep_members(segments)
            for segment_id in segments:
                if segment_id not in columns.members:
                    columns.members[segment_id] = await self._members(columns, segment_id)
            now, height = self._partition.clock, columns.rows
            masks: list[int] = []
            for _ in _mask(columns, segment.normal, now, height, masks):
                await asyncio.sleep(0)
                if until is not None and self._monotonic() > until + COUNTING_S_MAX:
                    return Preview(total=self._partition.contacts)
            # From here on nothing else runs, so that columns and store are of one moment.
            found = self._count(columns, segment, saved, masks[0], now)
            if not self._memory.hold(self._partition.index, columns.size):
                self._give_up()  # it grew: the next preview reads what fits
            return found

    async def _level(self, columns: ContactColumns) -> None:
        """Bring the rows level with what was committed since."""
        while columns.touched:
            self._level_some(columns, SLICE_CONTACTS)
            await asyncio.sleep(0)
        columns.compact()

    def _level_some(self, columns: ContactColumns, contacts: int) -> None:
        some = [columns.touched.pop() for _ in range(min(contacts, len(columns.touched)))]
        for contact_id, contact in self._read(some):
            columns.fold(contact_id, contact)

    async def _members(self, columns: ContactColumns, segment_id: SegmentId) -> bytearray:
        """Who is in a segment, by row; those who change meanwhile are touched."""
        mask = bytearray(columns.rows)
        prefix = start = rows.listing_prefix(segment_id)
        while chunk := self._store.scan(start, prefix + b"\xff", SLICE_CONTACTS):
            for key, _ in chunk:
                row = columns.row_of(key[len(prefix) :])
                if row is not None:
                    mask[row] = 1
            start = rows.after(chunk[-1][0])
            await asyncio.sleep(0)
        return mask

    def _count(
        self, columns: ContactColumns, segment: CompiledSegment, saved: SegmentId | None, mask: int, now: InstantMs
    ) -> Preview:
        """Count the rows of those who were not touched, and evaluate those who were."""
        valid = bytearray(columns.alive)
        late = list(columns.touched)
        for contact_id in late:
            row = columns.row_of(contact_id.encode())
            if row is not None:
                valid[row] = 0
        rows_valid = int.from_bytes(valid, "little")
        held = mask & rows_valid
        found = Preview(held.bit_count(), rows_valid.bit_count(), self._partition.contacts)
        if saved is not None:
            was = int.from_bytes(columns.members[saved], "little") & rows_valid
            found.would_enter = (held & ~was).bit_count()
            found.would_leave = (was & ~held).bit_count()
        found.sample = columns.sample(held.to_bytes(columns.rows, "little"), SAMPLE_MAX)
        for contact_id, contact in self._read(late):
            if contact is not None:
                _add(found, contact_id, contact, segment, saved, now)
        found.sample = first(found.sample, SAMPLE_MAX)
        if columns.is_whole:
            found.total = found.counted
        return found

    async def _by_reading(self, segment: CompiledSegment, saved: SegmentId | None, until: float | None) -> Preview:
        """Count without columns, one of all who do so at a time. Cost: every contact once."""
        found = Preview()
        now = self._partition.clock
        start = rows.CONTACTS_START
        while True:
            async with self._turn:
                chunk = self._chunk(start)
                for key, row in chunk:
                    _add(found, rows.contact_of(key), decode_attributes_and_members(row), segment, saved, now)
                await asyncio.sleep(0)  # within the turn, or all of them would read between two turns of the loop
            del found.sample[SAMPLE_MAX:]
            if not chunk or (until is not None and self._monotonic() > until + COUNTING_S_MAX):
                break
            start = rows.after(chunk[-1][0])
        is_whole = not chunk and not self._is_closed
        found.total = found.counted if is_whole else max(self._partition.contacts, found.counted + 1)
        return found

    def _chunk(self, start: bytes) -> list[tuple[bytes, bytes]]:
        return [] if self._is_closed else self._store.scan(start, rows.CONTACTS_END, SLICE_CONTACTS)

    def _read(self, contact_ids: list[ContactId]) -> Iterable[tuple[ContactId, Held | None]]:
        found = self._store.get_many([rows.contact_key(contact_id) for contact_id in contact_ids])
        for contact_id, row in zip(contact_ids, found, strict=True):
            yield contact_id, None if row is None else decode_attributes_and_members(row)


def _add(
    found: Preview,
    contact_id: ContactId,
    contact: Held,
    segment: CompiledSegment,
    saved: SegmentId | None,
    now: InstantMs,
) -> None:
    """Evaluate one contact and count it."""
    attributes, members = contact
    holds = segment.holds(attributes, now, members)
    found.counted += 1
    found.matched += holds
    if holds:
        found.sample.append(contact_id)
    if saved is not None:
        was = saved in members
        found.would_enter += holds and not was
        found.would_leave += was and not holds


def _mask(columns: ContactColumns, normal: Normal, now: InstantMs, height: int, into: list[int]) -> Steps:
    """Add to `into` the rows at which a normal form holds, as a number of one byte a row."""
    ones = int.from_bytes(b"\x01" * height, "little")
    if isinstance(normal, Literal):
        held: list[bytes] = []
        atom, positive = normal
        if isinstance(atom, Member):
            held.append(bytes(columns.members[atom.segment_id]))
        elif atom.attribute in columns.columns:
            yield from columns.columns[atom.attribute].mask(atom, now, height, held)
        mask = int.from_bytes(held[0], "little") if held else 0
        into.append(mask if positive else ones ^ mask)
        return
    is_all = isinstance(normal, All)
    together = ones if is_all else 0
    for part in normal.parts:
        masks: list[int] = []
        yield from _mask(columns, part, now, height, masks)
        together = together & masks[0] if is_all else together | masks[0]
        yield
    into.append(together)
