"""The service as a process of its own, killed while it delivers: nothing is lost, and order holds by version."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.runtime.keys import KEY_FILE_NAME, KeyFile, Scope
from tests.services.sdk.conftest import Workspace
from tests.services.sdk.stream import Step, Stream
from tests.services.webhooks.process import Process
from tests.services.webhooks.receiver import WAIT_S, Receiver
from tests.waiting import until

pytestmark = pytest.mark.broker
KILLS = 2
CONTACTS = 8
TURNS = 60


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
