"""`evaluator-status`: what evaluators say about themselves, one record per partition and per (segment, partition).

Shape: keys are `partition|<n>` and `segment|<segment id>|<n>`. Rule: for people and routing only; nothing here takes
part in evaluation, and a reader must expect it to be a moment old. A tombstone says that the segment is deleted.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from schemas.record import Record, WireAttributeName, WireInstant, WireSegmentId, WireValue
from segmentation.model import SegmentId


class PartitionState(StrEnum):
    """Whether a partition's reads can be served."""

    RECOVERING = "recovering"
    READY = "ready"
    STOPPED = "stopped"


class PartitionStatusRecord(Record):
    """One partition as its owner sees it."""

    kind: Literal["partition"] = "partition"
    partition: Annotated[int, Field(ge=0)]
    owner: str = Field(description="Address of the owner's read API, for example http://10.0.0.7:8082.")
    state: Annotated[PartitionState, Field(strict=False)]
    reported_at: WireInstant
    clock: WireInstant | None = None
    offset: int | None = Field(default=None, description="The last record evaluated.")
    lag_records: int = 0
    lag_ms: int = 0
    deadline_lateness_ms: int = Field(
        default=0, description="By how much the clock is past the earliest deadline that has not fired."
    )
    contacts: int = 0
    dead_letters: int = 0
    recovered_percent: float = 100.0


class UnreadableAttribute(Record):
    """Values of an attribute that a segment's tests cannot read as they ask, with one sample."""

    attribute: WireAttributeName
    reading: str = Field(default="", description="As what the value is asked for, for example `number`.")
    count: int = Field(description="Contacts; while settling, those found so far.")
    sample: WireValue | None = Field(default=None, description="The beginning of one such value.")
    settling: bool = Field(default=False, description="Not every contact has been looked at yet.")


class SegmentStatusRecord(Record):
    """One segment in one partition."""

    kind: Literal["segment"] = "segment"
    segment_id: WireSegmentId
    partition: Annotated[int, Field(ge=0)]
    version: int
    reported_at: WireInstant
    members: int = 0
    entered: int = Field(default=0, description="Enters since the owner started.")
    exited: int = Field(default=0, description="Exits since the owner started.")
    settling: bool = False
    settled_percent: float = 100.0
    settles_at: WireInstant | None = Field(default=None, description="When the backfill is expected to end.")
    unreadable: list[UnreadableAttribute] = Field(default_factory=list)


_STATUS: TypeAdapter[PartitionStatusRecord | SegmentStatusRecord] = TypeAdapter(
    Annotated[PartitionStatusRecord | SegmentStatusRecord, Field(discriminator="kind")]
)


def partition_status_key(partition: int) -> bytes:
    """The record key of a partition's status."""
    return b"partition|%d" % partition


def segment_status_key(segment_id: SegmentId, partition: int) -> bytes:
    """The record key of a segment's status in a partition."""
    return f"segment|{segment_id}|{partition}".encode()


def decode_status(value: bytes) -> PartitionStatusRecord | SegmentStatusRecord:
    """Read either kind. Errors: pydantic's ValidationError."""
    return _STATUS.validate_json(value)
