"""The words of the domain as types: ids, values, positions, contact state, changes and definitions.

Rule: plain data only. Nothing here decides, parses or performs I/O; `decide.py` decides, and a decision is a new state
beside the records that say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, NewType

ContactId = NewType("ContactId", str)
SegmentId = NewType("SegmentId", str)
AttributeName = NewType("AttributeName", str)
InstantMs = NewType("InstantMs", int)
"""Epoch milliseconds, UTC."""
Offset = NewType("Offset", int)
CatalogueSeq = NewType("CatalogueSeq", int)
"""How many accepted definitions a partition's log held at a point: 0 before the first."""

Scalar = str | int | float | bool
Value = Scalar | list[Scalar]
"""A stored value. Missing is absence from the mapping, never `None`; `""` and `[]` are values."""
Attributes = Mapping[AttributeName, Value]
"""One contact's flat attributes: dotted names, no nested objects."""
AttributeChanges = Mapping[AttributeName, Value | None]
"""What a write sets; `None` removes. An absent attribute is kept."""

DEADLINE_OFFSET = Offset(-1)
"""The offset in the version of a change that time caused: no record caused it."""
UNKNOWN_BIRTH = Offset(-1)
"""Of contacts that were recorded before births were."""


class Version(NamedTuple):
    """(at, offset) of a membership change: a pure function of the partition's log, growing per (segment, contact)."""

    at: InstantMs
    offset: Offset


class Position(NamedTuple):
    """Through where in its partition's log a contact has been evaluated. Ordered by the log."""

    clock: InstantMs
    offset: Offset
    seq: CatalogueSeq


class ChangeKind(StrEnum):
    """The two membership changes."""

    ENTER = "enter"
    EXIT = "exit"


class CauseKind(StrEnum):
    """What made a membership change."""

    WRITE = "write"
    TIME = "time"
    DEFINITION = "definition"
    DELETE = "delete"


class SegmentState(StrEnum):
    """What a definition asks for.

    A paused segment keeps its members as they are and emits nothing until it is active again, when every contact is
    evaluated at the position of the resuming definition. A deleted one exits its members, then leaves no trace.
    """

    ACTIVE = "active"
    PAUSED = "paused"
    DELETED = "deleted"


ORIGIN = Position(InstantMs(0), Offset(-1), CatalogueSeq(0))
"""Before the first record of a log."""


@dataclass(slots=True)
class ContactState:
    """One contact as of `position`. Never changed in place: a decision makes a new one.

    Shape: `members` maps each segment the contact is in to the instant it entered; `left` holds the segments it was in
    before (their keys still stand in the memberships topic, so erasure must reach them). The two are disjoint.
    `due` is the next instant at which a time condition of an active segment could flip unaided, or None. `born` is the
    offset of the write that made it exist: a contact that was erased and came back is told by it from its former life.
    """

    attributes: dict[AttributeName, Value] = field(default_factory=dict)
    members: dict[SegmentId, InstantMs] = field(default_factory=dict)
    left: set[SegmentId] = field(default_factory=set)
    position: Position = ORIGIN
    due: InstantMs | None = None
    born: Offset = UNKNOWN_BIRTH


class Change(NamedTuple):
    """One membership change of one contact. `index` of `count` among the changes of that contact at that version."""

    segment_id: SegmentId
    segment_version: int
    contact_id: ContactId
    kind: ChangeKind
    version: Version
    cause: CauseKind
    index: int  # type: ignore[assignment]  # the wire's own names; they hide
    count: int  # type: ignore[assignment]  # tuple methods that nobody needs


class Erasure(NamedTuple):
    """The (segment, contact) key must become a tombstone: the contact or the segment is gone. Follows the exit."""

    segment_id: SegmentId
    contact_id: ContactId
