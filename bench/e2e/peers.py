"""What the same work costs elsewhere: in a loop that keeps nothing, a stock Faust agent, a Kafka Streams processor.

All evaluate every segment's compiled closure at every write, and publish every change. None fires deadlines, and of the
three only Kafka Streams, in Java and with transactions, keeps its state exactly; they are here to say what a platform
alone can do. Rule: a rate counts only if what was published passes the checker that ours has to pass.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.e2e.checker import Judged, Reference, read_published
from bench.e2e.naive import Naive
from bench.e2e.workspace import BenchWorkspace
from deploy.local.jars import locked_jars, read_lock, write_lock
from deploy.local.java import find_java
from deploy.local.say import to_standard_error
from schemas.events import SEGMENT_DEFINED_HEADERS, TYPE_HEADER
from schemas.topics import Topic

PEER_TIMEOUT_S = 900
JAVA_TIMEOUT_S = 10
STREAMS_COORDINATE = "org.apache.kafka:kafka-streams:4.3.1+org.slf4j:slf4j-simple:1.7.36"
STREAMS_LOCK = Path(__file__).with_name("kafka_streams.lock")
"""Its jars; `python -m bench.e2e.peers` resolves the coordinate anew and rewrites it."""
STREAMS_SOURCE = Path(__file__).parent / "java" / "Segmentation.java"
STREAMS_HEAP_MIB = 2_048


class PeerRate(NamedTuple):
    """One measurement."""

    name: str
    rate_per_s: float
    judged: Judged


def measure_python_peers(
    workspace: BenchWorkspace, ends: Mapping[int, int], warm: int, *, with_faust: bool
) -> Iterator[PeerRate]:
    """Each on the input through `ends`, from its beginning; the records after the first `warm` are timed."""
    output = _create_output(workspace, "plain-memberships")
    rate = _plain_loop(workspace, output, ends, warm)
    yield PeerRate("plain confluent-kafka loop, nothing kept", rate, _judged(workspace, "plain loop", output))
    if with_faust:
        output = _create_output(workspace, "faust-memberships")
        rate = _rate_of([sys.executable, "-m", "bench.e2e.stock_faust"], workspace, output, ends, warm)
        yield PeerRate("stock Faust agent and table", rate, _judged(workspace, "stock Faust", output))


def measure_kafka_streams(workspace: BenchWorkspace, ends: Mapping[int, int], warm: int) -> Iterator[PeerRate]:
    """The same of one thread of the Java peer, which may have more to do: its runtime compiles as it goes.

    Nothing, which is said, where Java comes without its compiler.
    """
    java = find_java()
    if not _compiles(java):
        print(f"  NOT RUN: Kafka Streams needs a JDK, and {java} has no compiler", flush=True)
        return
    output = _create_output(workspace, "streams-memberships")
    rate = _rate_of(_kafka_streams(java), workspace, output, ends, warm)
    yield PeerRate("Kafka Streams (Java), exactly once", rate, _judged(workspace, "Kafka Streams", output))


def _judged(workspace: BenchWorkspace, name: str, topic: str) -> Judged:
    reference = Reference(workspace)
    return reference.judge(name, read_published(workspace, topic), reference.written.__getitem__)


def _create_output(workspace: BenchWorkspace, name: str) -> str:
    """A topic for a peer's changes. It keeps them whatever their age: the writes are of a past year."""
    topic = f"{workspace.prefix}{name}"
    admin = AdminClient({"bootstrap.servers": workspace.broker})
    created = admin.create_topics([NewTopic(topic, workspace.partitions, config={"retention.ms": "-1"})])
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


def _compiles(java: Path) -> bool:
    listed = subprocess.run([java, "--list-modules"], capture_output=True, timeout=JAVA_TIMEOUT_S, check=False)
    return b"jdk.compiler" in listed.stdout


def _kafka_streams(java: Path) -> list[str]:
    """What runs it: a JDK compiles the one source file as it starts."""
    classpath = ":".join(map(str, locked_jars("Kafka Streams", read_lock(STREAMS_LOCK), to_standard_error)))
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return [str(java), f"-Xmx{STREAMS_HEAP_MIB}m", quiet, "-cp", classpath, str(STREAMS_SOURCE)]


def _rate_of(
    command: Sequence[str], workspace: BenchWorkspace, output: str, ends: Mapping[int, int], warm: int
) -> float:
    """Run a peer in a process of its own, on the same input; the writes a second that it tells in its last line."""
    with tempfile.TemporaryDirectory() as directory:
        plan = {
            "broker": workspace.broker,
            "input": workspace.name(Topic.CONTACT_CHANGES),
            "output": output,
            "partitions": workspace.partitions,
            "total": sum(ends.values()),
            "warm": warm,
            "directory": directory,
            "type_header": TYPE_HEADER,
            "defined": dict(SEGMENT_DEFINED_HEADERS)[TYPE_HEADER].decode(),
        }
        ended = subprocess.run(
            [*command, json.dumps(plan)],
            capture_output=True,
            timeout=PEER_TIMEOUT_S,
            check=False,
            cwd=Path(__file__).parents[2],
        )
    lines = [line for line in ended.stdout.splitlines() if line.startswith(b"{")]
    if ended.returncode or not lines:
        raise RuntimeError(f"{output} was not written to its end: {ended.stderr[-2_000:].decode()}")
    return float(orjson.loads(lines[-1])["rate_per_s"])


if __name__ == "__main__":
    write_lock(to_standard_error, STREAMS_COORDINATE, STREAMS_LOCK)
