"""The service stops while receivers keep it waiting: nothing more is begun, and a replay in hand holds up no other."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.partitioner import partition_for
from segmentation.model import ContactId
from services.runtime.keys import KEY_FILE_NAME, KeyFile, Scope
from tests.services.sdk.conftest import Workspace
from tests.services.sdk.stream import PARTITIONS, Step, Stream
from tests.services.webhooks.process import Process
from tests.services.webhooks.receiver import WAIT_S, Receiver
from tests.waiting import until

pytestmark = pytest.mark.broker
SAME = [name for name in map(str, range(100)) if partition_for(ContactId(name), PARTITIONS) == 0]
FIRST, SECOND = SAME[:2]
"""Contacts of one partition, whose deliveries are made one after the other."""
REPLAYED = next(name for name in map(str, range(100)) if partition_for(ContactId(name), PARTITIONS) == 1)


@pytest.mark.timeout(600)
async def test_a_stop_begins_no_further_delivery_and_gives_the_claim_of_a_replay_back(
    workspace: Workspace, stream: Stream, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.plan[FIRST] = ["hold"]
    process = Process(workspace, tmp_path, TIDEGATE_WEBHOOK_TIMEOUT_MS="60000", TIDEGATE_STOP_GRACE_MS="60000")
    async with admin(process, tmp_path) as http:
        replay = await given_up(http, receiver, stream)
        replaying = asyncio.create_task(http.post(replay))
        await until(lambda: asked(receiver, REPLAYED) == 2, WAIT_S, "the replay to stall")
        await stream.commit(Step(FIRST, 2, ("a",)), Step(SECOND, 3, ("a",)))
        await until(lambda: asked(receiver, FIRST), WAIT_S, "a delivery to be in hand")
        ending = asyncio.create_task(process.end(signal.SIGTERM))
        await until(lambda: is_stopping(process), WAIT_S, "the service to be told")
        receiver.let_go.set()
        answer = await replaying
        assert (answer.status_code, answer.json()["code"]) == (503, "stopping")
        receiver.broken_off.set()
        assert await ending == 0
        assert asked(receiver, SECOND) == 0
        await process.start()
        again = await http.post(replay)
        assert (again.status_code, again.text) == (200, '{"delivered":true}')
        await receiver.until_told({REPLAYED: ["enter a"], SECOND: ["enter a"]})
    assert await process.end(signal.SIGTERM) == 0


@pytest.mark.timeout(600)
async def test_a_replay_that_a_stop_does_not_wait_for_is_cut_off_and_its_claim_given_back(
    workspace: Workspace, stream: Stream, receiver: Receiver, tmp_path: Path
) -> None:
    process = Process(workspace, tmp_path, TIDEGATE_WEBHOOK_TIMEOUT_MS="60000", TIDEGATE_STOP_GRACE_MS="12000")
    async with admin(process, tmp_path) as http:
        replay = await given_up(http, receiver, stream)
        replaying = asyncio.create_task(http.post(replay))
        await until(lambda: asked(receiver, REPLAYED) == 2, WAIT_S, "the replay to stall")
        assert await process.end(signal.SIGTERM) == 1
        assert (await replaying).json()["code"] == "stopping"
        await process.start()
        again = await http.post(replay)
        assert (again.status_code, again.text) == (200, '{"delivered":true}')
    assert await process.end(signal.SIGTERM) == 0


@asynccontextmanager
async def admin(process: Process, data_dir: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Start the service, and speak to it with a key that may do everything."""
    token = KeyFile(data_dir / KEY_FILE_NAME).create("test", frozenset({Scope.ADMIN})).token
    await process.start()
    address = f"http://127.0.0.1:{process.port}/api/v2/"
    async with httpx.AsyncClient(
        base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=WAIT_S
    ) as http:
        yield http


async def given_up(http: httpx.AsyncClient, receiver: Receiver, stream: Stream) -> str:
    """Make a webhook and have a delivery given up; where its replay, which stalls, is asked for."""
    made = (await http.post("webhooks", json={"url": receiver.url})).json()
    receiver.plan[REPLAYED] = [410, "stall"]
    await stream.commit(Step(REPLAYED, 1, ("a",)))
    path = f"webhooks/{made['id']}/failures"
    (failure,) = await until(lambda: failures(http, path), WAIT_S, "the delivery to be given up")
    return f"{path}/{failure['id']}/replay"


async def failures(http: httpx.AsyncClient, path: str) -> list[Any]:
    """What was given up."""
    found: list[Any] = (await http.get(path)).json()["failures"]
    return found


def asked(receiver: Receiver, contact: str) -> int:
    """How many requests about a contact came."""
    return sum(request.content["contact_id"] == contact for request in receiver.requests)


def is_stopping(process: Process) -> bool:
    """Whether the service has taken the signal."""
    return "stopping" in process.said()
