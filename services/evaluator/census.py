"""Whether a recovered store holds as many contacts as the last commit left, and how one that does not is emptied.

The broker drops the tombstone of an erased contact in time, by its own clock; a disk that has not read it by then would
keep the contact. What a changelog may lose are tombstones alone, so such a disk holds more contacts and never others in
their place: the number says it, whatever any clock says. Rule: an emptied store is trusted again only when it is empty.
"""

from __future__ import annotations

import asyncio

from schemas.control_rows import CLOCK_KEY, ClockRow
from segmentation.model import InstantMs
from services.evaluator import rows
from services.evaluator.ports import Store

DELETE_ROWS_MAX = 1_000
"""Rows deleted between two turns of the event loop."""
DOOMED = rows.EMPTY._replace(written=InstantMs(1))
"""Marks so old that whoever opens the store deletes it: it stands while some rows are gone already."""


def contacts_left(store: Store) -> int | None:
    """How many contacts the last commit left, as it said itself; None if it did not."""
    row = store.get_many([rows.control_key(CLOCK_KEY)])[0]
    return ClockRow.decode(row).contacts if row is not None else None


async def empty(store: Store, marks: rows.Marks) -> None:
    """Delete every row. Where this ends half-way, the next start deletes the store."""
    store.write({rows.MARKS_KEY: DOOMED.encode()})
    start = b"\0"
    while found := store.scan(start, b"\xff", DELETE_ROWS_MAX):
        store.write({key: None for key, _ in found if key != rows.MARKS_KEY})
        start = rows.after(found[-1][0])
        await asyncio.sleep(0)
    store.write({rows.MARKS_KEY: rows.EMPTY._replace(written=marks.written).encode()})
