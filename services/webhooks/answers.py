"""The connections to receivers: bounded in what is taken from one before its answer is there.

Rule: an answer is a status and headers. A receiver that sends more than those have, such as provisional answers without
end, fails its own attempt: reading on would take the time in which others are sent to.
"""

from __future__ import annotations

import ssl
from typing import Any, Final

import httpcore
import httpx

CONNECTIONS_MAX: Final = 64
ANSWER_BYTES_MAX: Final = 32 * 1024
"""Of an answer's status and headers, with all that comes before them."""
PIECE_BYTES: Final = 4 * 1024
"""Read at once; others have their turn between two."""


class BoundedTransport(httpx.AsyncHTTPTransport):
    """What sends to receivers whose certificates `trusted` accepts; the usual authorities if it is None."""

    def __init__(self, trusted: ssl.SSLContext | None = None) -> None:
        trusting = trusted or httpx.create_ssl_context(trust_env=False)
        super().__init__(verify=trusting, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusting, max_connections=CONNECTIONS_MAX, network_backend=_Backend()
        )


class _Backend(httpcore.AnyIOBackend):
    async def connect_tcp(self, *arguments: Any, **named: Any) -> httpcore.AsyncNetworkStream:
        return _BoundedStream(await super().connect_tcp(*arguments, **named))


class _BoundedStream(httpcore.AsyncNetworkStream):
    """One connection. What was sent is answered by so many bytes at most."""

    def __init__(self, beneath: httpcore.AsyncNetworkStream) -> None:
        self._beneath = beneath
        self._came = 0

    async def read(self, max_bytes: int, *rest: Any, **named: Any) -> bytes:
        """Errors: httpcore.ReadError, also when more came than an answer has."""
        if self._came >= ANSWER_BYTES_MAX:
            raise httpcore.ReadError(f"the answer does not end within {ANSWER_BYTES_MAX} bytes")
        piece = await self._beneath.read(min(max_bytes, PIECE_BYTES), *rest, **named)
        self._came += len(piece)
        return piece

    async def write(self, *arguments: Any, **named: Any) -> None:
        """Send; what comes then is counted anew."""
        self._came = 0
        await self._beneath.write(*arguments, **named)

    async def aclose(self) -> None:
        """Close."""
        await self._beneath.aclose()

    async def start_tls(self, *arguments: Any, **named: Any) -> httpcore.AsyncNetworkStream:
        """The same connection, encrypted from now on."""
        return _BoundedStream(await self._beneath.start_tls(*arguments, **named))

    def get_extra_info(self, info: str) -> Any:
        """What the connection beneath tells of itself."""
        return self._beneath.get_extra_info(info)
