"""The dashboard's journeys as one test: a real browser on the real stack, by Node's own test runner.

Node 20, npm and Chromium are the only tools that the product itself does not need. Where one is absent the journeys are
reported as skipped, with what to install; with `TIDEGATE_REQUIRE_BROWSER=1` that is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "clients" / "dashboard"
CHROMIUM = Path(os.environ.get("TIDEGATE_CHROMIUM", "/usr/bin/chromium"))
NODE_MAJOR_MIN = 20
JOURNEYS_MIN = 20
INSTALL_TIMEOUT_S = 240
TIMEOUT_S = 1_200
REQUIRED = "TIDEGATE_REQUIRE_BROWSER"


def absent() -> str | None:
    """What the journeys lack here, and what to do; None when they can run."""
    node = shutil.which("node")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout if node else ""
    major = re.match(r"v(\d+)", version)
    if major is None or int(major[1]) < NODE_MAJOR_MIN:
        return f"Node {NODE_MAJOR_MIN} or later is not installed (found: {version.strip() or 'none'})"
    if shutil.which("npm") is None:
        return "npm is not installed"
    if not CHROMIUM.exists():
        return f"there is no Chromium at {CHROMIUM} (on Debian: apt-get install chromium; or set TIDEGATE_CHROMIUM)"
    return None


@pytest.mark.browser
@pytest.mark.broker
@pytest.mark.timeout(INSTALL_TIMEOUT_S + TIMEOUT_S)
def test_every_journey_of_the_dashboard_succeeds_in_a_real_browser() -> None:
    lacking = absent()
    if lacking is not None:
        told = f"THE DASHBOARD'S JOURNEYS WERE NOT RUN: {lacking}"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(told)
        pytest.skip(told)
    if not (DASHBOARD / "node_modules" / "playwright-core").exists():
        install = ["npm", "--prefix", str(DASHBOARD), "ci", "--no-audit", "--no-fund"]
        subprocess.run(install, check=True, timeout=INSTALL_TIMEOUT_S)
    run = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "tests/browser/"],
        cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-4_000:]
    passed = re.findall(r"^# pass (\d+)$", run.stdout, re.MULTILINE)
    assert int(passed[-1]) >= JOURNEYS_MIN, run.stdout[-4_000:]


def test_a_machine_without_a_browser_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Node 20 or later is not installed" in (absent() or "")
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="WERE NOT RUN"):
        test_every_journey_of_the_dashboard_succeeds_in_a_real_browser()
    monkeypatch.delenv(REQUIRED)
    with pytest.raises(pytest.skip.Exception, match="WERE NOT RUN"):
        test_every_journey_of_the_dashboard_succeeds_in_a_real_browser()
