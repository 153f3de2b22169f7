"""What the same work costs elsewhere: a stock Faust agent with a table, and a plain consumer loop that keeps nothing.

Both evaluate every segment with the same compiled closures at every write, and publish every change. Neither fires
deadlines or survives a crash exactly; they are here to say what the platform alone can do. Rule: an answer counts only
if the members that a peer ends with are the right ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.e2e.workspace import BenchWorkspace
from schemas.codec import SEGMENT_DEFINED_HEADERS, TYPE_HEADER
from schemas.topics import Topic
from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Rejection
from segmentation.expression.compiler import CompiledSegment, compile_segment
from segmentation.expression.jsonform import parse_json
from segmentation.model import InstantMs, SegmentId, SegmentState

PEER_TIMEOUT_S = 600
DEFINED = dict(SEGMENT_DEFINED_HEADERS)[TYPE_HEADER]


class PeerRate(NamedTuple):
    """One measurement."""

    name: str
    rate_per_s: float


class Naive:
    """Contacts in memory, every segment evaluated at every write."""

    def __init__(self) -> None:
        self.segments: dict[SegmentId, CompiledSegment] = {}
        self.contacts: dict[bytes, tuple[dict[Any, Any], set[SegmentId]]] = {}

    def define(self, value: bytes) -> None:
        """Take a definition."""
        body = orjson.loads(value)
        self.segments[body["segment_id"]] = compiled(body["segment_id"], body["where"])

    def write(
        self, attributes: dict[Any, Any], members: set[SegmentId], changes: Mapping[Any, Any], now: int
    ) -> list[tuple[SegmentId, bool]]:
        """Merge a write in place; the segments entered (True) and left."""
        for name, value in changes.items():
            if value is None:
                attributes.pop(name, None)
            else:
                attributes[name] = value
        flips: list[tuple[SegmentId, bool]] = []
        for segment_id, segment in self.segments.items():
            holds = segment.holds(attributes, InstantMs(now), members)
            if holds is not (segment_id in members):
                flips.append((segment_id, holds))
                (members.add if holds else members.discard)(segment_id)
        return flips


def compiled(segment_id: str, where: object) -> CompiledSegment:
    """A segment from its JSON form."""
    parsed = parse_json(where, AttributeCatalogue.empty())
    if isinstance(parsed, Rejection):
        raise TypeError(str(parsed))
    return compile_segment(SegmentId(segment_id), 1, SegmentState.ACTIVE, parsed)


def create_output(workspace: BenchWorkspace, name: str) -> str:
    """A topic for a peer's changes."""
    topic = f"{workspace.prefix}{name}"
    admin = AdminClient({"bootstrap.servers": workspace.broker})
    created = admin.create_topics([NewTopic(topic, workspace.partitions)])
    created[topic].result()
    return topic


def measure_plain_loop(workspace: BenchWorkspace, ends: Mapping[int, int], warm: int) -> PeerRate:
    """Read the whole input with librdkafka; the records after the first `warm` are timed."""
    output = create_output(workspace, "plain-memberships")
    producer = Producer({"bootstrap.servers": workspace.broker, "linger.ms": 5, "acks": "all"})
    consumer = Consumer({"bootstrap.servers": workspace.broker, "group.id": "plain", "enable.auto.commit": False})
    name = workspace.name(Topic.CONTACT_CHANGES)
    consumer.assign([TopicPartition(name, partition, 0) for partition in ends])
    naive, done, total, began = Naive(), 0, sum(ends.values()), time.perf_counter()
    while done < total:
        for message in consumer.consume(1_000, 1.0):
            key, value, partition = message.key(), message.value() or b"{}", message.partition()
            if key is None:
                naive.define(value)
            else:
                identity = bytes(key)
                attributes, members = naive.contacts.setdefault(identity, ({}, set()))
                changes = orjson.loads(value)["attributes"]
                for segment_id, member in naive.write(attributes, members, changes, message.timestamp()[1]):
                    body = orjson.dumps({"segment_id": segment_id, "member": member})
                    producer.produce(output, body, segment_id.encode() + b"|" + identity, partition or 0)
            done += 1
            if done == warm:
                began = time.perf_counter()
        producer.poll(0)
    producer.flush()
    took = time.perf_counter() - began
    consumer.close()
    _verify("plain loop", workspace, {key: members for key, (_, members) in naive.contacts.items()})
    return PeerRate("plain confluent-kafka loop, naive closures, no persistence", (total - warm) / took)


def measure_stock_faust(workspace: BenchWorkspace, ends: Mapping[int, int], warm: int) -> PeerRate:
    """Run the stock agent in a process of its own, on the same input."""
    output = create_output(workspace, "faust-memberships")
    with tempfile.TemporaryDirectory() as directory:
        plan = {
            "broker": workspace.broker,
            "input": workspace.name(Topic.CONTACT_CHANGES),
            "output": output,
            "partitions": workspace.partitions,
            "total": sum(ends.values()),
            "warm": warm,
            "directory": directory,
        }
        ended = subprocess.run(
            [sys.executable, "-m", "bench.e2e.stock_faust", json.dumps(plan)],
            capture_output=True,
            timeout=PEER_TIMEOUT_S,
            check=False,
            cwd=Path(__file__).parents[2],
        )
    lines = [line for line in ended.stdout.splitlines() if line.startswith(b"{")]
    if ended.returncode or not lines:
        raise RuntimeError(f"the stock Faust agent failed: {ended.stderr[-2_000:].decode()}")
    said = orjson.loads(lines[-1])
    members = {key.encode(): set(segments) for key, segments in said["members"].items()}
    _verify("stock Faust", workspace, members)
    return PeerRate("stock Faust agent and table, naive closures", said["rate_per_s"])


def _verify(name: str, workspace: BenchWorkspace, found: Mapping[bytes, set[SegmentId]]) -> None:
    segments = [compiled(segment_id, where) for segment_id, where in workspace.defined.items()]
    for number, document in enumerate(workspace.documents):
        now = workspace.last_write[number]
        expected = {segment.segment_id for segment in segments if segment.holds(document, now, frozenset())}
        if found.get(workspace.key(number), set()) != expected:
            raise RuntimeError(f"{name} ended with other members than the reference for contact {number}")
