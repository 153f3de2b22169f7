"""What the same work costs elsewhere: a stock Faust agent with a table, and a plain consumer loop that keeps nothing.

Both evaluate every segment with the same compiled closures at every write, and publish every change. Neither fires
deadlines or survives a crash exactly; they are here to say what the platform alone can do. Rule: a rate counts only if
what was published passes the checker that ours has to pass.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.e2e.checker import Judged, Reference, read_published
from bench.e2e.naive import Naive
from bench.e2e.workspace import BenchWorkspace
from schemas.topics import Topic

PEER_TIMEOUT_S = 900


class PeerRate(NamedTuple):
    """One measurement."""

    name: str
    rate_per_s: float
    judged: Judged


def measure_peers(
    workspace: BenchWorkspace, ends: Mapping[int, int], warm: int, *, with_faust: bool
) -> Iterator[PeerRate]:
    """Each peer on the input through `ends`, from its beginning; the records after the first `warm` are timed."""
    reference = Reference(workspace)

    def judged(name: str, topic: str) -> Judged:
        return reference.judge(name, read_published(workspace, topic), reference.written.__getitem__)

    output = _create_output(workspace, "plain-memberships")
    rate = _plain_loop(workspace, output, ends, warm)
    yield PeerRate("plain confluent-kafka loop, nothing kept", rate, judged("plain loop", output))
    if with_faust:
        output = _create_output(workspace, "faust-memberships")
        rate = _stock_faust(workspace, output, ends, warm)
        yield PeerRate("stock Faust agent and table", rate, judged("stock Faust", output))


def _create_output(workspace: BenchWorkspace, name: str) -> str:
    """A topic for a peer's changes."""
    topic = f"{workspace.prefix}{name}"
    admin = AdminClient({"bootstrap.servers": workspace.broker})
    created = admin.create_topics([NewTopic(topic, workspace.partitions)])
    created[topic].result()
    return topic


def _plain_loop(workspace: BenchWorkspace, output: str, ends: Mapping[int, int], warm: int) -> float:
    """Read the whole input with librdkafka; writes a second."""
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
    return (total - warm) / took


def _stock_faust(workspace: BenchWorkspace, output: str, ends: Mapping[int, int], warm: int) -> float:
    """Run the stock agent in a process of its own, on the same input; writes a second."""
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
    return float(orjson.loads(lines[-1])["rate_per_s"])
