"""A partition's contacts by column, so that an expression is counted over all of them without reading them again.

Rule: a contact either stands in its row as it was last committed, or is in `touched` and must be read from the store;
so an answer put together from both is exact. Values are only coded here; what they mean is asked of the core, once a
distinct value and test. It keeps no attribute that was not read, and is never written to disk.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import cast

import orjson

from segmentation.expression.atoms import AtLeast, AttributeAtom, Below, Reading, Substring
from segmentation.expression.compiler import truth_of
from segmentation.expression.normal import Literal
from segmentation.expression.syntax import TextMatchKind
from segmentation.model import AttributeName, Attributes, ContactId, InstantMs, SegmentId, Value
from segmentation.values import fold, read_instant

BYTE_VALUES = 256
NARROW_CODES = BYTE_VALUES
"""A column with no more codes holds each in a byte."""
INTERNED_VALUES_MAX = 65_536
"""A column with more distinct values than this is not searched for a repeated one any more."""
COMPACT_SLACK_VALUES = 65_536
VALUES_PER_STEP = 500
ROWS_PER_STEP = 20_000
PREPARED_VALUES_MIN = 2_000
"""A column with fewer distinct values is read as soon as it is asked for."""
COLUMNS_MAX = 200
"""Attributes that nobody asked for are kept up to this many columns."""
TABLES_MAX = 32
"""Tests whose truth by value a column remembers; the one that was made first goes first."""
SEGMENTS_MAX = 32
"""Segments whose members are remembered by row besides those asked for; the one not asked for longest goes first."""
VALUE_BYTES = 90
"""About what a distinct value costs beside its characters."""
ROW_BYTES = 96
"""About what a contact costs beside its columns: its id and its place."""
TOUCHED_BYTES = 128
"""About what it costs to remember that a contact was touched."""
_UNREADABLE = (1 << 62) - 1

Steps = Iterator[None]
"""Work in bounded steps: whoever runs it lets others have a turn between two."""
Held = tuple[Attributes, Mapping[SegmentId, InstantMs]]
"""A contact as columns see it: its attributes, and the segments it is in."""


class Column:
    """The values of one attribute by row. A code stands for one value for ever; code 0 is missing."""

    __slots__ = ("_folded", "_instants", "_known", "_odd", "_readable", "_tables", "_text", "codes", "size", "values")

    def __init__(self) -> None:
        self.values: list[Value | None] = [None]
        self.codes: bytearray | array[int] = bytearray()
        self.size = 0
        """About how many bytes it holds."""
        self._known: dict[str | bytes, int] | None = {}
        self._tables: dict[AttributeAtom, bytearray] = {}
        self._instants = array("q", [_UNREADABLE])
        self._readable = bytearray(1)
        self._folded = [""]
        self._odd: list[int] = []
        """Codes of what is not text, whose place in `_folded` is empty."""
        self._text: str | None = None
        """The first text among the values."""

    def extend(self, values: Iterable[Value | None]) -> None:
        """Set the values of the rows that follow."""
        codes: list[int] = []
        known = self._known
        for value in values:
            if value is None:
                codes.append(0)
                continue
            code = known.get(value) if known is not None and value.__class__ is str else None
            codes.append(self._code_of(value) if code is None else code)
        self.codes.extend(codes)

    def put(self, row: int, value: Value | None) -> None:
        """Set a row's value. Rows between the last one and this have none."""
        code = 0 if value is None else self._code_of(value)
        codes = self.codes
        if row >= len(codes):
            self.pad(row)
            self.codes.append(code)
        else:
            codes[row] = code

    def pad(self, rows: int) -> None:
        """Have at least this many rows."""
        lacking = rows - len(self.codes)
        if lacking > 0:
            self.codes.extend(bytes(lacking) if isinstance(self.codes, bytearray) else array("I", bytes(4 * lacking)))

    def _code_of(self, value: Value) -> int:
        known = self._known
        # Copied, because what orjson returns keeps the kilobytes that it was written into.
        key: str | bytes = value if isinstance(value, str) else memoryview(orjson.dumps(value)).tobytes()
        if known is not None:
            code = known.get(key)
            if code is not None:
                return code
        code = len(self.values)
        self.values.append(value)
        self.size += VALUE_BYTES + len(key)
        if self._text is None and isinstance(value, str):
            self._text = value
        if known is not None:
            known[key] = code
            if code >= INTERNED_VALUES_MAX:
                self._known = None
        if code == NARROW_CODES:
            self.codes = array("I", list(self.codes))
        return code

    @property
    def is_slack(self) -> bool:
        """Whether most values are of rows that have another one now."""
        return len(self.values) > 2 * len(self.codes) + COMPACT_SLACK_VALUES

    def compacted(self) -> Column:
        """The same column without the values that no row has any more."""
        column = Column()
        for row, code in enumerate(self.codes):
            column.put(row, self.values[code])
        return column

    def mask(self, atom: AttributeAtom, now: InstantMs, rows: int, into: list[bytes]) -> Steps:
        """Add to `into` one byte a row: 1 where the atom holds."""
        self.pad(rows)
        if isinstance(atom, AtLeast | Below) and atom.scale is Reading.AGE:
            yield from self._read_instants()
            table: bytes | bytearray = self._by_age(atom, now)
        else:
            yield from self._search(atom) if isinstance(atom, Substring) and not atom.exact else self._extend(atom)
            table = self._tables[atom]
        codes = self.codes
        if isinstance(codes, bytearray):
            into.append(bytes(codes.translate(bytes(table) + bytes(BYTE_VALUES - len(table)))))
            return
        parts = []
        for start in range(0, rows, ROWS_PER_STEP):
            parts.append(bytes(map(table.__getitem__, codes[start : start + ROWS_PER_STEP])))
            yield
        into.append(b"".join(parts))

    def prepare(self) -> bool:
        """One step of reading the values as they will probably be asked for; False when there was nothing to read."""
        if len(self.values) <= PREPARED_VALUES_MIN or self._text is None:
            return False
        steps = self._fold() if read_instant(self._text) is None else self._read_instants()
        return next(steps, False) is None

    def _fold(self) -> Steps:
        while len(self._folded) < len(self.values):
            start = len(self._folded)
            for code, value in enumerate(self.values[start : start + VALUES_PER_STEP], start):
                if isinstance(value, str):
                    folded = fold(value)
                    # The same object where folding changes nothing, so that it costs no memory.
                    self._folded.append(value if folded == value else folded)
                else:
                    self._folded.append("")
                    self._odd.append(code)
            yield

    def _search(self, atom: Substring) -> Steps:
        """Bring the table of a search level: texts were folded once, everything else is asked for one by one."""
        yield from self._fold()
        table = self._table(atom)
        text, kind = atom.text, atom.kind
        holds, name, nobody = truth_of(Literal(atom, True)), atom.attribute, frozenset[SegmentId]()
        while len(table) < len(self._folded):
            begun = len(table)
            chunk = self._folded[begun : begun + ROWS_PER_STEP]
            if kind is TextMatchKind.CONTAINS:
                table += bytes([text in folded for folded in chunk])
            elif kind is TextMatchKind.STARTS_WITH:
                table += bytes([folded.startswith(text) for folded in chunk])
            else:
                table += bytes([folded.endswith(text) for folded in chunk])
            # In the same step: who asked may not come back for the next, and the table stays as it is then.
            for code in self._odd[bisect_left(self._odd, begun) : bisect_left(self._odd, len(table))]:
                value = self.values[code]
                table[code] = value is not None and holds({name: value}, InstantMs(0), nobody)
            yield

    def _extend(self, atom: AttributeAtom) -> Steps:
        """Bring the atom's table level with the values."""
        table = self._table(atom)
        holds, name, nobody = truth_of(Literal(atom, True)), atom.attribute, frozenset[SegmentId]()
        while len(table) < len(self.values):
            chunk = self.values[len(table) : len(table) + VALUES_PER_STEP]
            table += bytes(holds({name: value}, InstantMs(0), nobody) for value in chunk if value is not None)
            yield

    def _table(self, atom: AttributeAtom) -> bytearray:
        """The truth of an atom by code, as far as it was worked out."""
        table = self._tables.get(atom)
        if table is None:
            if len(self._tables) >= TABLES_MAX:
                del self._tables[next(iter(self._tables))]
            table = self._tables[atom] = bytearray(1)
        return table

    def _read_instants(self) -> Steps:
        while len(self._instants) < len(self.values):
            chunk = self.values[len(self._instants) : len(self._instants) + VALUES_PER_STEP]
            read = [read_instant(value) for value in chunk]
            self._instants.extend(_UNREADABLE if instant is None else instant for instant in read)
            self._readable.extend(instant is not None for instant in read)
            yield

    def _by_age(self, atom: AtLeast | Below, now: InstantMs) -> bytes:
        """The truth by code at `now`: an instant is at least an age old when it is not after `now` minus the age."""
        latest = now - cast("int", atom.cut)
        old = bytes(map(latest.__ge__, self._instants))
        if isinstance(atom, AtLeast):
            return old
        young = int.from_bytes(old, "little") ^ int.from_bytes(self._readable, "little")
        return young.to_bytes(len(old), "little")


class ContactColumns:
    """The rows: those that the scan found, in byte order of their ids, then those that came later."""

    def __init__(self, needed: Iterable[AttributeName], segments: Iterable[SegmentId]) -> None:
        self.touched: set[ContactId] = set()
        self.is_whole = False
        self.last: bytes | None = None
        """The id that the scan passed last."""
        self.columns: dict[AttributeName, Column] = {name: Column() for name in needed}
        self.members: dict[SegmentId, bytearray] = {segment_id: bytearray() for segment_id in segments}
        self.is_selective = False
        """Whether some attributes were left out."""
        self.alive = bytearray()
        self.scanned: list[bytes] = []
        self.later: dict[ContactId, int] = {}

    @property
    def rows(self) -> int:
        """How many rows there are, also of contacts that were erased."""
        return len(self.alive)

    @property
    def size(self) -> int:
        """About how many bytes this holds."""
        return (
            ROW_BYTES * self.rows
            + TOUCHED_BYTES * len(self.touched)
            + sum(map(len, self.members.values()))
            + sum(
                column.size + len(column.codes) * (1 if isinstance(column.codes, bytearray) else 4)
                for column in self.columns.values()
            )
        )

    def touch(self, contact_ids: Iterable[ContactId]) -> None:
        """These contacts are committed anew. Those that the scan has yet to meet need no remembering."""
        if self.is_whole:
            self.touched.update(contact_ids)
        elif self.last is not None:
            self.touched.update(contact_id for contact_id in contact_ids if contact_id.encode() <= self.last)

    def load(self, contact_ids: Sequence[bytes], contacts: Sequence[Held]) -> None:
        """Take the next contacts of the scan."""
        if not contacts:
            return
        self.last = contact_ids[-1]
        self.scanned += contact_ids
        found = [attributes for attributes, _ in contacts]
        for name in set().union(*found) - self.columns.keys():
            self._begin(name)
        for name, column in self.columns.items():
            column.pad(self.rows)
            column.extend([attributes.get(name) for attributes in found])
        for segment_id, mask in self.members.items():
            mask.extend([segment_id in members for _, members in contacts])
        self.alive += b"\x01" * len(contacts)

    def prepare(self) -> bool:
        """One step of work that the next preview would wait for; False when there is none."""
        return any(column.prepare() for column in self.columns.values())

    def fold(self, contact_id: ContactId, contact: Held | None) -> None:
        """Bring a touched contact's row level with its committed state. Only when the scan has passed everybody."""
        row = self.row_of(contact_id.encode())
        if row is None:
            if contact is not None:
                self.later[contact_id] = self.rows
                self._append(contact)
            return
        self.alive[row] = contact is not None
        if contact is None:
            return
        attributes, members = contact
        for name, column in self.columns.items():
            column.put(row, attributes.get(name))
        for name in attributes.keys() - self.columns.keys():
            if self._begin(name):
                self.columns[name].put(row, attributes[name])
        for segment_id, mask in self.members.items():
            mask[row] = segment_id in members

    def _append(self, contact: Held) -> None:
        row = self.rows
        attributes, members = contact
        for name, value in attributes.items():
            if name in self.columns or self._begin(name):
                self.columns[name].put(row, value)
        for segment_id, mask in self.members.items():
            mask.append(segment_id in members)
        self.alive.append(1)

    def _begin(self, name: AttributeName) -> bool:
        """Begin a column, if every attribute has been kept so far; whether it was."""
        self.is_selective = self.is_selective or len(self.columns) >= COLUMNS_MAX
        if not self.is_selective:
            self.columns[name] = Column()
        return not self.is_selective

    def lacks(self, reads: Set[AttributeName]) -> bool:
        """Whether one of the attributes was left out."""
        return self.is_selective and not reads <= self.columns.keys()

    def row_of(self, raw_id: bytes) -> int | None:
        """The row of a contact, by its id in UTF-8, also if it was erased; None if it has none."""
        place = bisect_left(self.scanned, raw_id)
        if place < len(self.scanned) and self.scanned[place] == raw_id:
            return place
        return self.later.get(ContactId(raw_id.decode())) if self.later else None

    def keep_members(self, asked: Iterable[SegmentId]) -> None:
        """Note that these segments are asked for, and forget the members of those that nobody has asked for longest."""
        recent = [segment_id for segment_id in asked if segment_id in self.members]
        self.members |= {segment_id: self.members.pop(segment_id) for segment_id in recent}
        others = len(self.members) - len(recent)
        for segment_id in list(self.members)[: max(0, others - SEGMENTS_MAX)]:
            del self.members[segment_id]

    def drop_all_but(self, needed: Iterable[AttributeName]) -> None:
        """Give up the columns that are not needed; they are read anew when they are asked for."""
        for name in self.columns.keys() - set(needed):
            del self.columns[name]
        self.is_selective = True

    @property
    def is_slack(self) -> bool:
        """Whether a column holds mostly values that no row has any more."""
        return any(column.is_slack for column in self.columns.values())

    def compact(self) -> None:
        """Forget values that no row has any more."""
        for name, column in self.columns.items():
            if column.is_slack:
                self.columns[name] = column.compacted()

    def sample(self, mask: bytes, limit: int) -> list[ContactId]:
        """The first contacts in byte order whose row is set."""
        found: list[ContactId] = []
        place = mask.find(1, 0, len(self.scanned))
        while place >= 0 and len(found) < limit:
            found.append(ContactId(self.scanned[place].decode()))
            place = mask.find(1, place + 1, len(self.scanned))
        found += (contact_id for contact_id, row in self.later.items() if mask[row])
        return first(found, limit)


def first(contact_ids: Sequence[ContactId], limit: int) -> list[ContactId]:
    """The first in byte order."""
    return sorted(contact_ids, key=str.encode)[:limit]
