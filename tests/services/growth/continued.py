"""A workspace that goes on in another one: load that continues where the first left off, and the judgement over both.

Rule: what must have been published is the reference's, reading each old partition's log with the later records of its
contacts behind it. Offsets differ between logs, so changes are compared by what they say and their instants.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas.topics import Topic
from segmentation.model import ContactId, SegmentId
from tests.faults.workspace import Workspace
from tests.oracle.checker import Published, fold
from tests.oracle.partitions import home_partition
from tests.oracle.reference import DeleteInput, ExpectedChange, Input, LogEntry, PoisonInput, Reference, WriteInput
from tests.simulation.wire import encode

STEPS_MS = (1, 250, 1_000, 5_000)
GAP_MS = 60_000
AFTER_ALL = 1 << 42

Said = tuple[str, int]
"""A change: enter or exit, and its instant."""


async def load_later(before: Workspace, after: Workspace, inputs: int) -> None:
    """Send more of the first workspace's history to the second, later than all of it and in order of time."""
    after.workload, after.now = before.workload, _newest(before) + GAP_MS
    producer = AIOKafkaProducer(bootstrap_servers=after.broker, acks="all", enable_idempotence=True)
    await producer.start()
    pending: list[tuple[int, int, Input, asyncio.Future[Any]]] = []
    topic = after.name(Topic.CONTACT_CHANGES)
    try:
        for _ in range(inputs):
            proposed = after.workload.any_input(after.now)
            if isinstance(proposed, PoisonInput):
                continue
            after.now += after.rng.choice(STEPS_MS)
            for partition in after._targets(proposed):
                record = encode(after.rng, proposed, after.now, ContactId("stranger"))
                sent = await producer.send(
                    topic, record.value, record.key, partition, after.now, headers=list(record.headers)
                )
                pending.append((partition, after.now, proposed, sent))
        for partition, timestamp, proposed, sent in pending:
            after.sent.setdefault(partition, {})[(await sent).offset] = (timestamp, proposed)
    finally:
        await producer.stop()


def _newest(workspace: Workspace) -> int:
    return max(timestamp for log in workspace.sent.values() for timestamp, _ in log.values())


def references(before: Workspace, after: Workspace) -> list[Reference]:
    """What the two logs mean together, by old partition."""
    later: dict[int, list[LogEntry]] = {partition: [] for partition in before.sent}
    for timestamp, proposed in sorted(
        {timestamp: proposed for log in after.sent.values() for timestamp, proposed in log.values()}.items()
    ):
        targets = later
        if isinstance(proposed, WriteInput | DeleteInput):
            home = home_partition(proposed.contact_id, before.partitions)
            targets = {home: later[home]}
        for log in targets.values():
            log.append(LogEntry(AFTER_ALL + timestamp, timestamp, proposed))
    return [
        Reference().read_all(
            [*(LogEntry(at, timestamp, sent) for at, (timestamp, sent) in sorted(log.items())), *later[partition]]
        )
        for partition, log in before.sent.items()
    ]


def changes_expected(found: Iterable[Reference]) -> dict[bytes, list[Said]]:
    """The changes of each key in order, as the references say."""
    changes: dict[bytes, list[Said]] = {}
    for reference in found:
        for event in (event for events in reference.events.values() for event in events):
            if isinstance(event, ExpectedChange):
                key = f"{event.segment_id}|{event.contact_id}".encode()
                changes.setdefault(key, []).append((event.kind.value, event.at))
    return changes


def changes_published(*topics: Iterable[Published]) -> dict[bytes, list[Said]]:
    """The distinct changes of each key in order, over topics that follow one another. Versions must grow."""
    changes: dict[bytes, list[Said]] = {}
    seen: dict[str, bytes] = {}
    newest: dict[bytes, tuple[int, int]] = {}
    for record in (record for topic in topics for record in topic):
        if record.value is None:
            continue
        body = json.loads(record.value)
        if (known := seen.setdefault(body["event_id"], record.value)) is not record.value:
            assert known == record.value, f"{body['event_id']} was published with other bytes"
            continue
        version = (body["at"], body["offset"])
        assert version > newest.get(record.key, (0, 0)), f"{record.key!r}: {version} after {newest[record.key]}"
        newest[record.key] = version
        changes.setdefault(record.key, []).append((body["change"], body["at"]))
    return changes


def members_expected(found: Iterable[Reference]) -> dict[SegmentId, set[ContactId]]:
    """Who is in each segment that has members."""
    members: dict[SegmentId, set[ContactId]] = {}
    for reference in found:
        for segment_id, contacts in reference.members().items():
            members.setdefault(segment_id, set()).update(contacts)
    return {segment_id: contacts for segment_id, contacts in members.items() if contacts}


async def differences(before: Workspace, after: Workspace) -> list[str]:
    """Everything in which what was published in both is not what the two logs demand."""
    judged = references(before, after)
    first, second = await before.published(), await after.published()
    expected, found = changes_expected(judged), changes_published(first, second)
    lines = [
        f"{key!r}: expected {expected.get(key)}, found {found.get(key)}"
        for key in sorted(expected.keys() | found.keys())
        if expected.get(key) != found.get(key)
    ]
    if fold(second) != members_expected(judged):
        lines.append("the fold of the second workspace's memberships differs from the references' members")
    return lines
