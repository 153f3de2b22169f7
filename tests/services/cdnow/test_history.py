"""Eighteen months of real orders: every enter and exit is the one that SQL gives, at its exact instant and offset."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.topics import Topic, topic_name
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics
from tests.oracle.workspace import read_topic
from tests.services.cdnow.comparison import compare
from tests.services.cdnow.history import ROOT, append_history, read_orders

PARTITIONS = 4
ORDERS = 69_659
DONE_TIMEOUT_S = 240.0
QUIET_S = 3.0
POLL_S = 0.25
STOP_TIMEOUT_S = 90.0


@pytest.mark.broker
@pytest.mark.timeout(500)
async def test_every_change_over_real_orders_is_the_one_that_sql_gives(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = RuntimeSettings(
        kafka_bootstrap=broker, topic_prefix=topic_prefix, partitions=PARTITIONS, replay_history=True
    )
    await ensure_topics(settings)
    orders = read_orders()
    placed = append_history(broker, topic_name(topic_prefix, Topic.CONTACT_CHANGES), PARTITIONS, orders)
    assert len(placed) == len(orders) == ORDERS
    with evaluator(broker, topic_prefix, tmp_path):
        await_silence(broker, topic_prefix)
    found = read_topic(broker, topic_name(topic_prefix, Topic.MEMBERSHIPS), PARTITIONS)
    result = compare(orders, placed, found, tmp_path)
    sys.stdout.write("".join(f"{' '.join(kind)}: {count}\n" for kind, count in sorted(result.counts.items())))
    sys.stdout.write(
        f"{len(found)} changes, {len(result.missing)} missing, {len(result.extra)} extra, {result.ties} ties\n"
    )
    assert not result.missing, f"{len(result.missing)} changes are missing, the first {result.missing[0]}"
    assert not result.extra, f"{len(result.extra)} changes do not follow from the orders, the first {result.extra[0]}"
    assert len(found) == sum(result.counts.values())
    assert result.ties > 0, "no deadline falls on the instant of an order, so their order is not tested"


@contextmanager
def evaluator(broker: str, prefix: str, directory: Path) -> Iterator[None]:
    """The evaluator as a process of its own; it must end cleanly."""
    environment = {
        **os.environ,
        "TIDEGATE_KAFKA_BOOTSTRAP": broker,
        "TIDEGATE_TOPIC_PREFIX": prefix,
        "TIDEGATE_PARTITIONS": str(PARTITIONS),
        "TIDEGATE_REPLAY_HISTORY": "true",
        "TIDEGATE_DATA_DIR": str(directory),
        "TIDEGATE_ADMIN_PORT": "0",
        "TIDEGATE_READ_API_PORT": "0",
    }
    with (directory / "evaluator.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.evaluator"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(STOP_TIMEOUT_S)
    assert code == 0, (directory / "evaluator.log").read_text(encoding="utf-8")


def await_silence(broker: str, prefix: str) -> None:
    """Wait until the evaluator's committed position is the end of the log and nothing more is published."""
    inputs = [TopicPartition(topic_name(prefix, Topic.CONTACT_CHANGES), each) for each in range(PARTITIONS)]
    outputs = [TopicPartition(topic_name(prefix, Topic.MEMBERSHIPS), each) for each in range(PARTITIONS)]
    consumer = Consumer({"bootstrap.servers": broker, "group.id": f"{prefix}evaluator", "enable.auto.commit": False})
    try:
        wanted = _ends(consumer, inputs)
        last, since = [-1], time.monotonic()
        deadline = since + DONE_TIMEOUT_S
        while time.monotonic() < deadline:
            positions = _positions(consumer, inputs)
            published = _ends(consumer, outputs)
            if published != last or positions != wanted:
                last, since = published, time.monotonic()
            elif time.monotonic() - since > QUIET_S:
                return
            time.sleep(POLL_S)
        raise AssertionError(f"the evaluator did not come to rest within {DONE_TIMEOUT_S} s")
    finally:
        consumer.close()


def _positions(consumer: Consumer, of: list[TopicPartition]) -> list[int]:
    """Committed positions; none while no coordinator answers, as right after the group's first member came."""
    try:
        return [position.offset for position in consumer.committed(of, timeout=10)]
    except KafkaException as error:
        passing = (KafkaError.NOT_COORDINATOR, KafkaError._TIMED_OUT)
        if error.args[0].retriable() or error.args[0].code() in passing:
            return []
        raise


def _ends(consumer: Consumer, of: list[TopicPartition]) -> list[int]:
    ends = []
    for each in of:
        bounds = consumer.get_watermark_offsets(each)
        assert bounds is not None, f"no bounds of {each}"
        ends.append(bounds[1])
    return ends
