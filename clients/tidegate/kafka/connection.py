"""A Kafka connection that says it is lost when it is lost, is closed when it is closed, and is not hammered for.

Rule: the client library is told of a lost connection by the one kind of error that it recovers from. It expects what
asyncio's transports raise; uvloop's raise RuntimeError when written to after a reset, which would end the library's
task for good, and leave a client that nobody hears from again. And a closed connection is gone at once: the library
would wait for a broker that stands still to read what is left of requests, however long, and over TLS half a minute for
a farewell that one busy with a request does not send. And one that cannot be made is not tried again at once: a client
that repeats a request within milliseconds would try as often to reach a broker that is away. Everything else is the
library's, and all of it holds under either event loop.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka import conn
from aiokafka.errors import KafkaConnectionError

FAILED_WAIT_S: Final = 0.1
"""For so long a failure to connect is held back: a client makes one attempt at a time."""


class Connection(conn.AIOKafkaConnection):  # type: ignore[misc]  # the library ships no types
    """One connection to one broker."""

    async def connect(self) -> Any:
        """Connect. Errors: as the library's, after a wait."""
        try:
            return await super().connect()
        except Exception:
            await asyncio.sleep(FAILED_WAIT_S)
            raise

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Write a request; its answer's future. Errors: KafkaConnectionError."""
        try:
            return super().send(request, expect_response=expect_response)
        except RuntimeError as error:
            raise self._lost(error) from error

    def _send_sasl_token(self, payload: bytes, expect_response: bool = True) -> Any:
        try:
            return super()._send_sasl_token(payload, expect_response=expect_response)
        except RuntimeError as error:
            raise self._lost(error) from error

    def close(self, reason: Any = None, exc: BaseException | None = None) -> Any:
        """Close; the future of the end. Nothing is lost by not waiting: every request in hand has just failed.

        One that has no answer is none of these: what is left of it is sent first.
        """
        writer, is_asked = self._writer, bool(self._requests)
        closed = super().close(reason=reason, exc=exc)
        if writer is not None and (is_asked or self._ssl_context is not None):
            writer.transport.abort()
        return closed

    def _lost(self, error: RuntimeError) -> KafkaConnectionError:
        self.close(reason=conn.CloseReason.CONNECTION_BROKEN, exc=error)
        return KafkaConnectionError(f"connection at {self.host}:{self.port} was lost: {error}")


def use_connection() -> None:
    """Make the library connect by it from now on, unless the program has put a connection of its own in place."""
    if conn.AIOKafkaConnection is Connection.__base__:
        conn.AIOKafkaConnection = Connection
