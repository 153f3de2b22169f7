"""A Kafka connection that says it is lost when it is lost, under asyncio's event loop and under uvloop.

Rule: the client library is told of a lost connection by the one kind of error that it recovers from. uvloop's
transports raise RuntimeError when they are written to after a reset, which would end the library's task for good, and
leave a consumer that nobody hears from again. Everything else is the library's.
"""

from __future__ import annotations

from typing import Any

from aiokafka import conn
from aiokafka.errors import KafkaConnectionError


class Connection(conn.AIOKafkaConnection):  # type: ignore[misc]  # the library ships no types
    """One connection to one broker."""

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

    def _lost(self, error: RuntimeError) -> KafkaConnectionError:
        self.close(reason=conn.CloseReason.CONNECTION_BROKEN, exc=error)
        return KafkaConnectionError(f"connection at {self.host}:{self.port} was lost: {error}")


def use_connection() -> None:
    """Make the library connect by it from now on, unless the program has put a connection of its own in place."""
    if conn.AIOKafkaConnection is Connection.__base__:
        conn.AIOKafkaConnection = Connection
