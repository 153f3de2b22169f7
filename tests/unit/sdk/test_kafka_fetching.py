"""A consumer closes whatever its fetches are at: in a rest after an error, or with its reading ended by one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer import consumer as library
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import NodeNotReadyError

from services.runtime.kafka import client_options
from services.runtime.settings import RuntimeSettings
from tidegate.kafka.fetching import Fetcher

REST_MS = 60_000
LIBRARYS_OWN = Fetcher.__base__


async def away(*_: object) -> None:
    raise NodeNotReadyError("the broker is away")


def of_an_absent_broker() -> Any:
    client = SimpleNamespace(_loop=asyncio.get_running_loop(), _metadata_max_age_ms=1_000, send=away)
    return Fetcher(client, SubscriptionState(), retry_backoff_ms=REST_MS)


async def test_closing_ends_every_fetch_that_rests_because_the_broker_is_away() -> None:
    reading = of_an_absent_broker()
    await asyncio.sleep(0.01)  # it waits for partitions now
    fetches = [
        asyncio.create_task(reading._proc_fetch_request(None, node, SimpleNamespace(topics=[]))) for node in range(3)
    ]
    reading._pending_tasks.update(fetches)
    await asyncio.sleep(0.01)
    assert not any(fetch.done() for fetch in fetches)
    async with asyncio.timeout(5):
        await reading.close()
    assert all(fetch.done() for fetch in fetches)
    assert reading._fetch_task.done()


async def test_closing_after_the_reading_ended_by_an_error_lets_who_waits_go_on() -> None:
    reading = of_an_absent_broker()
    reading._fetch_task.cancel()
    reading._fetch_task = asyncio.create_task(away())
    await asyncio.sleep(0.01)
    waiting = reading._create_fetch_waiter()
    await reading.close()
    assert waiting.done()


def test_every_consumer_of_a_service_fetches_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "Fetcher", LIBRARYS_OWN)
    client_options(RuntimeSettings())
    assert library.Fetcher is Fetcher
