"""`control-changelog`: a partition's clock, the definitions placed in its log, and how far its backfill has come.

Shape: keys are `clock`, `segment|<segment id>|<version>` and `cursor`. A definition that every contact has passed and
that was replaced becomes a tombstone. The last record of each transaction has the header `wrote`: by topic, an offset
before which the transaction has no records, and how many it has; none where the offset is an earlier transaction's.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.record import Record, WireInstant
from schemas.segment_definition import SegmentDefinitionRecord
from segmentation.model import SegmentId

CLOCK_KEY = b"clock"
CURSOR_KEY = b"cursor"
_DEFINITION_PREFIX = b"segment|"


class ClockRow(Record):
    """The partition clock before the record at `offset`, the next to read, and how many contacts there are then.

    A row that does not say `contacts` was written by an earlier version, or by a move of the workspace.
    """

    clock: WireInstant
    offset: int
    contacts: Annotated[int, Field(ge=0)] | None = None


class DefinitionRow(Record):
    """The `seq`-th accepted definition of the partition, placed at (clock, offset) of its log."""

    seq: Annotated[int, Field(ge=1)]
    clock: WireInstant
    offset: int
    definition: SegmentDefinitionRecord


class CursorRow(Record):
    """Every contact has passed the definitions through `passed`.

    While a scan runs, `target` is the definition it brings contacts through, `after` the last contact reached, and
    `reached` how many were. A row that does not say `reached` was written by an earlier version.
    """

    passed: Annotated[int, Field(ge=0)]
    target: int | None = None
    after: str | None = None
    reached: Annotated[int, Field(ge=0)] | None = None


def definition_key(segment_id: SegmentId, version: int) -> bytes:
    """The key of a definition's row."""
    return b"%s%s|%d" % (_DEFINITION_PREFIX, segment_id.encode(), version)


def is_definition_key(key: bytes) -> bool:
    """Whether a row's key is a definition's."""
    return key.startswith(_DEFINITION_PREFIX)
