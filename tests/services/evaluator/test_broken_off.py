"""What a recovery does to its parts when it is broken off: none of them goes on behind it with a store that is open."""

from __future__ import annotations

import asyncio

import pytest

from services.evaluator.owner import _all


async def _opens(opened: asyncio.Event, closed: list[str], name: str) -> None:
    opened.set()
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)  # closing takes a while
        closed.append(name)


async def _fails(after: asyncio.Event) -> None:
    await after.wait()
    raise OSError("the disk is gone")


async def test_when_one_part_fails_the_others_have_ended_before_it_is_told() -> None:
    opened, closed = asyncio.Event(), list[str]()
    with pytest.raises(OSError, match="the disk is gone"):
        await _all([_opens(opened, closed, "0"), _opens(opened, closed, "1"), _fails(opened)])
    assert sorted(closed) == ["0", "1"]


async def test_when_it_is_cancelled_all_parts_have_ended_before_it_has() -> None:
    opened, closed = asyncio.Event(), list[str]()
    recovering = asyncio.ensure_future(_all([_opens(opened, closed, "0"), _opens(opened, closed, "1")]))
    await opened.wait()
    recovering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recovering
    assert sorted(closed) == ["0", "1"]
