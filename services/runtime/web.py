"""Serves a public HTTP application inside a service's own loop, signals and stop.

Rule: the port is taken before anything is promised, and a taken port is one clear sentence; a stop lets requests in
hand finish, cuts off streams that would go on for ever, and tells whoever has no answer by then to come back. Knows no
routes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.runtime.errors import ServiceError, StartRefusedError
from services.runtime.http_protocol import BoundedHttpProtocol
from services.runtime.logs import get_logger
from services.runtime.problems import REQUEST_ID, problem_response, unavailable

BACKLOG_MAX: Final = 2048
"""Connections that wait to be accepted."""
KEEP_ALIVE_S: Final = 30
STOP_GRACE_S: Final = 5
"""How long requests in hand may go on after a stop."""

log = get_logger("web")


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which the runtime owns; it tells when it answers requests."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Stoppable:
    """An application whose requests may be cut off: the server cancels those that a stop has waited for long enough."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request through. An answer that has begun breaks off, so that nobody takes it for whole."""
        has_begun = False

        async def noting_send(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except asyncio.CancelledError:
            if not has_begun:
                await _tell_to_come_back(scope, receive, send)


async def _tell_to_come_back(scope: Scope, receive: Receive, send: Send) -> None:
    detail = "a write may have been carried out; ask again, with the same Idempotency-Key if it came with one"
    answer = problem_response(unavailable("stopping", "the service is stopping", detail))
    request_id = scope.get("state", {}).get("request_id")
    if request_id is not None:
        answer.headers[REQUEST_ID] = request_id
    await answer(scope, receive, send)


def listen(host: str, port: int) -> socket.socket:
    """Take a port. Errors: raises StartRefusedError when it is not to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen(BACKLOG_MAX)
    except OSError as error:
        taken.close()
        raise StartRefusedError(
            f"cannot listen on {host}:{port}: {error.strerror}; stop what uses the port or choose another"
        ) from error
    taken.setblocking(False)
    return taken


async def serve(
    app: Any,
    listening: socket.socket,
    stopping: asyncio.Event,
    started: Callable[[], None],
    beside: Collection[asyncio.Task[None]] = (),
) -> None:
    """Serve an ASGI application until `stopping` is set; `started` is called once requests are answered.

    What runs `beside` it runs until it is cancelled. One that ends sets `stopping`: the service then ends as one that
    is told to: within the grace of a stop, whatever the rest of it still waits for. Errors: what it failed with, after
    the requests in hand.
    """
    config = uvicorn.Config(
        _Stoppable(app),
        http=BoundedHttpProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_GRACE_S,
        lifespan="off",
        ws="none",
    )
    server = _Server(config, started)
    serving = asyncio.create_task(server.serve(sockets=[listening]), name="http")
    stop = asyncio.create_task(stopping.wait(), name="http stop")
    try:
        await asyncio.wait({serving, stop, *beside}, return_when=asyncio.FIRST_COMPLETED)
        for task in beside:
            if task.done():
                log.error("a part has ended, and so the service does", part_ended=task.get_name(), reason=_reason(task))
        stopping.set()
        server.should_exit = True
        await serving
        raise_ended(beside)
    finally:
        stop.cancel()
        listening.close()


def _reason(ended: asyncio.Task[None]) -> str:
    error = None if ended.cancelled() else ended.exception()
    if error is None:
        return "it ended by itself"
    return str(error) if isinstance(error, ServiceError) else repr(error)


def raise_ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Raise what one of these tasks ended by; they are all meant to run until they are cancelled."""
    for task in tasks:
        if task.done():
            task.result()
            raise AssertionError(f"{task.get_name()} ended by itself")
