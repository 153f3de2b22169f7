"""One hundred thousand deadlines at one instant, and what live writes notice of it."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

import orjson
from confluent_kafka import Consumer, TopicPartition
from pydantic import JsonValue

from bench.e2e.evaluator import EvaluatorUnderTest
from bench.e2e.latency import BROKER_WARM_UP_RATE_PER_S, BROKER_WARM_UP_S, Latency, Probes
from bench.e2e.workspace import BenchWorkspace, Sent
from schemas.events import SEGMENT_DEFINED_HEADERS
from schemas.partitioner import partition_for_key
from schemas.segment_definition import SegmentDefinitionRecord
from schemas.topics import Topic
from segmentation.expression.jsonform import to_json
from segmentation.expression.syntax import Condition, InPast
from segmentation.model import AttributeName, InstantMs, SegmentId

BURST = "burst"
LIVE_RATE_PER_S = 200
LEAD_S = 30
"""From writing the deadlines to their instant: enough for them to be evaluated before it."""
PROBES_START_S = 2.0
"""Readers and sender are processes that take this long to begin."""
BURST_TIMEOUT_S = 120
TICK_INTERVAL_S = 1.0


class Burst(NamedTuple):
    """One measurement: latency of live writes before the instant and across it, and the fires themselves."""

    deadlines: int
    before: Latency
    across: Latency
    published_s: float
    """From the instant to the last of its changes being readable, committed."""


def measure_burst(broker: str, partitions: int, deadlines: int, seconds: float) -> Burst:
    """Write deadlines that fall on one instant, and probe before and across it."""
    workspace = BenchWorkspace(broker, partitions, contacts=1_000, segments=20, replay_history=False)
    workspace.create()
    stop = threading.Event()
    ticking = threading.Thread(target=_tick, args=(workspace, stop))
    with (
        tempfile.TemporaryDirectory() as directory,
        EvaluatorUnderTest(workspace, Path(directory) / "state") as evaluator,
    ):
        workspace.produce([*workspace.definitions(), *_definition(workspace), *workspace.creations()])
        evaluator.await_committed(workspace.ends())
        probes = Probes(workspace)
        probes.run(BROKER_WARM_UP_RATE_PER_S, BROKER_WARM_UP_S)
        at = InstantMs(int((time.time() + LEAD_S + 2 * seconds) * 1_000))
        workspace.produce(_deadlines(workspace, deadlines, at))
        evaluator.await_committed(workspace.ends())
        ticking.start()
        try:
            before = probes.run(LIVE_RATE_PER_S, seconds)[0]
            # Nothing is waited for but the planned instant itself: the load must lie evenly on both sides of it.
            time.sleep(max(0.0, at / 1_000 - seconds / 2 - PROBES_START_S - time.time()))
            watch = _Watch(workspace, deadlines)
            across = probes.run(LIVE_RATE_PER_S, seconds)[0]
            published = watch.finished_at() - at / 1_000
        finally:
            stop.set()
            ticking.join()
    return Burst(deadlines, before, across, published)


def _definition(workspace: BenchWorkspace) -> Iterator[Sent]:
    where = to_json(Condition(AttributeName("burst_at"), InPast()))
    record = SegmentDefinitionRecord(
        segment_id=SegmentId(BURST), version=1, replaces=0, name=BURST, where=cast("JsonValue", where), text=""
    ).encode()
    for partition in range(workspace.partitions):
        yield Sent(partition, None, record, 0, SEGMENT_DEFINED_HEADERS)


def _deadlines(workspace: BenchWorkspace, count: int, at: InstantMs) -> Iterator[Sent]:
    value = orjson.dumps({"attributes": {"burst_at": at}})
    for number in range(count):
        key = b"burst-%07d" % number
        yield Sent(partition_for_key(key, workspace.partitions), key, value, 0)


def _tick(workspace: BenchWorkspace, stop: threading.Event) -> None:
    while not stop.wait(TICK_INTERVAL_S):
        workspace.produce(workspace.ticks(InstantMs(int(time.time() * 1_000))))


class _Watch:
    """Counts the burst's changes in a thread of its own."""

    def __init__(self, workspace: BenchWorkspace, expected: int) -> None:
        self._workspace = workspace
        self._expected = expected
        self._finished: float | None = None
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def finished_at(self) -> float:
        """The wall clock when the last change was read."""
        self._thread.join()
        if self._finished is None:
            raise RuntimeError(f"not all of {self._expected} changes were published in {BURST_TIMEOUT_S} s")
        return self._finished

    def _read(self) -> None:
        workspace = self._workspace
        consumer = Consumer(
            {
                "bootstrap.servers": workspace.broker,
                "group.id": f"{workspace.prefix}watch",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        name = workspace.name(Topic.MEMBERSHIPS)
        consumer.assign([TopicPartition(name, partition, 0) for partition in range(workspace.partitions)])
        prefix = f"{BURST}|".encode()
        seen: set[bytes] = set()
        deadline = time.monotonic() + BURST_TIMEOUT_S
        while len(seen) < self._expected and time.monotonic() < deadline:
            for message in consumer.consume(5_000, 0.1):
                key = message.key()
                if message.error() is None and isinstance(key, bytes) and key.startswith(prefix):
                    seen.add(key)
        if len(seen) == self._expected:
            self._finished = time.time()
        consumer.close()
