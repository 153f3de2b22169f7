"""Makes deliveries of records: all changes of one contact at one version that a webhook wants, as one request.

Rule: what is made is a function of the records alone, so a repeated delivery has the same id and the same bytes. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from schemas.membership_change import MembershipChangeRecord


class Read(NamedTuple):
    """One record of `memberships`. A tombstone has no change."""

    offset: int
    change: MembershipChangeRecord | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request to make. `first_offset` is where reading must resume if it was not made."""

    id: str
    contact_id: str
    body: bytes
    first_offset: int

    @property
    def failure_id(self) -> str:
        """Short enough for a path, and the same whenever the same delivery fails."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Batch:
    """The deliveries in some records of a partition, and where to read on."""

    deliveries: tuple[Delivery, ...]
    resume_at: int


def batch(records: Sequence[Read], segments: Collection[str] | None) -> Batch:
    """Group records of one partition. A group that may go on behind the last record is left for the next reading.

    Shape: `records` in order and not empty.
    """
    groups = list(_groups(records))
    end = records[-1].offset + 1
    last = groups[-1] if groups else []
    if len(groups) > 1 and last[-1].change is records[-1].change and not _is_complete(last):
        groups.pop()
        end = last[0].offset
    made = (_delivery(group, segments) for group in groups)
    return Batch(tuple(delivery for delivery in made if delivery is not None), end)


def _groups(records: Iterable[Read]) -> Iterator[list[Read]]:
    group: list[Read] = []
    for record in records:
        if record.change is None:
            continue
        if group and _cause(group[0]) != _cause(record):
            yield group
            group = []
        group.append(record)
    if group:
        yield group


def _cause(record: Read) -> tuple[str, int, int] | None:
    change = record.change
    return None if change is None else (change.contact_id, change.at, change.offset)


def _is_complete(group: Sequence[Read]) -> bool:
    change = group[-1].change
    return change is not None and change.cause.index == change.cause.count - 1


def _delivery(group: Sequence[Read], segments: Collection[str] | None) -> Delivery | None:
    changes = [record.change for record in group if record.change is not None]
    wanted = [change for change in changes if segments is None or change.segment_id in segments]
    if not wanted:
        return None
    first = wanted[0]
    content = {
        "id": first.event_id,
        "contact_id": first.contact_id,
        "at": first.at,
        "offset": first.offset,
        "cause": first.cause.kind.value,
        "changes": [change.model_dump(mode="json") for change in wanted],
    }
    return Delivery(first.event_id, first.contact_id, orjson.dumps(content), group[0].offset)
