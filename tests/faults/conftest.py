"""A broker that a test may kill, beside the one that all tests share; and the table of faults at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.kafka import LocalKafka
from deploy.local.ports import free_ports
from deploy.local.say import to_standard_error
from tests.faults.table import shown


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[LocalKafka]:
    """A real broker of this test's own."""
    port, controller_port = free_ports(2)
    kafka = LocalKafka(tmp_path / "kafka", port, controller_port, to_standard_error)
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line a fault."""
    if shown():
        terminalreporter.section("faults")
        for line in shown():
            terminalreporter.write_line(line)
