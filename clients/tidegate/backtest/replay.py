"""Runs past writes through the core: writes at their instants, and every deadline at its exact one, in time's order.

Rule: it decides nothing. `decide` does, with the definitions in force from before the first row; the present moves only
with the rows and, at the end, to the instant asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from types import MappingProxyType
from typing import Final

from segmentation.decide import CatchUp, Command, Write, decide
from segmentation.definitions import DefinitionLog
from segmentation.expression.compiler import CompiledSegment
from segmentation.model import Change, ContactId, ContactState, InstantMs, Offset
from segmentation.values import INSTANT_MIN_MS
from tidegate.backtest.history import HistoryRow
from tidegate.backtest.refused import BacktestRefusedError

CONTACTS_MAX: Final = 5_000_000
"""Contacts whose state is held in memory, about a kilobyte each."""
BEFORE_ALL: Final = Offset(-1)
STALE_SHARE_MAX: Final = 4
"""Deadlines noted a contact before those that no longer hold are swept out."""
NOTED_MIN: Final = 10_000


class Replay:
    """The contacts as of the present, which is the instant of the last row taken."""

    def __init__(self, segments: Sequence[CompiledSegment]) -> None:
        self._contacts: dict[ContactId, ContactState] = {}
        self._due: list[tuple[InstantMs, ContactId]] = []
        self._definitions = DefinitionLog()
        for segment in segments:
            self._definitions.place(segment, INSTANT_MIN_MS, BEFORE_ALL)
        if self._definitions.begin_backfill() is not None:
            self._definitions.finish_backfill()
        self.first: InstantMs | None = None
        self.now: InstantMs | None = None
        self.rows = 0

    @property
    def contacts(self) -> Mapping[ContactId, ContactState]:
        """Every contact as it stands."""
        return MappingProxyType(self._contacts)

    def changes(self, rows: Iterable[HistoryRow], until: InstantMs | None = None) -> Iterator[Change]:
        """Every membership change, in the order of time; the offset in a version is the number of the row behind it.

        Shape: rows in the order of time. Rows at or after `until` are not taken; deadlines through `until` fire.
        """
        for row in rows:
            if until is not None and row.at >= until:
                break
            yield from self._fire_through(row.at)
            self.first = row.at if self.first is None else self.first
            self.now = row.at
            self.rows += 1
            yield from self._decided(Write(row.contact_id, row.changes, row.at, Offset(row.number)))
        if until is not None and self.now is not None:
            self.now = until
            yield from self._fire_through(until)

    def _fire_through(self, instant: InstantMs) -> Iterator[Change]:
        while self._due and self._due[0][0] <= instant:
            due, contact_id = heappop(self._due)
            if self._contacts[contact_id].due == due:
                yield from self._decided(CatchUp(contact_id, due))

    def _decided(self, command: Command) -> Iterator[Change]:
        contact_id = command.contact_id
        before = self._contacts.get(contact_id)
        decision = decide(before, command, self._definitions)
        after = decision.contact
        if after is None:
            raise AssertionError(f"{contact_id} is gone, but nothing here erases")
        if before is None and len(self._contacts) == CONTACTS_MAX:
            raise BacktestRefusedError(
                f"the history has more than {CONTACTS_MAX:,} contacts; take a sample of the contacts"
            )
        self._contacts[contact_id] = after
        if after.due is not None and (before is None or before.due != after.due):
            self._note(after.due, contact_id)
        for event in decision.events:
            if not isinstance(event, Change):
                raise AssertionError(f"{event} erases, but nothing here is erased")
            yield event

    def _note(self, due: InstantMs, contact_id: ContactId) -> None:
        heappush(self._due, (due, contact_id))
        if len(self._due) > STALE_SHARE_MAX * len(self._contacts) + NOTED_MIN:
            self._due = [(state.due, each) for each, state in self._contacts.items() if state.due is not None]
            heapify(self._due)
