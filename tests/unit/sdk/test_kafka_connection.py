"""A reset connection is lost under uvloop as under asyncio, so that clients connect again; a closed one is closed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import trustme
import uvloop
from aiokafka import conn as library
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from services.runtime.kafka import client_options
from services.runtime.settings import RuntimeSettings
from tidegate import ContactProducer, Memberships
from tidegate.errors import UnreachableError
from tidegate.kafka.connection import FAILED_WAIT_S, Connection, use_connection

LIBRARYS_OWN = Connection.__base__
MORE_THAN_IS_TAKEN_UNREAD = 32 * 1024 * 1024
"""Bytes that no system keeps for a receiver that reads nothing."""


class Unversioned(Connection):
    """Connects without the exchange of versions, which needs a broker."""

    async def _do_version_lookup(self) -> None:
        self._versions: dict[int, tuple[int, int]] = {}


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("sasl", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_a_request_after_a_reset_is_a_lost_connection(
    new_loop: Callable[[], asyncio.AbstractEventLoop], sasl: bool, turns: int
) -> None:
    async def send_after_reset() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            connection = Unversioned(*listening.getsockname())
            await connection.connect()
            # The loop knows that the connection is gone; the library learns it some turns later.
            connection._writer.transport.abort()
            for _ in range(turns):
                await asyncio.sleep(0)
            async with asyncio.timeout(5):
                await (connection._send_sasl_token(b"token") if sasl else connection.send(ApiVersionRequest()))

    with asyncio.Runner(loop_factory=new_loop) as runner, pytest.raises(KafkaConnectionError):
        runner.run(send_after_reset())


async def test_a_failure_to_connect_is_told_after_a_wait_so_that_no_broker_is_hammered_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        made = Unversioned(*address)
        await made.connect()
        await made.close()
    assert waits == []
    with pytest.raises(ConnectionRefusedError):
        await Unversioned(*address).connect()
    assert waits == [FAILED_WAIT_S]


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_closing_over_tls_does_not_wait_for_a_broker_that_is_busy(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    authority = trustme.CA()
    broker, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(broker)
    authority.configure_trust(client)

    async def close(host: str, port: int) -> None:
        connection = Unversioned(host, port, security_protocol="SSL", ssl_context=client)
        await connection.connect()
        async with asyncio.timeout(5):
            await connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as beside:
        listening.settimeout(5)

        def shake_hands_and_say_no_more() -> ssl.SSLSocket:
            accepted, _ = listening.accept()
            accepted.settimeout(5)
            return broker.wrap_socket(accepted, server_side=True)

        busy = beside.submit(shake_hands_and_say_no_more)
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(close(*listening.getsockname()))
        busy.result().close()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_closing_does_not_wait_for_a_frozen_broker_to_read_requests(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def close_with_much_unread(host: str, port: int) -> None:
        connection = Unversioned(host, port)
        await connection.connect()
        answer = connection._send_sasl_token(bytes(MORE_THAN_IS_TAKEN_UNREAD))
        await asyncio.wait_for(connection.close(), 5)
        with pytest.raises(KafkaConnectionError):
            await answer

    with asyncio.Runner(loop_factory=new_loop) as runner, socket.create_server(("127.0.0.1", 0)) as listening:
        runner.run(close_with_much_unread(*listening.getsockname()))


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_closing_still_sends_what_has_no_answer(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def received_of_a_closed(listening: socket.socket) -> int:
        connection = Unversioned(*listening.getsockname())
        await connection.connect()
        accepted, _ = listening.accept()
        with accepted:
            accepted.settimeout(5)
            connection._writer.write(bytes(MORE_THAN_IS_TAKEN_UNREAD))
            closed = connection.close()
            received = await asyncio.to_thread(read_all, accepted)
            await closed
            return received

    def read_all(accepted: socket.socket) -> int:
        return sum(len(chunk) for chunk in iter(lambda: accepted.recv(65_536), b""))

    with socket.create_server(("127.0.0.1", 0)) as listening, asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(received_of_a_closed(listening)) == MORE_THAN_IS_TAKEN_UNREAD


def test_every_client_of_a_service_connects_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "AIOKafkaConnection", LIBRARYS_OWN)
    client_options(RuntimeSettings())
    assert library.AIOKafkaConnection is Connection


@pytest.mark.parametrize(
    "make", [lambda: Memberships("127.0.0.1:9", group="g"), lambda: ContactProducer("127.0.0.1:9")]
)
async def test_consumers_and_producers_connect_by_it(
    make: Callable[[], Memberships | ContactProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "AIOKafkaConnection", LIBRARYS_OWN)
    with pytest.raises(UnreachableError):
        await make().__aenter__()
    assert library.AIOKafkaConnection is Connection


def test_a_connection_of_the_programs_own_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(LIBRARYS_OWN):  # type: ignore[misc, valid-type]  # the library ships no types
        pass

    monkeypatch.setattr(library, "AIOKafkaConnection", Theirs)
    use_connection()
    assert library.AIOKafkaConnection is Theirs
