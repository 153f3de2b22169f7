"""Names whose servers never answer: each holds a thread, and neither other names nor the end of the process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from services.webhooks import names as module
from services.webhooks.names import LOOK_UPS_MAX, Names

SILENT, GOOD, ADDRESS = "silent.example", "good.example", "93.184.216.34"
AT_ONCE = 200
"""More than any pool of threads has."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names that were asked for; of the silent ones nothing is said before the end of the test."""
    asked: list[str] = []
    over = threading.Event()

    def getaddrinfo(host: str, port: int, **_options: Any) -> list[Any]:
        asked.append(host)
        if host.endswith(SILENT):
            over.wait()
            raise socket.gaierror("no answer")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ADDRESS, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(module, "ANSWER_WITHIN_S", 0.2)
    yield asked
    over.set()


async def test_who_asks_for_a_silent_name_waits_his_time_and_nobody_else_does(asked: list[str]) -> None:
    webhooks = [Names() for _ in range(3)]
    silent = [asyncio.create_task(each.addresses(SILENT, 443)) for each in webhooks for _ in range(AT_ONCE)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert await Names().addresses(GOOD, 443) == [ADDRESS]
        outcomes = await asyncio.gather(*silent, return_exceptions=True)
    assert all(isinstance(outcome, TimeoutError) for outcome in outcomes)
    assert asked.count(SILENT) == len(webhooks)
    with pytest.raises(TimeoutError):
        await webhooks[0].addresses(SILENT, 443)
    assert asked.count(SILENT) == len(webhooks), "the look-up that is under way is not begun again"
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "look-up of a name")


async def test_a_name_is_looked_up_anew_once_it_was_answered(asked: list[str]) -> None:
    names = Names()
    for _ in range(2):
        assert await asyncio.gather(*(names.addresses(GOOD, 443) for _ in range(3))) == [[ADDRESS]] * 3
    assert asked == [GOOD] * 2


async def test_names_under_way_are_bounded(asked: list[str]) -> None:
    names = Names()
    silent = [asyncio.create_task(names.addresses(f"{each}.{SILENT}", 443)) for each in range(LOOK_UPS_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="too many"):
        await names.addresses(GOOD, 443)
    await asyncio.gather(*silent, return_exceptions=True)
    assert len(asked) == LOOK_UPS_MAX
