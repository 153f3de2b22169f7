"""`tidegate up` as a person or a program meets it: one line when ready, data kept, nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from deploy.local.plan import StackPorts
from deploy.local.ports import free_base

UP = (sys.executable, "-m", "tidegate.cli.main", "up")
STOP_BUDGET_S = 20
ORPHANS_END_WITHIN_S = 20


class Up:
    """The command in a process of its own, in its JSON form."""

    def __init__(self, directory: Path, base: int) -> None:
        self.directory = directory
        self.log = directory.with_suffix(".log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*UP, "--json", "--data-dir", directory, "--port-base", str(base), "--partitions", "2"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.ready: dict[str, Any] = json.loads(line)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        assert self.process.stdout.read() == "", "the ready line is the only one on standard output"
        self.process.stdout.close()
        return code

    def await_orphans_gone(self) -> None:
        deadline = time.monotonic() + ORPHANS_END_WITHIN_S
        while [pid for pid in self.ready["pids"].values() if psutil.pid_exists(pid)]:
            assert time.monotonic() < deadline, "processes outlived their killed supervisor"
            time.sleep(0.1)


@pytest.mark.broker
@pytest.mark.timeout(240)
def test_a_stack_keeps_its_data_through_a_stop_and_through_a_kill_of_the_supervisor(tmp_path: Path) -> None:
    base = free_base(StackPorts.SPAN)
    first = Up(tmp_path / "data", base)
    try:
        assert list(first.ready) == ["ingest", "console", "kafka", "key", "pids"]
        assert first.ready["ingest"] == f"http://127.0.0.1:{base}"
        assert first.ready["console"] == f"http://127.0.0.1:{base + 1}"
        assert first.ready["kafka"] == f"127.0.0.1:{base + 3}"
        assert set(first.ready["pids"]) == {"kafka", *StackPorts.documented().admin}
        headers = {"Authorization": f"Bearer {first.ready['key']}"}
        body = {"id": "kept", "where": 'plan is "Pro"'}
        created = httpx.post(f"{first.ready['ingest']}/api/v2/segments", headers=headers, json=body)
        assert created.status_code == 201, created.text
    finally:
        began = time.monotonic()
        code = first.end(signal.SIGTERM)
    assert code == 0, first.log.read_text()
    assert time.monotonic() - began <= STOP_BUDGET_S
    assert not [pid for pid in first.ready["pids"].values() if psutil.pid_exists(pid)]

    second = Up(tmp_path / "data", base)
    try:
        assert second.ready["key"] == first.ready["key"]
        kept = httpx.get(f"{second.ready['ingest']}/api/v2/segments/kept", headers=headers)
        assert kept.status_code == 200, kept.text
    finally:
        second.end(signal.SIGKILL)
    second.await_orphans_gone()

    third = Up(tmp_path / "data", base)
    assert third.end(signal.SIGINT) == 0


def test_a_port_base_out_of_range_is_a_usage_error() -> None:
    done = subprocess.run([*UP, "--port-base", "80"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--port-base" in done.stderr


def test_ephemeral_with_a_data_directory_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [*UP, "--ephemeral", "--data-dir", tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "--ephemeral keeps nothing, --data-dir keeps everything there; choose one of them.\n"


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = subprocess.run(
        [*UP, "--data-dir", tmp_path / "file" / "data"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path}/file/data cannot be written (Not a directory); choose another --data-dir.\n"
