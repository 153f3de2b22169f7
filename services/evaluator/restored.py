"""What a partition's store holds when its owner starts: the state as of the last commit that reached it.

Rule: reads only. That the store is intact and level with the changelogs was settled by recovery before.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.control_rows import CLOCK_KEY, CURSOR_KEY, ClockRow, CursorRow, DefinitionRow, is_definition_key
from segmentation.definitions import BackfillCursor, DefinitionLog, PlacedDefinition
from segmentation.model import CatalogueSeq, ContactId, InstantMs, Offset, SegmentId
from services.evaluator import rows
from services.evaluator.definitions import UnusableDefinition, compile_definition
from services.evaluator.ports import Store, StoreError
from services.evaluator.unreadable import UnreadableValues

SCAN_ROWS_MAX = 1_000


@dataclass(slots=True)
class RestoredPartition:
    """Where a partition goes on."""

    marks: rows.Marks
    clock: InstantMs
    definitions: DefinitionLog
    backfilled: int
    """Contacts that the backfill under way has reached."""
    counts: dict[SegmentId, rows.Count]
    unreadable: UnreadableValues
    failed: set[int]
    """Offsets of records at which evaluation failed before."""


def restore(store: Store) -> RestoredPartition:
    """Read a recovered store."""
    (marks_row,) = store.get_many([rows.MARKS_KEY])
    marks = rows.Marks.decode(marks_row) if marks_row is not None else rows.EMPTY
    if marks is None:
        raise StoreError("the local state has another format than this version writes")
    clock = ClockRow(clock=InstantMs(0), offset=0)
    cursor = CursorRow(passed=0)
    placed: list[PlacedDefinition] = []
    for key, value in scan_all(store, rows.CONTROLS_START, rows.CONTROLS_END):
        if key[1:] == CLOCK_KEY:
            clock = ClockRow.decode(value)
        elif key[1:] == CURSOR_KEY:
            cursor = CursorRow.decode(value)
        elif is_definition_key(key[1:]):
            placed.append(_placed(DefinitionRow.decode(value)))
    counts = {
        SegmentId(key[1:].decode()): rows.Count.decode(value)
        for key, value in scan_all(store, rows.COUNTS_START, rows.COUNTS_END)
    }
    definitions = DefinitionLog.restore(placed, CatalogueSeq(cursor.passed), _backfill_cursor(cursor))
    unreadable = UnreadableValues.stored(scan_all(store, rows.UNREADABLE_START, rows.UNREADABLE_END))
    unreadable.restore(definitions.catalogue.segments.values())
    return RestoredPartition(
        marks._replace(input=clock.offset),
        clock.clock,
        definitions,
        cursor.reached or 0,
        counts,
        unreadable,
        {rows.failed_record_of(key) for key, _ in scan_all(store, rows.FAILED_RECORDS_START, rows.FAILED_RECORDS_END)},
    )


def scan_all(store: Store, start: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
    """Every row of a range that is known to be small."""
    found: list[tuple[bytes, bytes]] = []
    while chunk := store.scan(start, end, SCAN_ROWS_MAX):
        found.extend(chunk)
        start = rows.after(chunk[-1][0])
    return found


def _placed(row: DefinitionRow) -> PlacedDefinition:
    compiled = compile_definition(row.definition)
    if isinstance(compiled, UnusableDefinition):
        raise AssertionError(f"a placed definition cannot be compiled any more: {compiled.message}")
    return PlacedDefinition(CatalogueSeq(row.seq), row.clock, Offset(row.offset), compiled)


def _backfill_cursor(row: CursorRow) -> BackfillCursor | None:
    if row.target is None or row.after is None:
        return None
    return BackfillCursor(CatalogueSeq(row.target), ContactId(row.after))
