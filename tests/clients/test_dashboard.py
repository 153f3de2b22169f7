"""The dashboard's own tests, its types, and that the files which console serves are those that its sources build.

Rule: the commands are those of its `package.json`. What it does in a browser is for `tests/browser`.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from services.console.page import DASHBOARD as SERVED
from tests import node

SOURCES = Path(__file__).parents[2] / "clients" / "dashboard"
COMMAND_S = 180
TESTS_MIN = 90
STAMP = "build.json"
"""Written by another step, and held to the sources by `tests/services/console/test_dashboard_files.py`."""
pytestmark = pytest.mark.timeout(node.INSTALL_S + COMMAND_S)


@pytest.fixture(autouse=True)
def installed() -> None:
    """The packages that the lock file names."""
    node.require(SOURCES, "the dashboard's own tests and type check")


def npm(*command: str) -> str:
    """Run a script of the dashboard, which must succeed; what it said, without colours."""
    done = subprocess.run(
        ["npm", "run", "--silent", *command],
        cwd=SOURCES, capture_output=True, text=True, timeout=COMMAND_S, check=False,
    )  # fmt: skip
    said = re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr)
    assert done.returncode == 0, said[-20_000:]
    return said


def test_the_dashboards_own_tests_pass() -> None:
    said = npm("test")
    passed = re.search(r"Tests\s+(\d+) passed \((\d+)\)", said)
    assert passed is not None, said
    assert passed[1] == passed[2], f"some were not run:\n{said}"
    assert int(passed[1]) >= TESTS_MIN, said


def test_the_dashboards_types_are_right() -> None:
    npm("types")


def test_the_files_that_console_serves_are_those_that_the_sources_build(tmp_path: Path) -> None:
    npm("bundle", "--", "--outDir", str(tmp_path), "--emptyOutDir")
    assert content(SERVED) == content(tmp_path), "run `make dashboard` and commit what it builds"


def content(folder: Path) -> dict[str, bytes]:
    """Every built file by its path."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != STAMP}
