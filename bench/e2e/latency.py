"""How long a write takes to its membership change, open loop: writes are sent on time whatever the answers do.

From the moment the producer is handed the record to the moment a consumer has the change, once for a consumer that
reads uncommitted records and once for one that reads committed ones.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from bench.e2e.backlog import await_positions
from bench.e2e.evaluator import EvaluatorUnderTest
from bench.e2e.workspace import PROBE_SEGMENT, BenchWorkspace
from schemas.partitioner import partition_for_key
from schemas.topics import Topic

ISOLATIONS = ("read_uncommitted", "read_committed")
DRAIN_S = 3.0
WARM_UP_S = 2.0
KEY_PREFIX = f"{PROBE_SEGMENT}|".encode()


class Latency(NamedTuple):
    """One measurement. Units: milliseconds."""

    rate_per_s: int
    isolation: str
    writes: int
    p50: float
    p99: float
    p999: float
    longest: float


def measure_latency(
    broker: str, partitions: int, contacts: int, segments: int, rates: Sequence[int], seconds: float
) -> list[Latency]:
    """One evaluator, one rate after another."""
    workspace = BenchWorkspace(broker, partitions, contacts, segments, replay_history=False)
    workspace.create()
    found: list[Latency] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        EvaluatorUnderTest(workspace, Path(directory) / "state") as evaluator,
    ):
        records = [*workspace.definitions(), *workspace.creations()]
        workspace.produce(records)
        ends: dict[int, int] = {}
        for record in records:
            ends[record.partition] = ends.get(record.partition, 0) + 1
        await_positions(evaluator, ends)
        probes = Probes(workspace)
        for rate in rates:
            found += probes.run(rate, seconds)
    return found


class Probes:
    """Sends toggling writes and notes when each change is seen."""

    def __init__(self, workspace: BenchWorkspace) -> None:
        self._workspace = workspace
        self._values: dict[int, int] = {}
        self._turn = 0

    def run(self, rate: int, seconds: float) -> list[Latency]:
        """Send at a rate for some seconds; one measurement for each isolation level."""
        sent: dict[tuple[int, int], float] = {}
        seen: dict[str, dict[tuple[int, int], float]] = {isolation: {} for isolation in ISOLATIONS}
        stop = threading.Event()
        readers = [threading.Thread(target=self._read, args=(each, seen[each], stop)) for each in ISOLATIONS]
        for reader in readers:
            reader.start()
        time.sleep(WARM_UP_S)
        self._send(rate, seconds, sent)
        time.sleep(DRAIN_S)
        stop.set()
        for reader in readers:
            reader.join()
        return [_summary(rate, isolation, sent, seen[isolation]) for isolation in ISOLATIONS]

    def _send(self, rate: int, seconds: float, sent: dict[tuple[int, int], float]) -> None:
        workspace = self._workspace
        producer = Producer(
            {"bootstrap.servers": workspace.broker, "linger.ms": 0, "acks": "all", "enable.idempotence": True}
        )
        name = workspace.name(Topic.CONTACT_CHANGES)
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            while (wait := due - time.perf_counter()) > 0:
                producer.poll(min(wait, 0.005))
            contact = self._turn % workspace.contacts
            self._turn += 1
            value = self._values[contact] = 1 - self._values.get(contact, 0)
            key = workspace.key(contact)

            def on_delivery(error: Any, message: Message, at: float = time.perf_counter()) -> None:
                if error is None:
                    sent[message.partition() or 0, message.offset() or 0] = at

            producer.produce(
                name,
                key=key,
                value=orjson.dumps({"attributes": {"probe": value}}),
                partition=partition_for_key(key, workspace.partitions),
                on_delivery=on_delivery,
            )
            producer.poll(0)
        producer.flush(30)

    def _read(self, isolation: str, seen: dict[tuple[int, int], float], stop: threading.Event) -> None:
        workspace = self._workspace
        consumer = Consumer(
            {
                "bootstrap.servers": workspace.broker,
                "group.id": f"{workspace.prefix}{isolation}",
                "enable.auto.commit": False,
                "isolation.level": isolation,
                "fetch.wait.max.ms": 100,
            }
        )
        name = workspace.name(Topic.MEMBERSHIPS)
        ends = [
            TopicPartition(name, partition, consumer.get_watermark_offsets(TopicPartition(name, partition))[1])
            for partition in range(workspace.partitions)
        ]
        consumer.assign(ends)
        while not stop.is_set():
            for message in consumer.consume(500, 0.005):
                at = time.perf_counter()
                key = message.key()
                if message.error() is None and isinstance(key, bytes) and key.startswith(KEY_PREFIX):
                    change = orjson.loads(message.value() or b"null")
                    seen.setdefault((change["cause"]["partition"], change["offset"]), at)
        consumer.close()


def _summary(
    rate: int, isolation: str, sent: dict[tuple[int, int], float], seen: dict[tuple[int, int], float]
) -> Latency:
    missing = sent.keys() - seen.keys()
    if missing:
        raise RuntimeError(f"{len(missing)} of {len(sent)} writes at {rate}/s led to no change read {isolation}")
    took = sorted((seen[place] - at) * 1_000 for place, at in sent.items())

    def quantile(share: float) -> float:
        return took[min(len(took) - 1, int(len(took) * share))]

    return Latency(rate, isolation, len(took), quantile(0.5), quantile(0.99), quantile(0.999), took[-1])
