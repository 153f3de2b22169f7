"""The loop whose time is a number: it jumps, it never stands still, and it says when nothing can happen any more."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation.virtual_loop import StuckError, run_virtually


def test_sleeping_moves_time_and_costs_none() -> None:
    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(86_400)
        return loop.time() - began

    assert run_virtually(scenario()) == pytest.approx(86_400)


def test_time_moves_on_even_when_nobody_waits() -> None:
    async def scenario() -> list[float]:
        instants = []
        for _ in range(5):
            await asyncio.sleep(0)
            instants.append(asyncio.get_running_loop().time())
        return instants

    instants = run_virtually(scenario())
    assert instants == sorted(set(instants))


def test_waiting_for_what_cannot_happen_is_an_error() -> None:
    async def scenario() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(StuckError):
        run_virtually(scenario())
