"""Run a timeline of inputs through the pure core as a partition would, with the backfill as eager or as lazy as asked.

The worker adds I/O to this and nothing else; so whatever the laziness, the changes of a contact must be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from segmentation.attributes import AttributeCatalogue
from segmentation.decide import CatchUp, Command, Delete, Write, decide
from segmentation.definitions import DefinitionLog
from segmentation.errors import Rejection
from segmentation.expression.compiler import compile_segment
from segmentation.expression.parser import parse_text
from segmentation.model import (
    ORIGIN,
    Change,
    ContactId,
    ContactState,
    Erasure,
    InstantMs,
    Offset,
    SegmentId,
    SegmentState,
)


def instant(text: str) -> InstantMs:
    """Epoch milliseconds of an ISO 8601 text; UTC where it names no zone."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return InstantMs(round(moment.timestamp() * 1000))


@dataclass
class Partition:
    """One partition's contacts and definitions. `lazy`: contacts are brought along only when touched, or at the end."""

    lazy: bool
    definitions: DefinitionLog = field(default_factory=DefinitionLog)
    contacts: dict[ContactId, ContactState] = field(default_factory=dict)
    events: list[Change | Erasure] = field(default_factory=list)
    clock: InstantMs = ORIGIN.clock
    offset: Offset = ORIGIN.offset

    @property
    def changes(self) -> list[Change]:
        """The membership changes so far, in order."""
        return [event for event in self.events if isinstance(event, Change)]

    @property
    def erasures(self) -> list[Erasure]:
        """The tombstones so far, in order."""
        return [event for event in self.events if isinstance(event, Erasure)]

    def step(self, step: dict[str, Any]) -> None:
        """Append one record to the log and process it."""
        self.clock = max(self.clock, instant(step["at"]))
        self.offset = Offset(self.offset + 1)
        if "define" in step:
            self._define(step["define"])
        elif "write" in step:
            write = step["write"]
            changes = {name: None if value == "<remove>" else value for name, value in write["attributes"].items()}
            self.apply(Write(ContactId(write["id"]), changes, self.clock, self.offset))
        elif "delete" in step:
            self.apply(Delete(ContactId(step["delete"]), self.clock, self.offset))
        if not self.lazy:
            self.settle()

    def _define(self, row: dict[str, Any]) -> None:
        expression = parse_text(row["where"], AttributeCatalogue.empty())
        assert not isinstance(expression, Rejection), expression
        state = SegmentState(row.get("state", "active"))
        segment = compile_segment(SegmentId(row["id"]), row.get("version", 1), state, expression)
        self.definitions.place(segment, self.clock, self.offset)

    def apply(self, command: Command) -> None:
        """Decide and take the outcome as the new state."""
        contact_id = command.contact_id
        decision = decide(self.contacts.get(contact_id), command, self.definitions)
        self.events += decision.events
        if decision.contact is not None:
            if decision.contact_changed:
                self.contacts[contact_id] = decision.contact
        elif decision.contact_changed:
            del self.contacts[contact_id]

    def settle(self) -> None:
        """Fire what is due and run the backfill to its end, saving the cursor after every contact."""
        for contact_id in sorted(self.contacts):
            due = self.contacts[contact_id].due
            if due is not None and due <= self.clock:
                self.apply(CatchUp(contact_id, self.clock))
        while self.definitions.begin_backfill() is not None:
            for contact_id in sorted(self.contacts):
                self.apply(CatchUp(contact_id, self.clock))
                self.definitions.advance_backfill(contact_id)
            self.definitions.finish_backfill()


def shown(changes: Sequence[Change]) -> list[str]:
    """Changes as the case files write them: `enter pro u1 2026-01-01T00:00:00 by write 1/2`."""
    return [
        f"{change.kind} {change.segment_id} {change.contact_id} "
        f"{datetime.fromtimestamp(change.version.at / 1000, UTC).strftime('%Y-%m-%dT%H:%M:%S')}"
        f"{f'.{change.version.at % 1000:03}' if change.version.at % 1000 else ''} by {change.cause}"
        f"{f' {change.index + 1}/{change.count}' if change.count > 1 else ''}"
        for change in changes
    ]
