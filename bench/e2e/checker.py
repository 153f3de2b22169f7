"""One judge of every contender: what it published, folded as a consumer would, must be what the reference says.

The reference compiles each segment by itself and evaluates it over a contact's whole document. Rule: the same function
judges ours and the peers, and a contender's figure is printed only after it passed. Of many contacts and segments a
spread of contacts is evaluated; that changes alternate is looked at for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import NamedTuple

import orjson
from confluent_kafka import Consumer, TopicPartition

from bench.e2e.naive import compiled
from bench.e2e.workspace import BenchWorkspace
from segmentation.model import Attributes, InstantMs

EVALUATIONS_MAX = 1_500_000
QUIET_S = 1.5
"""A topic that did not grow for so long holds everything."""
READ_TIMEOUT_S = 900
"""Twenty million changes take minutes to fold."""
CHUNK = 10_000


class Judged(NamedTuple):
    """What was found right."""

    contacts: int
    of: int
    changes: int

    def __str__(self) -> str:
        return f"{self.changes:,} changes alternate; {self.contacts:,} of {self.of:,} contacts looked at: right members"


@dataclass
class Published:
    """A topic of changes, folded."""

    members: dict[bytes, set[str]] = field(default_factory=dict)
    changes: int = 0

    def take(self, key: object, value: object) -> None:
        """Fold one record. Errors: a change that says what the one before it said."""
        if not isinstance(key, bytes) or not isinstance(value, bytes):
            return
        segment_id, _, contact = key.partition(b"|")
        members = self.members.setdefault(contact, set())
        segment, member = intern(segment_id.decode()), bool(orjson.loads(value)["member"])
        if member is (segment in members):
            raise RuntimeError(f"two changes of {key.decode()} in a row say member={member}")
        (members.add if member else members.discard)(segment)
        self.changes += 1


class Reference:
    """Contacts and segments as of now: take it before the workspace moves on."""

    def __init__(self, workspace: BenchWorkspace) -> None:
        self.documents: Sequence[Attributes] = list(workspace.documents)
        self.written: Sequence[InstantMs] = list(workspace.last_write)
        self._defined = dict(workspace.defined)
        self._key = workspace.key

    def judge(self, name: str, found: Published, instant_of: Callable[[int], InstantMs]) -> Judged:
        """Compare members; `instant_of` is as of when a contender evaluated a contact. Errors: a difference."""
        segments = [compiled(segment_id, where) for segment_id, where in self._defined.items()]
        step = max(1, len(self.documents) * len(segments) // EVALUATIONS_MAX)
        looked_at = range(0, len(self.documents), step)
        for number in looked_at:
            document, now = self.documents[number], instant_of(number)
            expected = {segment.segment_id for segment in segments if segment.holds(document, now, frozenset())}
            members = found.members.get(self._key(number), set())
            if members != expected:
                raise RuntimeError(
                    f"{name} disagrees with the reference about {self._key(number).decode()}: expected "
                    f"{sorted(expected)}, found {sorted(members)}"
                )
        return Judged(len(looked_at), len(self.documents), found.changes)


def read_published(workspace: BenchWorkspace, topic: str) -> Published:
    """Read a topic of changes to its quiet end, committed. Errors: changes of one membership that do not alternate."""
    consumer = Consumer(
        {
            "bootstrap.servers": workspace.broker,
            "group.id": f"{workspace.prefix}judge",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.message.max.bytes": 4 << 20,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(workspace.partitions)])
    found = Published()
    deadline = time.monotonic() + READ_TIMEOUT_S
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < QUIET_S:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{topic} did not come to an end")
        messages = [message for message in consumer.consume(CHUNK, 0.2) if message.error() is None]
        for message in messages:
            found.take(message.key(), message.value())
        if messages:
            quiet_since = time.monotonic()
    consumer.close()
    return found


def clock_of(workspace: BenchWorkspace, clocks: Mapping[int, InstantMs]) -> Callable[[int], InstantMs]:
    """Ours brings every contact to its partition's clock."""
    return lambda number: clocks[workspace.partition_of(number)]
