"""Judge a workspace on a real broker: read its input log and what it published, and compare with the reference.

Rule: reads with another Kafka client than the product's and decodes with the standard library's JSON. Only the parser
of the JSON form is shared, because the reference starts from syntax trees.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from schemas.topics import Topic, topic_name
from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Rejection
from segmentation.expression.jsonform import parse_json
from segmentation.model import AttributeName, ContactId, SegmentId, SegmentState, Value
from tests.oracle.checker import Published, Verdict, check_committed, check_uncommitted, fold
from tests.oracle.reference import (
    DefinitionInput,
    DeleteInput,
    Input,
    LogEntry,
    PoisonInput,
    Reference,
    TickInput,
    WriteInput,
)
from tests.transactions import Transactions

READ_TIMEOUT_S = 30.0
POLL_S = 0.1
BATCH_MESSAGES = 5_000


class Record(NamedTuple):
    """One record as read; the timestamp is the topic's, in epoch milliseconds. A key that is absent reads as empty."""

    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes | None
    headers: dict[str, bytes]


COMMITTED = "read_committed"
UNCOMMITTED = "read_uncommitted"


def read_topic(bootstrap: str, topic: str, partitions: int, isolation: str = COMMITTED) -> list[Record]:
    """Every record of a topic, partition by partition, in offset order."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "oracle",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": isolation,
            "enable.partition.eof": True,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        return sorted(_until_the_end(consumer, topic, partitions), key=lambda each: (each.partition, each.offset))
    finally:
        consumer.close()


def _until_the_end(consumer: Consumer, topic: str, partitions: int) -> Iterator[Record]:
    ended: set[int] = set()
    silent_polls = 0
    while len(ended) < partitions:
        messages = consumer.consume(BATCH_MESSAGES, POLL_S)
        silent_polls = 0 if messages else silent_polls + 1
        if silent_polls * POLL_S > READ_TIMEOUT_S:
            raise AssertionError(f"{topic}: no more records within {READ_TIMEOUT_S} s, and no end")
        for message in messages:
            error = message.error()
            if error is None:
                yield _taken_apart(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(_number(message.partition()))
            else:
                raise AssertionError(f"{topic}: {error}")


def _taken_apart(message: Message) -> Record:
    headers = {name: value.encode() if isinstance(value, str) else value or b"" for name, value in _headers(message)}
    return Record(
        _number(message.partition()),
        _number(message.offset()),
        message.timestamp()[1],
        _bytes(message.key()) or b"",
        _bytes(message.value()),
        headers,
    )


def _headers(message: Message) -> list[tuple[str, Any]]:
    headers = message.headers() or []
    return list(headers.items()) if isinstance(headers, dict) else list(headers)


def _number(value: int | None) -> int:
    assert value is not None
    return value


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def log_entries(messages: list[Record]) -> dict[int, list[LogEntry]]:
    """The input log as the reference reads it, by partition."""
    entries: dict[int, list[LogEntry]] = {}
    for message in messages:
        entry = LogEntry(message.offset, message.timestamp, _input(message))
        entries.setdefault(message.partition, []).append(entry)
    return entries


def _input(message: Record) -> Input:
    kind = message.headers.get("ce_type", b"contact.changed")
    value = message.value
    if kind == b"tick":
        return TickInput()
    if kind == b"segment.defined":
        return _definition(json.loads(value or b""))
    contact_id = ContactId(message.key.decode())
    try:
        body: dict[str, Any] = {"type": "delete"} if value is None else json.loads(value)
    except ValueError:
        return PoisonInput()
    if body.get("type") == "delete":
        return DeleteInput(contact_id)
    changes: dict[AttributeName, Value | None] = body["attributes"]
    return WriteInput(contact_id, changes)


def _definition(body: dict[str, Any]) -> DefinitionInput:
    expression = parse_json(body["where"], AttributeCatalogue.empty())
    assert not isinstance(expression, Rejection), expression
    return DefinitionInput(SegmentId(body["segment_id"]), body["version"], SegmentState(body["state"]), expression)


@dataclass
class Judgement:
    """What the reference says of a workspace."""

    committed: Verdict
    uncommitted: Verdict
    inputs: int
    expected_changes: int
    members_differ: list[str]

    @property
    def violations(self) -> list[str]:
        """Everything that is not as it must be; empty if all is."""
        return [*self.committed.violations, *self.uncommitted.violations, *self.members_differ]


def judge_workspace(bootstrap: str, prefix: str, partitions: int, ends: Mapping[int, int] | None = None) -> Judgement:
    """Compare what a workspace published with what its input log demands.

    The evaluator must have committed everything before `ends` (next offsets, by partition; without them all that is
    there), and fired what was due by then; what it has published beyond is left out.
    """
    inputs = read_topic(bootstrap, topic_name(prefix, Topic.CONTACT_CHANGES), partitions)
    entries = log_entries([each for each in inputs if ends is None or each.offset < ends[each.partition]])
    references = {partition: Reference().read_all(log) for partition, log in entries.items()}
    limits = {partition: (references[partition].clock, log[-1].offset) for partition, log in entries.items()}
    memberships = topic_name(prefix, Topic.MEMBERSHIPS)
    Transactions(bootstrap).until_decided(memberships, range(partitions))
    committed = _published(read_topic(bootstrap, memberships, partitions), limits)
    uncommitted = _published(read_topic(bootstrap, memberships, partitions, UNCOMMITTED), limits)
    expected = {partition: reference.events for partition, reference in references.items()}
    return Judgement(
        check_committed(committed, expected, partitions),
        check_uncommitted(uncommitted, expected, partitions),
        sum(map(len, entries.values())),
        sum(len(events) for reference in references.values() for events in reference.events.values()),
        _compare_members(committed, list(references.values())),
    )


def _published(messages: list[Record], limits: Mapping[int, tuple[int, int]]) -> list[Published]:
    """The records whose version lies within the part of the log that is judged: (clock, offset) by partition."""
    found = []
    for message in messages:
        value = message.value
        if value is not None and message.partition in limits:
            body = json.loads(value)
            clock, offset = limits[message.partition]
            if body["at"] > clock or body["offset"] > offset:
                continue
        found.append(Published(message.partition, message.offset, message.key, value))
    return found


def _compare_members(committed: list[Published], references: list[Reference]) -> list[str]:
    wanted: dict[SegmentId, set[ContactId]] = {}
    for reference in references:
        for segment_id, contacts in reference.members().items():
            wanted.setdefault(segment_id, set()).update(contacts)
    found = fold(committed)
    return [
        f"segment {segment_id}: expected {len(right)} members, found {len(there)}"
        for segment_id in sorted(wanted.keys() | found.keys())
        if (right := wanted.get(segment_id, set())) != (there := found.get(segment_id, set()))
    ]
