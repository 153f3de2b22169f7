"""A real HTTP server that receives webhooks, and misbehaves as it is told, by contact."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.waiting import until

HEAD_BYTES_MAX = 64 * 1024
STALL_S = 30.0
WAIT_S = 120.0


@dataclass
class Request:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        """Its JSON."""
        content: dict[str, Any] = json.loads(self.body)
        return content

    def is_signed_with(self, secret: str) -> bool:
        """Whether the signature is right, computed here from the description alone."""
        parts = dict(part.split("=", 1) for part in self.headers["tidegate-signature"].split(","))
        wanted = hmac.new(secret.encode(), parts["t"].encode() + b"." + self.body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(wanted, parts["v1"])


@dataclass
class Receiver:
    """The server. `plan` has, by contact, what to do with the next requests: a status, "stall" or "hold"; then 204.

    A request that is held is answered 410 once `let_go` is set; one that stalls never is, and `broken_off` ends it.
    """

    url: str = ""
    plan: dict[str, list[int | str]] = field(default_factory=lambda: defaultdict(list))
    requests: list[Request] = field(default_factory=list)
    accepted: list[Request] = field(default_factory=list)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    broken_off: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while (request := await read_request(reader)) is not None:
                self.requests.append(request)
                steps = self.plan[request.content["contact_id"]] if request.body else []
                step = steps.pop(0) if steps else 204
                if step == "stall":
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self.broken_off.wait(), STALL_S)
                    return
                if step == "hold":
                    await self.let_go.wait()
                    step = 410
                if isinstance(step, int) and 200 <= step < 300:
                    self.accepted.append(request)
                location = f"Location: {self.url}elsewhere\r\n" if step in (301, 302, 307, 308) else ""
                writer.write(f"HTTP/1.1 {step} X\r\nContent-Length: 0\r\n{location}\r\n".encode())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def until_accepted(self, count: int) -> None:
        """Return once so many requests were accepted, or more."""
        accepted = f"{count} accepted requests"
        await until(lambda: len(self.accepted), WAIT_S, accepted, satisfies=lambda there: there >= count)

    async def until_told(self, wanted: dict[str, list[str]]) -> None:
        """Return once exactly these changes were accepted, in this order for every contact."""
        await until(self.told, WAIT_S, f"the changes {wanted}", satisfies=lambda told: told == wanted)

    def told(self) -> dict[str, list[str]]:
        """The changes that were accepted, in order, by contact."""
        told: dict[str, list[str]] = defaultdict(list)
        for request in self.accepted:
            for change in request.content["changes"]:
                told[change["contact_id"]].append(f"{change['change']} {change['segment_id']}")
        return dict(told)


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    first, *lines = head.decode().rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(first.split()[1], headers, body)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield receiver
    finally:
        server.close()
