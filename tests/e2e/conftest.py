"""A whole running system for a test: `tidegate up` in a process of its own, on free ports, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.waiting import until
from deploy.local.plan import StackPorts
from deploy.local.ports import free_base

READY_TIMEOUT_S = 180
STOP_TIMEOUT_S = 90
DEFINED_S = 60.0
PARTITIONS = 4
COMMAND = Path(sys.executable).parent / "tidegate"


@dataclass
class RunningSystem:
    """Addresses and process ids as `tidegate up --json` prints them, with a client that holds the key."""

    ingest: str
    console: str
    kafka: str
    key: str
    pids: dict[str, int]
    partitions: int
    http: httpx.Client
    folder: Path

    def kill(self, service: str) -> None:
        """End a service as a crash would."""
        os.kill(self.pids[service], signal.SIGKILL)

    def post(self, path: str, body: Any) -> httpx.Response:
        """Write through ingest; the answer must be a success."""
        answer = self.http.post(f"{self.ingest}/api/v2{path}", json=body)
        assert answer.is_success, f"{answer.status_code} {answer.text}"
        return answer

    def define(self, segment_id: str, where: Any) -> None:
        """Create a segment and wait until every partition has it: definitions and writes travel apart."""
        self.post("/segments", {"id": segment_id, "where": where})
        path = f"{self.console}/api/v2/segments/{segment_id}"
        until(lambda: self.http.get(path).json(), DEFINED_S, f"{segment_id} everywhere", satisfies=_is_everywhere)


def _is_everywhere(segment: dict[str, Any]) -> bool:
    return segment.get("settling") is False


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """One running system for all tests of this folder."""
    with running(tmp_path_factory.mktemp("system")) as system:
        yield system


@contextmanager
def running(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[RunningSystem]:
    """A system of its own, with these variables beside the present ones."""
    arguments = ["up", "--json", "--data-dir", str(folder), "--port-base", str(free_base(StackPorts.SPAN))]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [COMMAND, *arguments, "--partitions", str(PARTITIONS)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        try:
            system = _ready(process, folder)
            with system.http:
                yield system
        finally:
            process.terminate()
            assert process.wait(STOP_TIMEOUT_S) == 0
            assert process.stdout is not None
            process.stdout.close()


def _ready(process: subprocess.Popen[str], folder: Path) -> RunningSystem:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, (folder / "log").read_text()
    told = json.loads(line)
    http = httpx.Client(headers={"Authorization": f"Bearer {told['key']}"}, timeout=READY_TIMEOUT_S)
    return RunningSystem(**told, partitions=PARTITIONS, http=http, folder=folder)
