"""All five services as processes of their own, each with the settings of its manifest on a secured cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.waiting import until
from deploy.local.ports import free_ports
from services.runtime.keys import KEY_FILE_NAME, KeyFile, Scope
from tests.services.access.cluster import SecuredCluster

SERVICES = ("evaluator", "scheduler", "ingest", "console", "webhooks")
PARTITIONS = 2
READY_TIMEOUT_S = 240
"""A process that ends fails the wait at once, so this only says how busy a machine may be."""
STOP_TIMEOUT_S = 25


class SecuredSystem:
    """The running services, their addresses, and a client that may do everything."""

    def __init__(self, cluster: SecuredCluster, directory: Path) -> None:
        ports = free_ports(4 + len(SERVICES))
        ingest, console, webhooks, reads = ports[:4]
        self._cluster = cluster
        self._directory = directory
        self._admin_ports = dict(zip(SERVICES, ports[4:], strict=True))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._shared = {
            "TIDEGATE_KEY_FILE": str(directory / KEY_FILE_NAME),
            "TIDEGATE_PARTITIONS": str(PARTITIONS),
            "TIDEGATE_LOG_LEVEL": "DEBUG",
            "TIDEGATE_INGEST_PORT": str(ingest),
            "TIDEGATE_CONSOLE_PORT": str(console),
            "TIDEGATE_WEBHOOKS_PORT": str(webhooks),
            "TIDEGATE_READ_API_PORT": str(reads),
            "TIDEGATE_INGEST_URL": f"http://127.0.0.1:{ingest}",
            "TIDEGATE_WEBHOOKS_URL": f"http://127.0.0.1:{webhooks}",
            "TIDEGATE_WEBHOOKS_ALLOW_LOCAL": "true",
        }
        self.ingest = f"http://127.0.0.1:{ingest}/api/v2"
        self.console = f"http://127.0.0.1:{console}/api/v2"
        token = KeyFile(directory / KEY_FILE_NAME).create("test", frozenset(Scope)).token
        self.http = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=READY_TIMEOUT_S)

    def start(self, service: str) -> None:
        """Start a service's process; it is not ready yet."""
        environment = {
            **os.environ,
            **self._cluster.environment(service),
            **self._shared,
            "TIDEGATE_DATA_DIR": str(self._directory / service),
            "TIDEGATE_ADMIN_PORT": str(self._admin_ports[service]),
        }
        with self._log(service).open("ab") as log:
            self._processes[service] = subprocess.Popen(
                [sys.executable, "-m", f"services.{service}"], env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def await_ready(self, service: str) -> None:
        """Return when a service says that it can do its work."""

        def is_ready() -> bool:
            assert self._processes[service].poll() is None, f"{service} ended: {self._said(service)}"
            return _is_ready(f"http://127.0.0.1:{self._admin_ports[service]}")

        try:
            until(is_ready, READY_TIMEOUT_S, f"{service} to be ready")
        except TimeoutError as late:
            late.add_note(self._said(service))
            raise

    def _said(self, service: str) -> str:
        return self._log(service).read_text()[-3_000:]

    def stop(self, *services: str) -> None:
        """Stop services; each must do so by itself, and say that nothing was wrong."""
        codes: dict[str, int] = {}
        for service in services:
            self._processes[service].terminate()
        for service in services:
            process = self._processes.pop(service)
            try:
                codes[service] = process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[service] = process.wait()
        assert set(codes.values()) <= {0}, (codes, [self._log(service).read_text()[-2_000:] for service in codes])

    def begin_anew(self, service: str) -> None:
        """Stop a service, take its disk away, and start it again."""
        self.stop(service)
        shutil.rmtree(self._directory / service)
        self.start(service)
        self.await_ready(service)

    @property
    def running(self) -> tuple[str, ...]:
        """The services whose processes were started and not stopped."""
        return tuple(self._processes)

    def admin_url(self, service: str) -> str:
        """Where a service serves its health and metrics."""
        return f"http://127.0.0.1:{self._admin_ports[service]}"

    def data_directory(self, service: str) -> Path:
        """The disk of a service."""
        return self._directory / service

    def log(self) -> str:
        """Everything that all services have said."""
        return "".join(self._log(service).read_text() for service in SERVICES)

    def metrics(self) -> str:
        """Everything that all services expose."""
        return "".join(
            httpx.get(f"http://127.0.0.1:{port}/metrics").raise_for_status().text for port in self._admin_ports.values()
        )

    def _log(self, service: str) -> Path:
        return self._directory / f"{service}.log"


@contextmanager
def secured_system(cluster: SecuredCluster, directory: Path) -> Iterator[SecuredSystem]:
    """Start all services, wait until each is ready, and stop them at the end."""
    system = SecuredSystem(cluster, directory)
    with system.http:
        try:
            for service in SERVICES:
                system.start(service)
            for service in SERVICES:
                system.await_ready(service)
            yield system
        finally:
            system.stop(*system.running)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").is_success
    except httpx.TransportError:
        return False
