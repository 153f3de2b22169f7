"""An ingest process of its own, to be killed, and what it left on the log."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx

from deploy.local.ports import free_ports
from services.ingest.settings import IngestSettings

READY_WITHIN_S = 120


class IngestProcess:
    """`python -m services.ingest` with the settings of a test."""

    def __init__(self, settings: IngestSettings) -> None:
        self.port, admin_port = free_ports(2)
        self._environment = {
            **os.environ,
            "TIDEGATE_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "TIDEGATE_TOPIC_PREFIX": settings.topic_prefix,
            "TIDEGATE_PARTITIONS": str(settings.partitions),
            "TIDEGATE_DATA_DIR": str(settings.data_dir),
            "TIDEGATE_INGEST_PORT": str(self.port),
            "TIDEGATE_ADMIN_PORT": str(admin_port),
        }
        self.log = Path(settings.data_dir) / "ingest.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v2"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start, and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.ingest", env=self._environment, stdout=log, stderr=log
            )
        async with asyncio.timeout(READY_WITHIN_S), httpx.AsyncClient() as http:
            while True:
                assert self._process.returncode is None, self.log.read_text()
                try:
                    await http.get(f"{self.url}/imports")
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                else:
                    return

    async def end(self, how: signal.Signals = signal.SIGKILL) -> int:
        """End the process; its exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(how)
        return await self._process.wait()
