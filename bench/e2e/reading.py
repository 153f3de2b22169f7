"""Reads membership changes as they appear, in a process of its own: `python -m bench.e2e.reading PLAN`.

Prints a line when it listens. Told on its standard input how many changes of the probe there must be, it reads until it
has them, or for a bounded time, then prints one line of JSON: of each change its causing record's place, the instant at
which it was read by the monotonic clock, and the contact.
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
REST_TIMEOUT_S = 30.0
"""How long the last changes may take after they were asked for."""


class Wanted:
    """How many distinct changes there must be, once somebody has said so."""

    def __init__(self) -> None:
        self._count: int | None = None
        self._until = 0.0

    def listen(self) -> None:
        """Take the number from standard input; an end without one asks for nothing more."""
        said = sys.stdin.readline()
        self._until = time.monotonic() + REST_TIMEOUT_S
        self._count = int(said or 0)

    def is_met(self, found: int) -> bool:
        """Whether there is nothing more to wait for."""
        return self._count is not None and (found >= self._count or time.monotonic() > self._until)


def main() -> None:
    """Read until there is nothing more to wait for."""
    plan = json.loads(sys.argv[1])
    wanted = Wanted()
    threading.Thread(target=wanted.listen, daemon=True).start()
    print(orjson.dumps(read(plan, wanted)).decode(), flush=True)


def read(plan: dict[str, Any], wanted: Wanted) -> list[tuple[int, int, float, str]]:
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
    prefix = plan["key_prefix"].encode()
    found: dict[bytes, float] = {}  # a repeated change is the same bytes; the first sight of it counts
    while not wanted.is_met(len(found)):
        first = consumer.poll(POLL_S)
        if first is None:
            continue
        # What came with it is there already: taking it one by one would cost the machine that is measured.
        messages = [first, *consumer.consume(TAKE_MAX, 0)]
        at = time.monotonic()
        for message in messages:
            key, value = message.key(), message.value()
            if message.error() is None and isinstance(key, bytes) and key.startswith(prefix) and value is not None:
                found.setdefault(value, at)
    consumer.close()
    decoded = ((orjson.loads(value), at) for value, at in found.items())
    return [(each["cause"]["partition"], each["offset"], at, each["contact_id"]) for each, at in decoded]


if __name__ == "__main__":
    main()
