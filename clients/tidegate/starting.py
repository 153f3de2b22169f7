"""Starts a Kafka client so that nothing stays open when the start fails or is cancelled.

Rule: the client's own start is never cut off in the middle, because it then leaves a socket behind; a cancelled caller
waits for it to end, and the client is stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Protocol

from aiokafka.errors import KafkaConnectionError, KafkaError

from tidegate.errors import UnreachableError
from tidegate.kafka import mend_client


class Startable(Protocol):
    """A consumer or a producer."""

    def start(self) -> Awaitable[None]:
        """Connect."""
        ...

    def stop(self) -> Awaitable[None]:
        """Close everything."""
        ...


async def start_or_stop(client: Startable, bootstrap: str) -> None:
    """Start a client. Errors: raises UnreachableError when no broker answers; the client is stopped on any failure."""
    mend_client()
    starting = asyncio.ensure_future(client.start())
    try:
        await asyncio.shield(starting)
    except KafkaConnectionError as error:
        await client.stop()
        raise UnreachableError(f"no Kafka broker answers at {bootstrap}: {error}") from error
    except BaseException:
        with suppress(KafkaError):
            await starting
        await client.stop()
        raise
