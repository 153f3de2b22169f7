"""A workspace's control rows: the clock and the definitions that its partitions agree on, and the rows of new ones.

Rule: new partitions begin after everything that the old ones have seen: their clock is later than every old clock, so
every version that they publish is greater than every version published before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from deploy.workspace.broker import Broker
from deploy.workspace.copying import NO_OFFSET, Placed, Workspace
from deploy.workspace.errors import OperationRefusedError
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
from segmentation.model import InstantMs, SegmentId

NO_CLOCK = InstantMs(0)


@dataclass(slots=True)
class Control:
    """One partition's control rows. `definitions` is the newest of each segment, deleted ones included."""

    clock: InstantMs = NO_CLOCK
    passed: int = 0
    newest: int = 0
    definitions: dict[SegmentId, DefinitionRow] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Whether every contact has passed every definition."""
        return self.newest <= self.passed

    @property
    def versions(self) -> dict[SegmentId, int]:
        """Which version of each segment is in force."""
        return {segment_id: row.definition.version for segment_id, row in self.definitions.items()}


async def read_control(broker: Broker, workspace: Workspace) -> dict[int, Control]:
    """Every partition's control rows as they stand. Errors: `OperationRefusedError`."""
    name = workspace.name(Topic.CONTROL_CHANGELOG)
    rows: dict[int, dict[bytes, bytes]] = {partition: {} for partition in range(workspace.partitions)}
    async for partition, records, _ in broker.read(name, dict.fromkeys(rows, 0)):
        for record in records:
            if record.value is None:
                rows[partition].pop(record.key, None)
            else:
                rows[partition][record.key] = record.value
    return {partition: _control(name, partition, found) for partition, found in rows.items()}


def _control(name: str, partition: int, rows: Mapping[bytes, bytes]) -> Control:
    control = Control()
    for key, value in rows.items():
        try:
            _take(control, key, value)
        except ValidationError as error:
            raise OperationRefusedError(
                f"partition {partition} of {name} holds a record without sense under the key "
                f"{key.decode(errors='replace')!r} ({error.errors(include_url=False)[0]['msg']}), which somebody else "
                "wrote: no evaluator could start from it. Write there what it held before, and repeat"
            ) from error
    return control


def _take(control: Control, key: bytes, value: bytes) -> None:
    if key == CLOCK_KEY:
        control.clock = ClockRow.decode(value).clock
    elif key == CURSOR_KEY:
        control.passed = CursorRow.decode(value).passed
    elif is_definition_key(key):
        row = DefinitionRow.decode(value)
        control.newest = max(control.newest, row.seq)
        known = control.definitions.get(row.definition.segment_id)
        if known is None or known.seq < row.seq:
            control.definitions[row.definition.segment_id] = row


def new_rows(controls: Mapping[int, Control], partitions: int) -> Iterator[Placed]:
    """The control rows of `partitions` new partitions, before the first record of their logs."""
    definitions = sorted(controls[min(controls)].definitions.values(), key=lambda row: row.seq)
    clock = InstantMs(max(control.clock for control in controls.values()) + 1)
    rows = [
        (CLOCK_KEY, ClockRow(clock=clock, offset=0).encode()),
        (CURSOR_KEY, CursorRow(passed=len(definitions)).encode()),
    ]
    for seq, row in enumerate(definitions, 1):
        definition = row.definition
        placed = row.model_copy(update={"seq": seq, "offset": NO_OFFSET})
        rows.append((definition_key(definition.segment_id, definition.version), placed.encode()))
    for partition in range(partitions):
        for key, value in rows:
            yield Placed(partition, key, value)
