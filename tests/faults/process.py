"""A service as a real process that can be killed, frozen and stopped.

Rule: only processes started here are signalled, by their own handle.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from deploy.local.ports import free_ports
from tests.beside import beside
from tests.faults.workspace import Workspace
from tests.waiting import until

READY_TIMEOUT_S = 40.0
STOP_TIMEOUT_S = 25.0
RESTART_AFTER_S = 0.5
LOG_END_CHARS = 6_000
EXIT_REFUSED = 78
"""The exit code that asks for a person, not for a restart."""


class Service:
    """One process with a directory of its own."""

    def __init__(self, workspace: Workspace, directory: Path, module: str, **settings: str) -> None:
        self._module = module
        self.file_bytes_max: int | None = None
        """When set, the process's files cannot grow beyond it, as on a full disk."""
        self.directory = directory
        self._admin_port, self.read_port = free_ports(2)
        self._log = directory / "process.log"
        self.restarts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **os.environ,
            "TIDEGATE_KAFKA_BOOTSTRAP": workspace.broker,
            "TIDEGATE_TOPIC_PREFIX": workspace.prefix,
            "TIDEGATE_PARTITIONS": str(workspace.partitions),
            "TIDEGATE_REPLAY_HISTORY": str(workspace.settings.replay_history).lower(),
            "TIDEGATE_DATA_DIR": str(directory),
            "TIDEGATE_ADMIN_PORT": str(self._admin_port),
            "TIDEGATE_READ_API_PORT": str(self.read_port),
            **{f"TIDEGATE_{name.upper()}": value for name, value in settings.items()},
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
        if error is not None:
            error.add_note(f"{self.directory.name}, started again {self.restarts} times, said last:\n{self.log_end}")

    @property
    def log(self) -> str:
        """Everything that the process said."""
        return self._log.read_text() if self._log.exists() else ""

    @property
    def log_end(self) -> str:
        """The last of what the process said."""
        return self.log[-LOG_END_CHARS:]

    @property
    def resident_bytes(self) -> int:
        """The memory that the process holds."""
        if self._process is None:
            raise AssertionError("the process was not started")
        return int(psutil.Process(self._process.pid).memory_info().rss)

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; it is not ready yet."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=Path(__file__).parents[2],
            )
            if self.file_bytes_max is not None:
                limit = (self.file_bytes_max, self.file_bytes_max)
                resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, limit)

    async def ready(self, timeout_s: float = READY_TIMEOUT_S) -> float:
        """Wait until it works its partitions; seconds waited."""
        began = time.monotonic()
        await until(self._is_ready, timeout_s, "the process to be ready")
        return time.monotonic() - began

    async def _is_ready(self) -> bool:
        if await self.told("/ready") is not None:
            return True
        if not self.running:
            raise AssertionError(f"the process ended before it was ready:\n{self.log_end}")
        return False

    def signal(self, number: int) -> None:
        """Send a signal."""
        if self._process is None:
            raise AssertionError("the process was not started")
        self._process.send_signal(number)

    async def kill(self) -> None:
        """`kill -9`, and wait for the end."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def ended(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for the end; the exit code."""
        if self._process is None:
            raise AssertionError("the process was not started")
        return await asyncio.to_thread(self._process.wait, timeout_s)

    async def stop(self) -> int:
        """SIGTERM, and wait; the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    @asynccontextmanager
    async def kept_running(self) -> AsyncIterator[None]:
        """Start the process again whenever it fails, as a supervisor does."""
        async with beside(self._keep_running()):
            yield

    async def _keep_running(self) -> None:
        while True:
            await asyncio.sleep(RESTART_AFTER_S)
            if self._process is not None and self._process.poll() not in (None, 0, EXIT_REFUSED):
                self.restarts += 1
                self.start()

    async def told(self, path: str) -> str | None:
        """What its admin server answers; None if it does not answer with 200."""
        return await asyncio.to_thread(self._told, path)

    def _told(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._admin_port}{path}", timeout=2) as answer:
                return str(answer.read().decode()) if answer.status == 200 else None
        except (urllib.error.URLError, OSError):
            return None


class Evaluator(Service):
    """One evaluator process with a state directory of its own."""

    def __init__(
        self, workspace: Workspace, directory: Path, module: str = "services.evaluator", **settings: str
    ) -> None:
        super().__init__(workspace, directory, module, **settings)


class Scheduler(Service):
    """One scheduler process."""

    def __init__(self, workspace: Workspace, directory: Path, **settings: str) -> None:
        super().__init__(workspace, directory, "services.scheduler", **settings)
