"""What all suites share: a real Kafka broker, one that a test may kill, topics of one's own, how properties are tried.

The table of faults is printed here, since the process that prints may have run none of them.

Rule: a test that asks for `broker` gets a real one or fails; it is never skipped. The broker is named by
`TIDEGATE_TEST_BROKER`, else a container when a Docker engine answers, else the local stack's own, on free ports in a
temporary directory. A busy machine is no failure, so an example of a property has no time limit, and neither has making
one; `TIDEGATE_PROPERTY_EXAMPLES` sets how many examples a property tries that does not say so itself.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest
from hypothesis import HealthCheck, settings

from deploy.local.kafka import LocalKafka
from tests.brokers import local_broker
from tests.faults.table import PROPERTY, in_order

BROKER_VARIABLE = "TIDEGATE_TEST_BROKER"
DOCKER_SOCKET = Path("/var/run/docker.sock")
DOCKER_ANSWER_TIMEOUT_S = 2.0
CONTAINER_IMAGE = "confluentinc/cp-kafka:8.1.0"
"""The container that testcontainers knows how to start; it carries Apache Kafka 4.1."""

TESTS = Path(__file__).parent

settings.register_profile(
    "tidegate",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=int(os.environ.get("TIDEGATE_PROPERTY_EXAMPLES", "100")),
)
settings.load_profile("tidegate")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of a real broker, the same for the whole session."""
    named = os.environ.get(BROKER_VARIABLE)
    if named:
        yield named
    elif _docker_answers():
        yield from _container()
    else:
        yield from _local(tmp_path_factory.mktemp("kafka"))


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[LocalKafka]:
    """A real broker that only this test uses, because it stops, freezes or kills it."""
    with local_broker(tmp_path / "kafka") as kafka:
        yield kafka


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topic names that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}-"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that no process is left with it at the end."""
    items.sort(key=lambda item: TESTS / "simulation" not in item.path.parents)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line a fault, when any was run."""
    ended = (report for reports in terminalreporter.stats.values() for report in reports if _is_ended(report))
    lines = [str(line) for report in ended for name, line in report.user_properties if name == PROPERTY]
    if lines:
        terminalreporter.section("faults")
        for line in in_order(lines):
            terminalreporter.write_line(line)


def _is_ended(report: object) -> TypeGuard[pytest.TestReport]:
    return isinstance(report, pytest.TestReport) and report.when == "teardown"


def _local(directory: Path) -> Iterator[str]:
    with local_broker(directory) as kafka:
        yield kafka.bootstrap


def _container() -> Iterator[str]:
    from testcontainers.kafka import KafkaContainer

    with KafkaContainer(CONTAINER_IMAGE).with_kraft() as container:
        yield container.get_bootstrap_server()


def _docker_answers() -> bool:
    """Whether an engine answers on Docker's socket; an installed client alone starts no container."""
    if not DOCKER_SOCKET.exists():
        return False
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DOCKER_ANSWER_TIMEOUT_S)
        try:
            connection.connect(str(DOCKER_SOCKET))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
        except OSError:
            return False
