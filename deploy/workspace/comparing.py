"""Are two workspaces the same, whatever their numbers of partitions? Contacts, members, and what is kept for ever.

Rule: compares what is read back from the broker, never what was meant to be written. Memory holds one partition's keys
at a time: what the two sides hold is compared by sums of digests, which depend on no order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import orjson

from deploy.workspace.broker import Broker
from deploy.workspace.copying import COPIED, UnreadableRowError, Workspace, place, read_row
from deploy.workspace.errors import OperationRefusedError
from schemas.topics import SPECS, Cleanup, Topic
from segmentation.model import InstantMs

COMPARED = tuple(topic for topic in COPIED if topic not in (Topic.REQUESTS, Topic.DEAD_LETTERS))
"""All that is kept for ever. What is copied beside it may be deleted by its retention while we look."""
DIGEST_BYTES = 16
_MODULUS = 1 << 8 * DIGEST_BYTES


@dataclass(slots=True)
class Holding:
    """What a topic, or the members told by it, hold by new home partition: how many, and the sum of their digests."""

    counts: dict[int, int] = field(default_factory=dict)
    sums: dict[int, int] = field(default_factory=dict)

    def add(self, partition: int, *parts: bytes) -> None:
        """Count one more."""
        digest = blake2b(digest_size=DIGEST_BYTES)
        for part in parts:
            digest.update(b"%d:" % len(part))
            digest.update(part)
        self.counts[partition] = self.counts.get(partition, 0) + 1
        self.sums[partition] = (self.sums.get(partition, 0) + int.from_bytes(digest.digest())) % _MODULUS

    @property
    def total(self) -> int:
        """How many in all partitions."""
        return sum(self.counts.values())


@dataclass(slots=True)
class Inventory:
    """Everything that a workspace holds."""

    topics: dict[Topic, Holding] = field(default_factory=dict)
    members_by_row: Holding = field(default_factory=Holding)
    """Members as the contacts' rows have them."""
    members_by_change: Holding = field(default_factory=Holding)
    """Members as the memberships topic folds."""
    overdue: int = 0
    """Contacts with a deadline that their partition's clock has passed."""


async def take_inventory(
    broker: Broker, workspace: Workspace, home: int, clocks: dict[int, InstantMs] | None = None
) -> Inventory:
    """What a workspace holds, told by the partitions that it has, or would have, in one of `home` partitions.

    `clocks` are those of the partitions, to find deadlines that are still to be fired.
    """
    inventory = Inventory()
    for topic in COMPARED:
        holding = inventory.topics[topic] = Holding()
        for partition in range(workspace.count(topic)):
            async for key, value in _kept(broker, workspace, topic, partition):
                try:
                    placed = place(topic, key, value, home)
                except UnreadableRowError as error:
                    raise _refusal(workspace.name(topic), partition, key, error) from error
                holding.add(placed.partition, key or b"", placed.value or b"")
                if topic is Topic.CONTACTS_CHANGELOG:
                    row = read_row(value)
                    for segment_id in row["members"]:
                        inventory.members_by_row.add(placed.partition, f"{segment_id}|".encode() + (key or b""))
                    due = row["due"]
                    inventory.overdue += clocks is not None and due is not None and due <= clocks[partition]
                elif topic is Topic.MEMBERSHIPS and _says_member(value):
                    inventory.members_by_change.add(placed.partition, key or b"")
    return inventory


def _refusal(name: str, partition: int, key: bytes | None, error: UnreadableRowError) -> OperationRefusedError:
    contact = (key or b"").decode(errors="replace")
    return OperationRefusedError(
        f"partition {partition} of {name} holds a record without sense for contact {contact!r} ({error}), which "
        "somebody else wrote: write an attribute of this contact, so that its evaluator writes its row anew, or, if "
        "there is no such contact, a record of this key without a value to this partition, and repeat"
    )


def _says_member(value: bytes) -> bool:
    """Whether a change says so. A record without sense, which readers pass by, makes nobody a member."""
    try:
        change = orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return isinstance(change, dict) and change.get("member") is True


async def _kept(
    broker: Broker, workspace: Workspace, topic: Topic, partition: int
) -> AsyncIterator[tuple[bytes | None, bytes]]:
    """The records of a partition; of a compacted topic the newest of each key that is not deleted."""
    newest: dict[bytes, bytes] = {}
    compacted = SPECS[topic].cleanup is Cleanup.COMPACT
    async for _, records, _ in broker.read(workspace.name(topic), {partition: 0}):
        for record in records:
            if not compacted:
                yield record.key, record.value or b""
            elif record.value is None:
                newest.pop(record.key, None)
            else:
                newest[record.key] = record.value
    for key, value in newest.items():
        yield key, value


def differences(before: Inventory, after: Inventory) -> Iterator[str]:
    """One line for each way in which the second workspace is not the first."""
    for topic, holding in before.topics.items():
        if holding != after.topics[topic]:
            yield f"{topic}: {holding.total:,} before, {after.topics[topic].total:,} after, or other values"
    for when, inventory in (("before", before), ("after", after)):
        if inventory.members_by_row != inventory.members_by_change:
            yield (
                f"members {when}: {inventory.members_by_row.total:,} by the contacts' rows, "
                f"{inventory.members_by_change.total:,} by the memberships topic"
            )
    if before.members_by_row != after.members_by_row:
        yield f"members: {before.members_by_row.total:,} before, {after.members_by_row.total:,} after"
