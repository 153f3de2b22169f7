"""A child ends with its parent, however the parent ends, and never by a stranger's pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local.child import Child

PARENT = """
import sys, time
from deploy.local.child import Child
child = Child("sleeper", {command!r}, output=2)
print(child.pid, flush=True)
time.sleep(60)
"""
SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


WAIT_S = 60.0


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_when_its_parent_is_killed(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT.format(command=SLEEPER)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.send_signal(number)
    assert gone_within(child, WAIT_S)


def test_a_child_that_is_asked_stops_gracefully_and_its_watchdog_with_it() -> None:
    before = set(psutil.Process().children(recursive=True))
    child = Child("sleeper", SLEEPER, output=subprocess.DEVNULL)
    assert child.stop(WAIT_S)
    assert child.exit_code() == -signal.SIGTERM
    assert set(psutil.Process().children(recursive=True)) == before


def test_a_child_that_does_not_listen_is_killed_after_its_grace() -> None:
    child = Child("stubborn", STUBBORN)
    with child.output as output:
        assert output.readline() == b"deaf\n"
        assert not child.stop(0.2)
    assert child.exit_code() == -signal.SIGKILL


def test_a_child_is_out_of_reach_of_the_terminals_ctrl_c() -> None:
    child = Child("sleeper", SLEEPER, output=subprocess.DEVNULL)
    try:
        assert os.getpgid(child.pid) != os.getpgid(0)
    finally:
        child.stop(WAIT_S)


def test_a_child_that_cannot_have_a_watchdog_does_not_stay_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that lets no more processes begin."""
    started: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen

    def second_refused(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        if started:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(begin(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", second_refused)
    open_before = psutil.Process().num_fds()
    with pytest.raises(BlockingIOError):
        Child("sleeper", SLEEPER, output=subprocess.DEVNULL)
    try:
        assert started[0].returncode == -signal.SIGKILL
        assert psutil.Process().num_fds() <= open_before
    finally:
        started[0].kill()
