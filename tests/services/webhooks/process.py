"""The service as a process of its own, to be started and ended again and again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx

from deploy.local.ports import free_ports
from tests.services.sdk.conftest import Workspace
from tests.services.sdk.stream import PARTITIONS
from tests.services.webhooks.receiver import WAIT_S
from tests.waiting import until

ROOT = Path(__file__).parents[3]
STOP_S = 90.0


class Process:
    """`python -m services.webhooks`, to be started again and again on one port."""

    def __init__(self, workspace: Workspace, directory: Path, **more: str) -> None:
        self.port, self._admin_port = free_ports(2)
        self._log = directory / "webhooks.log"
        self._environment = {
            **os.environ,
            "TIDEGATE_KAFKA_BOOTSTRAP": workspace.bootstrap,
            "TIDEGATE_TOPIC_PREFIX": workspace.prefix,
            "TIDEGATE_PARTITIONS": str(PARTITIONS),
            "TIDEGATE_DATA_DIR": str(directory),
            "TIDEGATE_WEBHOOKS_PORT": str(self.port),
            "TIDEGATE_ADMIN_PORT": str(self._admin_port),
            "TIDEGATE_WEBHOOKS_ALLOW_LOCAL": "true",
            "TIDEGATE_WEBHOOK_WAIT_FIRST_MS": "20",
            "TIDEGATE_WEBHOOKS_APPEND_TIMEOUT_MS": "60000",  # a busy machine's broker takes its time
            **more,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and return when it is ready."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.webhooks", cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        async with httpx.AsyncClient() as http:
            await until(lambda: self._is_ready(http), WAIT_S, "the service to be ready")

    async def end(self, how: signal.Signals) -> int:
        """Send a signal and await the end; the exit code."""
        assert self._process is not None
        self._process.send_signal(how)
        return await asyncio.wait_for(self._process.wait(), STOP_S)

    def said(self) -> str:
        """Its output so far, that of earlier starts too."""
        return self._log.read_text()

    async def _is_ready(self, http: httpx.AsyncClient) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self._log.read_text()
        try:
            answer = await http.get(f"http://127.0.0.1:{self._admin_port}/ready")
        except httpx.TransportError:
            return False
        return answer.status_code == 200
