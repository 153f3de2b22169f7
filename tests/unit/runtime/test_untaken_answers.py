"""Answers whose last part nobody takes: small enough that nothing waits for room, and so nobody would miss it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from services.runtime import http_protocol
from services.runtime.http_protocol import UNTAKEN_ANSWER_S, BoundedHttpProtocol
from services.runtime.web import listen, serve
from tests.waiting import until

WAIT_S = 60.0
ASKED = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = b"x" * 48 * 1024
"""More than both sockets here take, and less than what a writer has to wait for."""


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(ANSWER))]})
    await send({"type": "http.response.body", "body": ANSWER})


async def test_a_peer_that_takes_nothing_of_the_last_part_of_its_answer_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = asyncio.Event()

    class Seen(BoundedHttpProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.set()

    monkeypatch.setattr(http_protocol, "UNTAKEN_ANSWER_S", 0.3)
    monkeypatch.setattr("services.runtime.web.BoundedHttpProtocol", Seen)
    listening = listen("127.0.0.1", 0)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024)
    stopping, started = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(answer, listening, stopping, started.set))
    await started.wait()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024)
        deaf.setblocking(False)
        await asyncio.get_running_loop().sock_connect(deaf, listening.getsockname())
        deaf.send(ASKED)
        await until(lost.is_set, WAIT_S / 6, "the connection to end")
    stopping.set()
    await serving


class Hand:
    """A loop whose timers go by hand."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.create_task = asyncio.get_running_loop().create_task

    def call_later(self, delay: float, called: Callable[..., None], *given: Any) -> Any:
        timer = (delay, lambda: called(*given))
        self.timers.append(timer)
        return Handle(lambda: self.timers.remove(timer) if timer in self.timers else None)

    def pass_by(self, delay: float) -> None:
        """The timers of so long a time end."""
        ending = [timer for timer in self.timers if timer[0] == delay]
        assert ending, "nothing is watched"
        for timer in ending:
            self.timers.remove(timer)
            timer[1]()


class Handle:
    def __init__(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel


class Peer(asyncio.Transport):
    """What stands for the connection. `waiting`: bytes that the peer has not taken."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.is_cut_off = False

    def write(self, data: Any) -> None:
        self.waiting += len(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.is_cut_off

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None:
        self.is_cut_off = True


class Connection:
    """A connection whose answers wait."""

    def __init__(self) -> None:
        self.hand, self.peer = Hand(), Peer()
        config = uvicorn.Config(answer, log_config=None, lifespan="off", ws="none")
        self._protocol = BoundedHttpProtocol(config, ServerState(), {}, self.hand)
        self._protocol.connection_made(self.peer)

    async def ask(self) -> None:
        """The answer is written when this returns."""
        self._protocol.data_received(ASKED)
        await asyncio.gather(*self._protocol.tasks)

    def take(self, left: int) -> None:
        """The peer takes all but so much."""
        self.peer.waiting = left

    def take_most(self, left: int) -> None:
        """The peer takes all but so much of an answer that had to wait for room."""
        self._protocol.pause_writing()
        self.take(left)
        self._protocol.resume_writing()


async def test_a_peer_that_takes_some_of_its_answer_each_time_is_not_cut_off_and_then_it_is() -> None:
    connection = Connection()
    await connection.ask()
    for left in (40_000, 20_000, 1):
        connection.take(left)
        connection.hand.pass_by(UNTAKEN_ANSWER_S)
        assert not connection.peer.is_cut_off
    connection.hand.pass_by(UNTAKEN_ANSWER_S)
    assert connection.peer.is_cut_off


async def test_a_peer_that_took_all_of_its_answer_is_not_watched_any_more() -> None:
    connection = Connection()
    await connection.ask()
    connection.take(0)
    connection.hand.pass_by(UNTAKEN_ANSWER_S)
    assert not connection.peer.is_cut_off
    assert UNTAKEN_ANSWER_S not in [delay for delay, _ in connection.hand.timers]


async def test_what_waits_of_the_next_answer_is_not_taken_for_the_last_one() -> None:
    connection = Connection()
    await connection.ask()
    connection.take(0)
    await connection.ask()
    connection.hand.pass_by(UNTAKEN_ANSWER_S)
    assert not connection.peer.is_cut_off
    connection.hand.pass_by(UNTAKEN_ANSWER_S)
    assert connection.peer.is_cut_off


async def test_what_is_left_when_most_of_an_answer_was_taken_is_watched_too() -> None:
    connection = Connection()
    await connection.ask()
    connection.take_most(1_000)
    connection.hand.pass_by(UNTAKEN_ANSWER_S)
    assert connection.peer.is_cut_off
