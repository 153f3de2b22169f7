"""A producer that outlives the client library's own: when its sending task dies, a new one takes its place.

Rule: whoever sends is told of a failure at once and never waits for the repair; nothing that was handed over before is
sent by the new producer, so what was not acknowledged stays so. A producer is given up without touching what it still
has under way: its batches must not be ended under a living sending task, which dies of that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from aiokafka.errors import KafkaError

from services.ingest import metrics
from services.runtime.logs import get_logger

RENEW_WAIT_S: Final = 1.0

log = get_logger("producer")


async def give_up(producer: Any) -> None:
    """Disconnect a producer without waiting for what it still has to send; that may or may not arrive."""
    sending = producer._sender.sender_task  # noqa: SLF001 - the library's own stop waits for every batch
    producer._closed = True  # noqa: SLF001 - as its own stop does
    if sending is not None:
        sending.cancel()
    await producer.client.close()
    if sending is not None:
        await asyncio.wait({sending})
        if not sending.cancelled() and sending.exception() is not None:
            log.warning("a producer ended with an error", error=repr(sending.exception()))


class Producer:
    """One producer after another. `send` is always the living one's own, so that it costs nothing more."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._producer: Any = None
        self._renewing: asyncio.Task[None] | None = None
        self._is_stopping = False
        self.send: Any = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Producer]:
        """Connected until the end, which waits for what is under way. Errors: KafkaError, OSError."""
        self._use(await _started(self._make()))
        try:
            yield self
        finally:
            self._is_stopping = True
            if self._renewing is not None:
                self._renewing.cancel()
                await asyncio.gather(self._renewing, return_exceptions=True)
            await self._producer.stop()

    async def send_and_wait(self, topic: str, value: bytes | None, **options: Any) -> Any:
        """Send one record and wait for its acknowledgement. Errors: KafkaError."""
        return await (await self.send(topic, value, **options))

    def _use(self, producer: Any) -> None:
        self._producer = producer
        self.send = producer.send
        producer._sender.sender_task.add_done_callback(self._on_end)  # noqa: SLF001 - nothing else tells of its death

    def _on_end(self, sending: asyncio.Task[None]) -> None:
        if self._is_stopping or sending.cancelled():
            return
        log.error("a producer died and is replaced", error=repr(sending.exception()))
        self._renewing = asyncio.create_task(self._renew(self._producer), name="renewing the producer")

    async def _renew(self, dead: Any) -> None:
        while True:
            try:
                self._use(await _started(self._make()))
                break
            except (KafkaError, OSError) as error:
                log.warning("the broker cannot be reached for a new producer", error=repr(error))
                await asyncio.sleep(RENEW_WAIT_S)
        metrics.PRODUCERS_REPLACED.inc()
        await give_up(dead)


async def _started(producer: Any) -> Any:
    try:
        await producer.start()
    except BaseException:
        await producer.stop()
        raise
    return producer
