"""A connection that was reset is reported lost under uvloop as under asyncio, so that clients connect again."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop
from aiokafka import conn as library
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from services.runtime.kafka import client_options
from services.runtime.kafka_connection import Connection
from services.runtime.settings import RuntimeSettings


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


def test_every_client_connects_by_it() -> None:
    client_options(RuntimeSettings())
    assert library.AIOKafkaConnection is Connection
