"""A load generator: keep-alive HTTP/1.1 connections that write requests made beforehand and time the answers.

Rule: as little work as possible between the clock reads, so that it measures the service and not itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil


@dataclass
class Measured:
    """What a run gave. Units: seconds."""

    took_s: float
    service_cpu_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def percentile_ms(self, share: float) -> float:
        """The latency that `share` of the requests did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000

    @property
    def requests_per_s(self) -> float:
        """Answers per second."""
        return len(self.latencies_s) / self.took_s


def request(url: str, token: str, body: bytes) -> bytes:
    """One POST as bytes."""
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run(
    url: str, requests: Sequence[bytes], connections: int, service: psutil.Process, rate_per_s: float | None = None
) -> Measured:
    """Send all requests over `connections`; with a rate, each at its own instant (open loop), timed from then."""
    parts = urlsplit(url)
    waiting = iter(enumerate(requests))
    began = time.monotonic()
    measured = Measured(0.0)
    cpu_before_s = _cpu_s(service)

    async def send() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for index, content in waiting:
            due = began + index / rate_per_s if rate_per_s else time.monotonic()
            if rate_per_s and (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            writer.write(content)
            status = await _answer(reader)
            measured.latencies_s.append(time.monotonic() - due)
            measured.statuses[status] = measured.statuses.get(status, 0) + 1
        writer.close()

    await asyncio.gather(*(send() for _ in range(connections)))
    measured.took_s = time.monotonic() - began
    measured.service_cpu_s = _cpu_s(service) - cpu_before_s
    return measured


def _cpu_s(service: psutil.Process) -> float:
    times = service.cpu_times()
    return float(times.user + times.system)


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lowered = head.lower()
    at = lowered.index(b"content-length:") + len(b"content-length:")
    await reader.readexactly(int(lowered[at : lowered.index(b"\r\n", at)]))
    return int(head[9:12])
