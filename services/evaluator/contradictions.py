"""Rows of a level store that can each be read and cannot all be true, because somebody else wrote one of them.

A catalogue that lacks a place, or a cursor beyond it, would have definitions pass contacts by without a word. Rule: as
with rows without sense, nothing is guessed, and the refusal names a row: a later one of its key makes good for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from schemas.codec import decode_contact
from schemas.control_rows import (
    CLOCK_KEY,
    CURSOR_KEY,
    ClockRow,
    CursorRow,
    DefinitionRow,
    definition_key,
    is_definition_key,
)
from schemas.topics import Topic
from segmentation.model import InstantMs, Offset, Position
from services.evaluator import rows
from services.evaluator.definitions import UnusableDefinition, compile_definition
from services.evaluator.ports import Store
from services.evaluator.restored import SCAN_ROWS_MAX, RestoredPartition, scan_all
from services.evaluator.senseless import senseless_row

COMPILED_BETWEEN_TURNS = 20
"""Some ten milliseconds."""


async def check_controls(partition: int, store: Store) -> None:
    """Compile the definitions of a store and see that they and the cursor go together.

    A few are compiled at a time: heartbeats share the loop, and thousands take seconds. Errors: `StartRefusedError`.
    """
    found = {key[1:]: value for key, value in scan_all(store, rows.CONTROLS_START, rows.CONTROLS_END)}
    definitions: list[DefinitionRow] = []
    for key, value in found.items():
        if not is_definition_key(key):
            continue
        row = DefinitionRow.decode(value)
        compiled = compile_definition(row.definition)
        if isinstance(compiled, UnusableDefinition):
            raise senseless_row(Topic.CONTROL_CHANGELOG, partition, key, compiled.message)
        definitions.append(row)
        if len(definitions) % COMPILED_BETWEEN_TURNS == 0:
            await asyncio.sleep(0)
    clock = ClockRow.decode(found[CLOCK_KEY]) if CLOCK_KEY in found else ClockRow(clock=InstantMs(0), offset=0)
    cursor = CursorRow.decode(found[CURSOR_KEY]) if CURSOR_KEY in found else CursorRow(passed=0)
    definitions.sort(key=lambda row: row.seq)
    for key, why in _contradictions(definitions, clock, cursor):
        raise senseless_row(Topic.CONTROL_CHANGELOG, partition, key, why)


def _contradictions(
    definitions: Sequence[DefinitionRow], clock: ClockRow, cursor: CursorRow
) -> Iterator[tuple[bytes, str]]:
    """Keys of control rows, and why each cannot be. `definitions` are in the order of their places."""
    before = 0
    for row in definitions:
        key = definition_key(row.definition.segment_id, row.definition.version)
        if row.offset >= clock.offset or row.clock > clock.clock:
            yield key, f"it took effect at {_at(row)}, but the key 'clock' says that evaluation is at {_at(clock)}"
        if row.seq == before or row.seq > max(before, cursor.passed) + 1:
            yield key, f"it is definition {row.seq}, behind definition {before}"
        before = row.seq
    if max(cursor.passed, cursor.target or 0) > before:
        yield CURSOR_KEY, f"it tells of definition {max(cursor.passed, cursor.target or 0)}, but there are {before}"
    if cursor.target is not None and cursor.target <= cursor.passed:
        yield CURSOR_KEY, f"it has passed definition {cursor.passed} and is on its way to {cursor.target}"


def _at(row: DefinitionRow | ClockRow) -> str:
    return f"offset {row.offset} and {row.clock} ms"


def check_members(partition: int, store: Store, restored: RestoredPartition) -> None:
    """See that nobody is in a segment that there is not. Errors: `StartRefusedError`.

    Cost: nothing is looked up of a segment that everybody has left, whose listing may be marks of deleted rows alone.
    """
    inhabited = {segment_id for segment_id, count in restored.counts.items() if count.members}
    for segment_id in sorted(inhabited - restored.definitions.segment_ids()):
        prefix = rows.listing_prefix(segment_id)
        for key, _ in store.scan(prefix, prefix + b"\xff", 1):
            why = f"it is in segment {segment_id}, which is not defined"
            raise senseless_row(Topic.CONTACTS_CHANGELOG, partition, key[len(prefix) :], why)


async def check_positions(partition: int, store: Store, restored: RestoredPartition, furthest: Position) -> None:
    """See that no contact is ahead of its partition: what it seems to have seen would pass it by without a word.

    `furthest` is through where one of the contacts that were read has been evaluated at the most. Cost: nothing is
    looked up where that is not ahead, else every contact. Errors: `StartRefusedError`.
    """
    stands = Position(restored.clock, Offset(restored.marks.input), restored.definitions.seq)
    if not _is_ahead(furthest, stands):
        return
    start = rows.CONTACTS_START
    while chunk := store.scan(start, rows.CONTACTS_END, SCAN_ROWS_MAX):
        for key, row in chunk:
            position = decode_contact(row).position
            if _is_ahead(position, stands):
                why = f"it has been evaluated through {_told(position)}, but its partition is at {_told(stands)}"
                raise senseless_row(Topic.CONTACTS_CHANGELOG, partition, key[len(rows.CONTACTS_START) :], why)
        start = rows.after(chunk[-1][0])
        await asyncio.sleep(0)


def _is_ahead(position: Position, stands: Position) -> bool:
    """Whether what a contact has seen includes what its partition has not. The partition's offset is the next."""
    return position.offset >= stands.offset or position.clock > stands.clock or position.seq > stands.seq


def _told(position: Position) -> str:
    return f"offset {position.offset}, {position.clock} ms and definition {position.seq}"
