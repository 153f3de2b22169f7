"""The evaluator as a process under measurement."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType

import orjson
import psutil

from bench.e2e.workspace import BenchWorkspace
from bench.waiting import until
from deploy.local.ports import free_ports
from services.evaluator.read_api import WAIT_MAX_MS

READY_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 30.0
WORK_TIMEOUT_S = 1_800.0
"""Far beyond the largest backlog that is measured: it ends a run whose evaluator makes no headway."""
POLL_S = 0.02
ROOT = Path(__file__).parents[2]


class EvaluatorUnderTest:
    """Starts, watches and stops one evaluator."""

    def __init__(self, workspace: BenchWorkspace, directory: Path, static_member: str | None = "bench") -> None:
        self._admin_port, self._read_port = free_ports(2)
        self.admin_url = f"http://127.0.0.1:{self._admin_port}"
        self._log = directory.parent / f"{directory.name}.log"
        self.ready_s = 0.0
        self._environment = {
            **os.environ,
            "TIDEGATE_KAFKA_BOOTSTRAP": workspace.broker,
            "TIDEGATE_TOPIC_PREFIX": workspace.prefix,
            "TIDEGATE_PARTITIONS": str(workspace.partitions),
            "TIDEGATE_REPLAY_HISTORY": "true" if workspace.replay_history else "false",
            "TIDEGATE_DATA_DIR": str(directory),
            "TIDEGATE_ADMIN_PORT": str(self._admin_port),
            "TIDEGATE_READ_API_PORT": str(self._read_port),
            **({"TIDEGATE_STATIC_MEMBER": static_member} if static_member is not None else {}),
        }

    def start(self) -> None:
        """Start it, and return when it is ready."""
        began = time.perf_counter()
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "services.evaluator"]
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, cwd=ROOT)
        self.watched = psutil.Process(self._process.pid)
        until(self._is_ready, READY_TIMEOUT_S, f"the evaluator to be ready, see {self._log}", POLL_S)
        self.ready_s = time.perf_counter() - began

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> EvaluatorUnderTest:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def cpu_s(self) -> float:
        """Processor time so far."""
        times = self.watched.cpu_times()
        return float(times.user + times.system)

    @property
    def rss_mib(self) -> float:
        """Resident memory."""
        return float(self.watched.memory_info().rss) / (1 << 20)

    def positions(self) -> dict[int, int]:
        """The next input offset of each partition: committed, or about to be."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._read_port}/internal/v1/counts", timeout=30) as answer:
            partitions = orjson.loads(answer.read())["partitions"]
        return {int(index): int(counts["offset"]) for index, counts in partitions.items()}

    def await_committed(self, ends: Mapping[int, int]) -> None:
        """Wait until every partition has committed its input to its end.

        The evaluator tells when it is so: being asked again and again would cost it what is measured.
        """
        for partition, end in ends.items():
            doing = f"partition {partition} to commit its input to {end}, see {self._log}"
            until(partial(self._is_committed, partition, end - 1), WORK_TIMEOUT_S, doing, POLL_S)

    def _is_committed(self, partition: int, offset: int) -> bool:
        asked = orjson.dumps({"partition": partition, "offsets": [offset], "timeout_ms": WAIT_MAX_MS})
        address = f"http://127.0.0.1:{self._read_port}/internal/v1/outcomes"
        with urllib.request.urlopen(address, asked, 2 * WAIT_MAX_MS / 1_000) as answer:
            (outcome,) = orjson.loads(answer.read())["outcomes"]
        return bool(outcome["committed"])

    def await_settled(self) -> None:
        """Wait until no backfill is under way."""
        until(lambda: not self._is_settling(), WORK_TIMEOUT_S, f"backfills to end, see {self._log}", POLL_S)

    def _is_settling(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._read_port}/internal/v1/counts", timeout=30) as answer:
            return any(counts["settling"] for counts in orjson.loads(answer.read())["partitions"].values())

    def metrics(self) -> str:
        """What it exports to Prometheus."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin_port}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def log_line(self, event: str) -> dict[str, object]:
        """The last logged event of a name."""
        lines = [orjson.loads(line) for line in self._log.read_bytes().splitlines() if line.startswith(b"{")]
        return next((line for line in reversed(lines) if line.get("event") == event), {})

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"the evaluator ended before it was ready, see {self._log}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._admin_port}/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
