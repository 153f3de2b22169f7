"""Reads membership changes as they appear, in a process of its own: `python -m bench.e2e.reading PLAN`.

Prints a line when it listens, reads until its standard input ends, then prints one line of JSON: of each input record
that led to a change of the probe, the place and the instant at which the change was read, by the monotonic clock.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import orjson
from confluent_kafka import Consumer, TopicPartition

POLL_S = 0.1
TAKE_MAX = 500


def main() -> None:
    """Read until told to stop."""
    plan = json.loads(sys.argv[1])
    stop = threading.Event()
    threading.Thread(target=_await_end, args=(stop,), daemon=True).start()
    print(orjson.dumps(read(plan, stop)).decode(), flush=True)


def _await_end(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


def read(plan: dict[str, Any], stop: threading.Event) -> list[tuple[int, int, float]]:
    """Read from the present end of the topic. No record waits for a later one."""
    consumer = Consumer(
        {
            "bootstrap.servers": plan["broker"],
            "group.id": plan["group"],
            "enable.auto.commit": False,
            "isolation.level": plan["isolation"],
            "fetch.wait.max.ms": 100,
        }
    )
    partitions = [TopicPartition(plan["topic"], partition) for partition in range(plan["partitions"])]
    ends = [TopicPartition(at.topic, at.partition, consumer.get_watermark_offsets(at)[1]) for at in partitions]
    consumer.assign(ends)
    print("listening", flush=True)
    prefix, found = plan["key_prefix"].encode(), []
    while not stop.is_set():
        first = consumer.poll(POLL_S)
        if first is None:
            continue
        # What came with it is there already: taking it one by one would cost the machine that is measured.
        messages = [first, *consumer.consume(TAKE_MAX, 0)]
        at = time.monotonic()
        for message in messages:
            key = message.key()
            if message.error() is None and isinstance(key, bytes) and key.startswith(prefix):
                found.append((at, message.value()))
    consumer.close()
    return [(change["cause"]["partition"], change["offset"], at) for at, change in _decoded(found)]


def _decoded(found: list[tuple[float, bytes | None]]) -> list[tuple[float, Any]]:
    """Decoded only when the measurement is over."""
    return [(at, orjson.loads(value)) for at, value in found if value is not None]


if __name__ == "__main__":
    main()
