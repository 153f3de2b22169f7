"""The evaluator's process from its start to its end: when it ends, and what it says of itself on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from services.evaluator import service
from services.evaluator.owner import Owned, PartitionOwner
from services.evaluator.ports import LogError
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.worker import PartitionWorker
from services.runtime.application import ServiceContext
from services.runtime.errors import ServiceError
from tests.waiting import until

SOON_S = 5.0


class App:
    """A member of a group that assigns nothing by itself; keeps the owner that it was made for."""

    def __init__(self, owner: PartitionOwner) -> None:
        self.owner = owner
        self._crashed = asyncio.Event()

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def end_offset(self, _partition: int) -> None: ...


class Reporter:
    """Tells nobody anything."""

    def __init__(self, *_: object) -> None: ...

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()


class FailingWorker:
    """Cannot commit for the last time."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        await self._stop.wait()
        raise LogError("the last commit failed")


class Process:
    """One evaluator without a broker."""

    def __init__(self, directory: Path) -> None:
        settings = EvaluatorSettings(data_dir=directory, read_api_port=0)
        self.context = ServiceContext("evaluator", settings)
        self.apps: list[App] = []

    async def start(self) -> None:
        """Start it, and return when it is a member."""
        self.work = asyncio.create_task(service.main(self.context))
        await until(lambda: bool(self.apps), SOON_S, "the process to join the group")

    @property
    def owner(self) -> PartitionOwner:
        return self.apps[0].owner

    def made(self, _settings: EvaluatorSettings, owner: PartitionOwner) -> App:
        self.apps.append(App(owner))
        return self.apps[-1]

    async def end(self) -> None:
        """Ask it to stop. Errors: what it failed with."""
        self.context.stopping.set()
        await asyncio.wait_for(self.work, SOON_S)


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Process:
    process = Process(tmp_path)

    async def verified(*_: Any) -> None: ...

    monkeypatch.setattr(service, "verify_topics", verified)
    monkeypatch.setattr(service, "collect_rarely", lambda: None)
    monkeypatch.setattr(service, "settle", lambda: None)
    monkeypatch.setattr(service, "lower_transaction_backoff", lambda: None)
    monkeypatch.setattr(service, "create_app", process.made)
    monkeypatch.setattr(service, "StatusReporter", Reporter)
    return process


async def test_a_process_that_is_told_to_stop_and_has_nothing_in_hand_ends_without_an_error(process: Process) -> None:
    await process.start()
    await process.end()


async def test_a_stop_whose_last_commit_fails_is_told_as_a_failure(process: Process) -> None:
    await process.start()
    worker = FailingWorker()
    task = asyncio.create_task(worker.run())
    task.add_done_callback(process.owner._check)
    process.owner.owned = {3: Owned(3, worker=cast("PartitionWorker", worker), task=task)}
    with pytest.raises(LogError, match="the last commit failed"):
        await process.end()


async def test_a_stop_that_cannot_leave_the_group_is_told_as_a_failure(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused() -> None:
        raise ConnectionError("the group is not reached")

    await process.start()
    monkeypatch.setattr(process.apps[0], "stop", refused)
    with pytest.raises(ServiceError, match="not everything in hand was finished"):
        await process.end()


async def test_a_stop_while_no_broker_answers_ends_at_once(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unanswered(*_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(service, "verify_topics", unanswered)
    process.work = asyncio.create_task(service.main(process.context))
    await asyncio.sleep(0)
    await process.end()
    assert not process.apps


async def test_a_process_whose_partitions_were_given_up_is_not_ready_until_it_has_others(process: Process) -> None:
    health = process.context.health
    await process.start()
    process.owner.assign(())
    await until(lambda: health.readiness.ready, SOON_S, "the process to be ready")
    await process.owner.revoke()
    await until(lambda: not health.readiness.ready, SOON_S, "the process not to be ready")
    assert health.readiness.reason == "joining the group"
    process.owner.assign(())
    await until(lambda: health.readiness.ready, SOON_S, "the process to be ready again")
    await process.end()
