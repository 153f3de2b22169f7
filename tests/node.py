"""What a test needs of Node: whether it is here, and the packages that a folder's lock file names.

Rule: a test whose tools are absent is told as not run, and is a failure when `TIDEGATE_REQUIRE_NODE` is 1.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

MAJOR_MIN = 20
INSTALL_S = 240
REQUIRED = "TIDEGATE_REQUIRE_NODE"


def require(folder: Path, purpose: str) -> None:
    """Have a folder's locked packages installed, or end the test. `purpose` is what then was not run.

    Errors: a failed test, or a skipped one where nothing demands Node.
    """
    reason = absent() or not_installed(folder)
    if reason is None:
        return
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{purpose}: {reason}, and {REQUIRED} is 1")
    # A machine without Node can run all else; `.ci/run` demands it wherever there is one, and names what it leaves out.
    pytest.skip(f"NOT RUN: {purpose}: {reason}")


def absent() -> str | None:
    """Which tool is missing on this machine; None when none is."""
    node = shutil.which("node")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout if node else ""
    major = re.match(r"v(\d+)", version)
    if major is None or int(major[1]) < MAJOR_MIN:
        return f"Node {MAJOR_MIN} or later is not installed (found: {version.strip() or 'none'})"
    return None if shutil.which("npm") else "npm is not installed"


def not_installed(folder: Path) -> str | None:
    """Install what the folder's lock file names unless it is there; why that failed, None when it did not.

    One process installs, and those that ask for the same folder meanwhile wait for it.
    """
    with (folder / "package-lock.json").open() as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        return _not_installed(folder)


def _not_installed(folder: Path) -> str | None:
    installed = folder / "node_modules" / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= (folder / "package-lock.json").stat().st_mtime:
        return None
    done = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False,
    )  # fmt: skip
    return None if done.returncode == 0 else f"npm could not install it: {done.stderr.strip()[-500:]}"
