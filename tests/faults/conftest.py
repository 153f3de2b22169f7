"""A broker behind a network that a test may break, and what each test has shown, in its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from deploy.local.kafka import LocalKafka
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.say import to_standard_error
from tests.faults.table import PROPERTY, taken


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    """Where the network is entered, and where it ends at the broker."""
    entrance, far = free_ports(2)
    return entrance, far


@pytest.fixture(scope="module")
def far_broker(tmp_path_factory: pytest.TempPathFactory, ports: tuple[int, int]) -> Iterator[LocalKafka]:
    """A broker with two doors: one beside it, and one that it advertises as the entrance of the network."""
    port, controller_port = free_ports(2)
    entrance, far = ports
    listeners = f"PLAINTEXT://{LOOPBACK}:{port},FAR://{LOOPBACK}:{far}"
    properties = {
        "listeners": f"{listeners},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port},FAR://{LOOPBACK}:{entrance}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }
    directory = tmp_path_factory.mktemp("far")
    kafka = LocalKafka(directory, port, controller_port, to_standard_error, properties=properties)
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()


@pytest.fixture(autouse=True)
def reported(record_property: Callable[[str, object], None]) -> Iterator[None]:
    """Give a test's report the lines that the test has shown."""
    yield
    for line in taken():
        record_property(PROPERTY, line)
