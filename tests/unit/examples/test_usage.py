"""An example that is started without what it needs says what that is, and how it is started."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "arguments", "wanted"),
    [
        ("examples.workflow", (), "BOOTSTRAP DATABASE"),
        ("examples.workflow", ("localhost:9092",), "BOOTSTRAP DATABASE"),
        ("examples.plain_consumer", (), "BOOTSTRAP"),
        ("examples.plain_consumer", ("localhost:9092", "memberships"), "BOOTSTRAP"),
    ],
)
def test_an_example_with_other_arguments_than_it_takes_shows_its_usage(
    module: str, arguments: tuple[str, ...], wanted: str
) -> None:
    ended = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (2, f"usage: python -m {module} {wanted}\n")


@pytest.mark.parametrize(
    "arguments", [("examples.workflow", "127.0.0.1:9", ":memory:"), ("examples.plain_consumer", "127.0.0.1:9")]
)
def test_an_example_that_finds_no_broker_says_so_without_a_trace(arguments: tuple[str, ...]) -> None:
    ended = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert "no Kafka broker answers at 127.0.0.1:9" in ended.stderr
