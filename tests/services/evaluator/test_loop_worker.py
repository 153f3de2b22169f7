"""Faust's consumer without its thread: served by a task, and heard when it fails."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from faust.types import TP
from mode.threads import QueueServiceThread

from services.evaluator import transport

OURS: Any = transport.ConsumerThread


class Served(QueueServiceThread):
    """A service as Faust's consumer thread is one, run as ours runs it."""

    Worker = OURS.Worker
    call_thread = OURS.call_thread
    _gather_remaining_tasks = OURS._gather_remaining_tasks

    def __init__(self, fails: bool = False) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop=loop, thread_loop=loop)
        self.fails = fails
        self.served_by: threading.Thread | None = None

    async def on_start(self) -> None:
        self.served_by = threading.current_thread()
        if self.fails:
            raise OSError("no broker")

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """Quiet: what it would print is asked of the service."""


async def test_it_starts_is_called_and_stops_in_the_thread_of_the_loop() -> None:
    service, bystander = Served(), asyncio.create_task(asyncio.sleep(60))
    await service.start()
    assert service.served_by is threading.current_thread()

    async def who() -> threading.Thread:
        return threading.current_thread()

    assert await service.call_thread(who) is threading.current_thread()
    assert await service.call_thread(lambda: 7) == 7
    await asyncio.wait_for(service.stop(), 5)
    assert not bystander.done(), "a consumer that stops must not end what else runs on the loop"
    bystander.cancel()


async def test_a_failed_start_is_told_to_who_started_it_and_can_be_stopped() -> None:
    service = Served(fails=True)
    with pytest.raises(OSError, match="no broker"):
        await service.start()
    await asyncio.wait_for(service.stop(), 5)
    assert isinstance(service.crash_reason, OSError)


def test_faust_does_not_look_for_streams_that_there_are_not() -> None:
    """It would log an error of each partition every few minutes of a busy evaluator's life."""
    consumer = object.__new__(transport.Consumer)
    consumer.verify_event_path(600.0, TP("contact-changes", 0))
