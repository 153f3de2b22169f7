"""Everything that one webhooks process holds: the registry, a follower a webhook, and the API.

Rule: what was started is stopped, in the opposite order. A webhook is followed from the moment its record is read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.runtime import clock
from services.runtime.errors import ServiceError
from services.runtime.kafka import client_options
from services.runtime.keys import KeyFile
from services.runtime.logs import get_logger
from services.runtime.rates import Rates
from services.runtime.web import raise_ended
from services.webhooks.api import WebhookRoutes, build_app, served
from services.webhooks.audit_log import AuditLog
from services.webhooks.follower import Follower
from services.webhooks.guard import Guard
from services.webhooks.registry import Registry
from services.webhooks.settings import WebhookSettings

FAILURE_BYTES_MAX: Final = 8 * 1024 * 1024
"""A given-up delivery holds its whole content. The topic takes a little more."""

FORGET_EVERY_S: Final = 3_600.0
"""How often old failures are looked for when nothing else happens."""

log = get_logger("webhooks")


class Followers:
    """The followers of this process, one a webhook."""

    def __init__(self, settings: WebhookSettings, registry: Registry, stopping: asyncio.Event) -> None:
        self._settings = settings
        self._registry = registry
        self._stopping = stopping
        self._at_work: dict[str, tuple[Follower, asyncio.Task[None]]] = {}

    def get(self, webhook_id: str) -> Follower | None:
        """The follower of a webhook."""
        found = self._at_work.get(webhook_id)
        return None if found is None else found[0]

    async def run(self) -> None:
        """Start and stop followers as webhooks come and go. Errors: what a follower fails with is ours to crash on.

        Told to stop, it has them end at once, and goes on itself until it is cancelled: requests may still be in hand.
        """
        try:
            while not self._stopping.is_set():
                self._registry.changed.clear()
                self._start_new()
                await self._stop_gone()
                self._start_new()
                await self._forget_old()
                await self._await_news()
            # What is awaited here is not cancelled with this task: deliveries in hand are finished.
            await asyncio.shield(self._stop_all())
            await asyncio.get_running_loop().create_future()
        finally:
            await self._stop_all()

    async def _stop_all(self) -> None:
        for follower, _ in self._at_work.values():
            follower.stop()
        await asyncio.gather(*(task for _, task in self._at_work.values()), return_exceptions=True)

    def _start_new(self) -> None:
        for webhook_id, webhook in self._registry.webhooks.items():
            if webhook_id not in self._at_work:
                follower = Follower(webhook, self._settings, self._registry)
                self._at_work[webhook_id] = (follower, asyncio.create_task(follower.run(), name=webhook_id))

    async def _stop_gone(self) -> None:
        """Also one that was made again under its id while nobody looked: it has another secret and another start."""
        for webhook_id, (follower, task) in list(self._at_work.items()):
            if self._registry.webhooks.get(webhook_id) == follower.webhook:
                continue
            del self._at_work[webhook_id]
            follower.stop()
            await task

    async def _forget_old(self) -> None:
        try:
            await self._registry.forget_old(clock.now_ms())
        except ServiceError as error:
            log.warning("old failures could not be forgotten; the next round does it", error=repr(error))

    async def _await_news(self) -> None:
        news = asyncio.create_task(self._registry.changed.wait())
        stop = asyncio.create_task(self._stopping.wait())
        others = [self._registry.reading, *(task for _, task in self._at_work.values())]
        try:
            await asyncio.wait({news, stop, *others}, timeout=FORGET_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            stop.cancel()
        raise_ended(others)


@contextlib.asynccontextmanager
async def running(settings: WebhookSettings, stopping: asyncio.Event) -> AsyncIterator[tuple[Any, asyncio.Task[None]]]:
    """Start everything and stop it at the end; gives the API and the task that delivers.

    Once `stopping` is set no further delivery is begun, though requests in hand go on until the end.
    Errors: ServiceError when the broker cannot be reached.
    """
    producer = AIOKafkaProducer(acks="all", linger_ms=0, max_request_size=FAILURE_BYTES_MAX, **client_options(settings))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(producer.stop)
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            raise ServiceError(f"no Kafka broker answers at {settings.kafka_bootstrap}") from error
        registry = Registry(settings, producer)
        await stack.enter_async_context(registry.following())
        followers = Followers(settings, registry, stopping)
        guard = Guard(KeyFile(settings.keys_path), Rates(settings.webhooks_rate_limit_per_s, clock.monotonic))
        routes = WebhookRoutes(settings, registry, followers.get, guard, AuditLog(settings, producer))
        stack.push_async_callback(routes.close)
        working = asyncio.create_task(followers.run(), name="webhooks")
        stack.push_async_callback(_ended, working)
        yield served(build_app(routes)), working


async def _ended(working: asyncio.Task[None]) -> None:
    working.cancel()
    await asyncio.wait([working])
