"""Sends records as a stranger's producer does: any bytes, no headers."""

from __future__ import annotations

from aiokafka import AIOKafkaProducer


async def send_raw(bootstrap: str, topic: str, value: bytes, key: bytes | None = None) -> None:
    """Send one record; murmur2 of the key chooses the partition."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, key=key)
    finally:
        await producer.stop()
