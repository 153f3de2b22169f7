"""A network between clients and a broker that can be made slow, lossy or silent: a TCP proxy.

Rule: it holds at most one chunk a direction and connection, so whatever queues up does so in the clients.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType

from deploy.local.ports import LOOPBACK

CHUNK_BYTES = 16 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends RST."""


@dataclass
class Network:
    """Forwards `port` to `broker_port` on loopback, as badly as its fields say now."""

    port: int
    broker_port: int
    delay_s: float = 0.0
    """Before each chunk, in both directions."""
    bytes_per_s: float | None = None
    """Of each connection and direction."""
    life_s: float | None = None
    """After which a connection is reset, old ones too."""
    resets: int = 0
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Network:
        self._flowing.set()
        self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port, limit=CHUNK_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        await asyncio.sleep(0)  # transports close one turn after they are told

    def swallow(self) -> None:
        """From now on nothing passes, and nobody is told: new connections are accepted and stay silent."""
        self._flowing.clear()

    def heal(self) -> None:
        """From now on all passes at once; what was held back goes on."""
        self.delay_s, self.bytes_per_s, self.life_s = 0.0, None, None
        self._flowing.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        # Also of one that was cancelled before its first step.
        task.add_done_callback(lambda _: reset(writer))

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self.broker_port, limit=CHUNK_BYTES)
        except OSError:
            return
        ways = [
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
            asyncio.create_task(self._age()),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if ways[2].done():
                self.resets += 1
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            reset(far_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            await self._flowing.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if self.bytes_per_s is not None:
                await asyncio.sleep(len(chunk) / self.bytes_per_s)
            writer.write(chunk)
            await writer.drain()

    async def _age(self) -> None:
        """End when the connection's life is over, whenever that was decided."""
        age_s = 0.0
        while self.life_s is None or age_s < self.life_s:
            await asyncio.sleep(0.05)
            age_s += 0.05


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection as a failing network does: with RST, and with what is under way lost."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
