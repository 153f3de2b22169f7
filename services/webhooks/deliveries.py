"""Makes deliveries of records: all changes of one contact at one version that a webhook wants, as one request.

Rule: what is made is a function of the records alone and not of where a reading ended, so a repeated delivery has the
same id and the same bytes. Of very many changes of one cause each 200 are a delivery. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from schemas.membership_change import MembershipChangeRecord

CHANGES_PER_DELIVERY_MAX: Final = 200
"""Of one cause, counted from its first change."""


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
    """The deliveries in some records of a partition, and where reading must resume once they are made.

    `held` are the last records, from `resume_at` on, whose delivery may have more: they go before what is read next.
    """

    deliveries: tuple[Delivery, ...]
    resume_at: int
    held: tuple[Read, ...] = ()


def batch(records: Sequence[Read], segments: Collection[str] | None, *, at_end: bool = False) -> Batch:
    """Group records of one partition. A group that may go on behind the last record is held back.

    At the end, where nothing follows (`at_end`), what is missing of a group was replaced by something later: it is
    delivered without.
    Shape: `records` in order and not empty. What is held is less than a whole delivery.
    """
    groups = list(_groups(records))
    end = records[-1].offset + 1
    held: Sequence[Read] = ()
    if groups and not at_end and groups[-1][-1] is records[-1] and not _is_complete(records[-1]):
        held = groups.pop()
        end = held[0].offset
    made = (_delivery(group, segments) for group in groups)
    return Batch(tuple(delivery for delivery in made if delivery is not None), end, tuple(held))


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


def _cause(record: Read) -> tuple[str, int, int, int] | None:
    change = record.change
    if change is None:
        return None
    return change.contact_id, change.at, change.offset, change.cause.index // CHANGES_PER_DELIVERY_MAX


def _is_complete(last: Read) -> bool:
    """Whether no change of the same delivery comes behind this one."""
    if last.change is None:
        return True
    cause = last.change.cause
    return cause.index == cause.count - 1 or (cause.index + 1) % CHANGES_PER_DELIVERY_MAX == 0


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
