"""The service as a process of its own, killed while it delivers: nothing is lost, and order holds by version."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.ports import free_ports
from services.runtime.keys import KEY_FILE_NAME, KeyFile, Scope
from tests.services.sdk.conftest import Workspace
from tests.services.sdk.stream import PARTITIONS, Step, Stream
from tests.services.webhooks.receiver import WAIT_S, Receiver
from tests.waiting import until

pytestmark = pytest.mark.broker
ROOT = Path(__file__).parents[3]
KILLS = 2
CONTACTS = 8
TURNS = 60
STOP_S = 90.0


class Process:
    """`python -m services.webhooks`, to be started again and again on one port."""

    def __init__(self, workspace: Workspace, directory: Path) -> None:
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

    async def _is_ready(self, http: httpx.AsyncClient) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self._log.read_text()
        try:
            answer = await http.get(f"http://127.0.0.1:{self._admin_port}/ready")
        except httpx.TransportError:
            return False
        return answer.status_code == 200


@pytest.mark.timeout(600)
async def test_a_service_killed_while_it_delivers_loses_nothing_and_the_version_rule_sees_each_change_once(
    workspace: Workspace, stream: Stream, receiver: Receiver, tmp_path: Path
) -> None:
    token = KeyFile(tmp_path / KEY_FILE_NAME).create("test", frozenset({Scope.ADMIN})).token
    process = Process(workspace, tmp_path)
    await process.start()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
        made = await http.post(f"http://127.0.0.1:{process.port}/api/v2/webhooks", json={"url": receiver.url})
        assert made.status_code == 201, made.text
    writing = asyncio.create_task(write(stream))
    for kill in range(1, KILLS + 1):
        await receiver.until_accepted(kill * CONTACTS * TURNS // (KILLS + 2))
        await process.end(signal.SIGKILL)
        await process.start()
    await writing
    await until_nothing_is_missing(receiver)
    assert await process.end(signal.SIGTERM) == 0
    assert all(request.is_signed_with(made.json()["secret"]) for request in receiver.accepted)
    sys.stdout.write(f"{CONTACTS * TURNS} changes, {KILLS} kills, {len(receiver.accepted)} deliveries accepted\n")
    for contact, offsets in applied(receiver.accepted).items():
        turns = [number for number in range(CONTACTS * TURNS) if f"u{number % CONTACTS}" == contact]
        assert offsets == turns, f"{contact} met its changes in another order, or not all"


async def until_nothing_is_missing(receiver: Receiver) -> None:
    """Return once every change was accepted at least once."""

    def accepted() -> int:
        return len({request.content["id"] for request in receiver.accepted})

    everything = CONTACTS * TURNS
    await until(accepted, WAIT_S, f"{everything} different requests", satisfies=lambda count: count == everything)


def applied(requests: list[Any]) -> dict[str, list[int]]:
    """What a receiver that keeps the version rule applies, by contact."""
    offsets: dict[str, list[int]] = {}
    for request in requests:
        for change in request.content["changes"]:
            seen = offsets.setdefault(change["contact_id"], [])
            if not seen or change["offset"] > seen[-1]:
                seen.append(change["offset"])
    return offsets


async def write(stream: Stream) -> None:
    for turn in range(TURNS):
        await stream.commit(
            *(
                Step(f"u{contact}", turn * CONTACTS + contact, ("a",), enters=turn % 2 == 0)
                for contact in range(CONTACTS)
            )
        )
