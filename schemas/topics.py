"""Every topic: its name, how it is partitioned and how the broker keeps it. The only place a topic is named.

Rule: names, partitioning and cleanup are part of the contract with every producer and consumer; a service refuses to
start on a topic of another shape. This module must stay free of I/O and of every other module of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
KEEP_FOREVER_MS = -1
PARTITIONS_MAX = 1024
"""Of every topic that is partitioned by contact."""


class Topic(StrEnum):
    """The topics, by the name that follows the workspace's prefix."""

    CONTACT_CHANGES = "contact-changes"
    SEGMENTS = "segments"
    ATTRIBUTES = "attributes"
    CONTACTS_CHANGELOG = "contacts-changelog"
    CONTROL_CHANGELOG = "control-changelog"
    MEMBERSHIPS = "memberships"
    EVALUATOR_STATUS = "evaluator-status"
    DEAD_LETTERS = "dead-letters"
    REQUESTS = "requests"
    WEBHOOKS = "webhooks"
    AUDIT = "audit-log"


class Partitioning(StrEnum):
    """How many partitions a topic has, and what chooses one."""

    BY_CONTACT = "by_contact"
    """The workspace's P partitions; murmur2 of the contact id, or an explicit partition."""
    SINGLE = "single"
    """One partition: a total order for everybody."""


class Cleanup(StrEnum):
    """Kafka's `cleanup.policy`."""

    DELETE = "delete"
    COMPACT = "compact"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """The shape of one topic. `settings` are broker settings beyond the cleanup policy."""

    topic: Topic
    partitioning: Partitioning
    cleanup: Cleanup
    key: str
    purpose: str
    settings: Mapping[str, str]

    def partition_count(self, partitions: int) -> int:
        """How many partitions the topic has in a workspace of `partitions`."""
        return partitions if self.partitioning is Partitioning.BY_CONTACT else 1

    @property
    def config(self) -> dict[str, str]:
        """All broker settings to create the topic with."""
        return {"cleanup.policy": self.cleanup.value, **self.settings}


def _spec(
    topic: Topic, *, partitioning: Partitioning, cleanup: Cleanup, key: str, purpose: str, settings: dict[str, str]
) -> TopicSpec:
    return TopicSpec(topic, partitioning, cleanup, key, purpose, MappingProxyType(settings))


# Erasure leaves a tombstone; the bytes before it must be gone from disk within a bounded time.
_ERASED_WITHIN = {"max.compaction.lag.ms": str(7 * DAY_MS), "segment.ms": str(DAY_MS)}
# Recovery reads deletions from these topics, so a tombstone must outlive any recovery.
_TOMBSTONES_KEPT = {"delete.retention.ms": str(DAY_MS)}
# A history that nothing leaves, with the broker's instants.
_TOLD_FOREVER = {
    "retention.ms": str(KEEP_FOREVER_MS),
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
}
# A dead letter is the record that failed and more; a contact's row grows with every new attribute.
_LARGER_THAN_INPUT = {"max.message.bytes": str(9 * 1024 * 1024)}

SPECS: Mapping[Topic, TopicSpec] = MappingProxyType(
    {
        spec.topic: spec
        for spec in (
            _spec(
                Topic.CONTACT_CHANGES,
                partitioning=Partitioning.BY_CONTACT,
                cleanup=Cleanup.DELETE,
                key="contact id; none for ticks and segment definitions",
                purpose="The one input log of a partition: contact changes, ticks and segment definitions in order.",
                settings={"retention.ms": str(7 * DAY_MS), "message.timestamp.type": "LogAppendTime"},
            ),
            _spec(
                Topic.SEGMENTS,
                partitioning=Partitioning.SINGLE,
                cleanup=Cleanup.DELETE,
                key="segment id",
                purpose="Every proposed version of every segment, kept forever: the audit history.",
                settings=_TOLD_FOREVER,
            ),
            _spec(
                Topic.ATTRIBUTES,
                partitioning=Partitioning.SINGLE,
                cleanup=Cleanup.COMPACT,
                key="attribute name",
                purpose="Declared types and directions of attributes.",
                settings={"message.timestamp.type": "LogAppendTime"},
            ),
            _spec(
                Topic.CONTACTS_CHANGELOG,
                partitioning=Partitioning.BY_CONTACT,
                cleanup=Cleanup.COMPACT,
                key="contact id",
                purpose="The newest state of every contact, from which an evaluator rebuilds its store.",
                settings={**_ERASED_WITHIN, **_TOMBSTONES_KEPT, **_LARGER_THAN_INPUT},
            ),
            _spec(
                Topic.CONTROL_CHANGELOG,
                partitioning=Partitioning.BY_CONTACT,
                cleanup=Cleanup.COMPACT,
                key="clock, segment version or cursor",
                purpose="The partition's clock, definitions in force and backfill cursor, for recovery.",
                settings=_TOMBSTONES_KEPT,
            ),
            _spec(
                Topic.MEMBERSHIPS,
                partitioning=Partitioning.BY_CONTACT,
                cleanup=Cleanup.COMPACT,
                key="segment id, `|`, contact id; partitioned by the contact id",
                purpose="One record per enter or exit; the newest per (segment, contact) is kept forever.",
                settings={**_ERASED_WITHIN, "min.compaction.lag.ms": str(DAY_MS)},
            ),
            _spec(
                Topic.EVALUATOR_STATUS,
                partitioning=Partitioning.SINGLE,
                cleanup=Cleanup.COMPACT,
                key="kind, segment, partition",
                purpose="Owners, counts, backfill progress and lag of the evaluators.",
                settings={},
            ),
            _spec(
                Topic.DEAD_LETTERS,
                partitioning=Partitioning.BY_CONTACT,
                cleanup=Cleanup.DELETE,
                key="as in the record that failed",
                purpose="Records that could not be evaluated, unchanged, with the reason in headers.",
                settings={"retention.ms": str(30 * DAY_MS), **_LARGER_THAN_INPUT},
            ),
            _spec(
                Topic.REQUESTS,
                partitioning=Partitioning.SINGLE,
                cleanup=Cleanup.DELETE,
                key="digest of the API key's id and the Idempotency-Key",
                purpose="Answers to requests with an Idempotency-Key, so that every ingest process honours it.",
                settings={
                    "retention.ms": str(25 * HOUR_MS),
                    "segment.ms": str(HOUR_MS),
                    "message.timestamp.type": "LogAppendTime",
                },
            ),
            _spec(
                Topic.WEBHOOKS,
                partitioning=Partitioning.SINGLE,
                cleanup=Cleanup.COMPACT,
                key="`webhook|` and its id; `failure|` or `replay|`, the webhook's id, `|` and the failure's",
                purpose="Where changes are sent by HTTP, with the secrets that sign them, and what could not be sent.",
                settings={**_ERASED_WITHIN, **_TOMBSTONES_KEPT, **_LARGER_THAN_INPUT},
            ),
            _spec(
                Topic.AUDIT,
                partitioning=Partitioning.SINGLE,
                cleanup=Cleanup.DELETE,
                key="id of what was changed",
                purpose="Who made, deleted or replayed what of the webhooks, kept forever.",
                # What is remembered of it is bounded by the number of records.
                settings={**_TOLD_FOREVER, "max.message.bytes": str(16 * 1024)},
            ),
        )
    }
)


def topic_name(prefix: str, topic: Topic) -> str:
    """The topic's name in the workspace that owns `prefix`."""
    return prefix + topic.value
