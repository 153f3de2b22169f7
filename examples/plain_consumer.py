"""Membership changes with nothing but a Kafka client: what a consumer in any language does.

`python -m examples.plain_consumer localhost:9092` prints them. Two things make it exact: it reads committed records
only, and it applies a change only if its version (at, offset) is greater than the last one of its key. A record without
a value is a tombstone: the contact or the segment is gone, and the exit before it said so. One more keeps it going: a
record that is no membership change, because somebody else wrote it, is said and passed by.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError

FIELDS = {"segment_id", "contact_id", "change", "member", "at", "offset", "cause"}
"""Of a change, those that are read here or by whoever is given it."""


@asynccontextmanager
async def open_changes(bootstrap: str, topic: str = "memberships") -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """Every membership change from the beginning of the topic on, each once."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        yield _each_once(consumer)
    finally:
        await consumer.stop()


async def _each_once(consumer: AIOKafkaConsumer) -> AsyncIterator[dict[str, Any]]:
    versions: dict[bytes, tuple[int, int]] = {}
    async for record in consumer:
        if record.value is None:
            versions.pop(record.key, None)
            continue
        change = _change(record.value)
        if change is None:
            place = f"{record.topic}, partition {record.partition}, offset {record.offset}"
            print(f"{place}: no membership change", file=sys.stderr, flush=True)
            continue
        version = (change["at"], change["offset"])
        if version > versions.get(record.key, (-1, -1)):
            versions[record.key] = version
            yield change


def _change(value: bytes) -> dict[str, Any] | None:
    """The change in a record; None if it is none. Fields that are not known yet may be added to it."""
    try:
        change = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(change, dict) or not change.keys() >= FIELDS:
        return None
    return change if isinstance(change["at"], int) and isinstance(change["offset"], int) else None


async def main(bootstrap: str) -> None:
    """Print changes for ever."""
    async with open_changes(bootstrap) as changes:
        async for change in changes:
            print(change["change"], change["segment_id"], change["contact_id"], change["cause"]["kind"], flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [bootstrap]:
            try:
                asyncio.run(main(bootstrap))
            except KafkaConnectionError as error:
                sys.exit(f"no Kafka broker answers at {bootstrap}: {error}")
            except KeyboardInterrupt:
                sys.exit(130)
        case _:
            print("usage: python -m examples.plain_consumer BOOTSTRAP", file=sys.stderr)
            sys.exit(2)
