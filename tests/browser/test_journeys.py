"""The dashboard's journeys as one test: a real browser on the real stack, by Node's own test runner.

Where Node 20, npm or Chromium is absent the journeys are reported as skipped, with what to install; with
`TIDEGATE_REQUIRE_BROWSER=1` that is a failure.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests import node

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "clients" / "dashboard"
CHROMIUM = Path(os.environ.get("TIDEGATE_CHROMIUM", "/usr/bin/chromium"))
JOURNEYS_MIN = 20
TIMEOUT_S = 1_200
REQUIRED = "TIDEGATE_REQUIRE_BROWSER"


def absent() -> str | None:
    """What the journeys lack here, and what to do; None when they can run."""
    if (lacking := node.absent()) is not None:
        return lacking
    if not CHROMIUM.exists():
        return f"there is no Chromium at {CHROMIUM} (on Debian: apt-get install chromium; or set TIDEGATE_CHROMIUM)"
    return node.not_installed(DASHBOARD)


@pytest.mark.browser
@pytest.mark.broker
@pytest.mark.timeout(node.INSTALL_S + TIMEOUT_S)
def test_every_journey_of_the_dashboard_succeeds_in_a_real_browser() -> None:
    lacking = absent()
    if lacking is not None:
        told = f"THE DASHBOARD'S JOURNEYS WERE NOT RUN: {lacking}"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(told)
        pytest.skip(told)
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
