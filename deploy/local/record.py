"""What is known outside about a running stack: `stack.json` in its data directory.

Rule: the file is replaced whole, so a reader never sees half of it. After a crash of the supervisor it names the
processes that may still be ending; a pid counts only with the start time beside it, since pids are used again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.local.child import ORPHAN_GRACE_S
from deploy.local.say import Say

FILE_NAME = "stack.json"
SAME_START_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class StackRecord:
    """Addresses and processes of one stack."""

    addresses: Mapping[str, str]
    pids: Mapping[str, int]
    ready: Mapping[str, str]
    """Where each service says whether it is ready, and if not, why."""

    def write(self, directory: Path) -> None:
        """Replace the directory's record."""
        started = {name: (pid, _started_at(pid)) for name, pid in self.pids.items()}
        processes = {name: {"pid": pid, "started_at": at} for name, (pid, at) in started.items() if at is not None}
        unfinished = directory / f"{FILE_NAME}.new"
        unfinished.write_text(
            json.dumps({**self.addresses, "ready": dict(self.ready), "processes": processes}, indent=2) + "\n",
            encoding="utf-8",
        )
        unfinished.replace(directory / FILE_NAME)


def end_leftovers(directory: Path, say: Say) -> None:
    """Wait for the processes that a killed supervisor left behind, which their watchdogs end; end them if need be."""
    leftovers = _alive(directory / FILE_NAME)
    if not leftovers:
        return
    say(f"An earlier stack on this directory was killed; waiting for {len(leftovers)} of its processes to end.")
    _, stubborn = psutil.wait_procs(leftovers, timeout=ORPHAN_GRACE_S + 2)
    for process in stubborn:
        process.kill()
    psutil.wait_procs(stubborn, timeout=5)


def forget(directory: Path) -> None:
    """Remove the record after a clean stop."""
    (directory / FILE_NAME).unlink(missing_ok=True)


def _started_at(pid: int) -> float | None:
    """Return when a process started, or None when it has ended already."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def _alive(file: Path) -> list[psutil.Process]:
    """Return the recorded processes that still run."""
    if not file.exists():
        return []
    try:
        processes = json.loads(file.read_text(encoding="utf-8"))["processes"]
    except (ValueError, KeyError, TypeError):
        return []  # Half a file is left by a machine that went down, and its processes with it.
    alive = []
    for recorded in processes.values():
        try:
            process = psutil.Process(recorded["pid"])
            same = abs(process.create_time() - recorded["started_at"]) < SAME_START_WITHIN_S
            if same and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
        except psutil.NoSuchProcess:
            continue
    return alive
