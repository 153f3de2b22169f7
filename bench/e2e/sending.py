"""Sends one load at planned instants, in a process of its own: `python -m bench.e2e.sending PLAN`.

Open loop: a record leaves at its instant whatever became of those before it, and its latency counts from that instant,
so a stall is paid for by every record behind it. Prints one line of JSON: place and planned instant, by the
machine's monotonic clock, of the first record of each `every`, and how late the sender itself was.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Message, Producer

FLUSH_TIMEOUT_S = 30
LEAD_S = 0.2
"""From the start of the process's work to the first planned instant."""
SLEEP_MAX_S = 0.005


def main() -> None:
    """Send what the plan's file lists, at the plan's rate."""
    plan = json.loads(sys.argv[1])
    records: list[tuple[int, str, str]] = orjson.loads(Path(plan["records"]).read_bytes())
    print(orjson.dumps(send(plan, records)).decode(), flush=True)


def send(plan: dict[str, Any], records: list[tuple[int, str, str]]) -> dict[str, Any]:
    """Send each record at its instant. Shape: `places` holds partition, offset and planned instant of those timed."""
    producer = Producer(
        {"bootstrap.servers": plan["broker"], "linger.ms": 0, "acks": "all", "enable.idempotence": True}
    )
    places: list[tuple[int, int, float]] = []
    failed: list[str] = []
    lateness: list[float] = []
    topic, rate, every = plan["topic"], plan["rate_per_s"], plan["every"]
    began = time.monotonic() + LEAD_S
    for number, (partition, key, value) in enumerate(records):
        planned = began + number / rate
        while (wait := planned - time.monotonic()) > 0:
            # The pace is the clock's alone. Sleep, not poll: a poll shorter than a millisecond does not wait, and would
            # take a core from the measured.
            time.sleep(min(wait, SLEEP_MAX_S))
            producer.poll(0)

        def on_delivery(error: Any, message: Message, at: float = planned, timed: bool = number % every == 0) -> None:
            if error is None:
                if timed:
                    places.append((message.partition() or 0, message.offset() or 0, at))
            else:
                failed.append(str(error))

        lateness.append(time.monotonic() - planned)
        producer.produce(topic, key=key, value=value, partition=partition, on_delivery=on_delivery)
        producer.poll(0)
    left = producer.flush(FLUSH_TIMEOUT_S)
    if left or failed:
        raise SystemExit(f"{left} records were not delivered, {len(failed)} failed: {failed[:1]}")
    lateness.sort()
    return {"places": places, "late_p99_ms": lateness[int(len(lateness) * 0.99)] * 1_000}


if __name__ == "__main__":
    main()
