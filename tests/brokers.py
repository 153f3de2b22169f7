"""Real brokers of a test's own, for what must not happen to the one that all tests share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.local.kafka import LocalKafka
from deploy.local.ports import free_ports
from deploy.local.say import to_standard_error


@contextmanager
def local_broker(directory: Path, properties: Mapping[str, str] | None = None) -> Iterator[LocalKafka]:
    """The local stack's own broker on free ports, stopped at the end."""
    port, controller_port = free_ports(2)
    kafka = LocalKafka(directory, port, controller_port, to_standard_error, properties=properties)
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()
