"""`tidegate doctor` and a broker that is away or frozen: the checks say it, and nothing else is printed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = "127.0.0.1:1"


@pytest.fixture
def frozen() -> Iterator[str]:
    """Where connections are taken and nothing is ever answered, as by a stopped process."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def examine(broker: str, folder: Path) -> tuple[dict[str, object], str]:
    """What the check of the broker found, and what stood on standard error."""
    command = [sys.executable, "-m", "tidegate.cli.main", "doctor", "--json", "--url", f"http://{NOBODY}"]
    ended = subprocess.run(
        [*command, "--kafka", broker],
        env={**os.environ, "TIDEGATE_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    (check,) = [check for check in json.loads(ended.stdout) if check["name"] == "kafka"]
    return check, ended.stderr


def test_a_broker_that_is_frozen_is_said_by_the_check_alone(frozen: str, tmp_path: Path) -> None:
    check, errors = examine(frozen, tmp_path)
    assert (check["ok"], check["found"]) == (False, f"no broker answers at {frozen} (KafkaConnectionError)")
    assert errors == ""


def test_a_broker_that_is_away_is_said_by_the_check_alone(tmp_path: Path) -> None:
    check, errors = examine(NOBODY, tmp_path)
    assert (check["ok"], check["found"]) == (False, f"no broker answers at {NOBODY} (KafkaConnectionError)")
    assert errors == ""
