"""Work beside a block ends with it, and does not fail unseen."""

from __future__ import annotations

import asyncio

import pytest

from tests.beside import beside


async def test_work_goes_on_beside_the_block_and_ends_with_it() -> None:
    ended: list[str] = []
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async with beside(work()):
        await begun.wait()
        assert ended == []
    assert ended == ["work"]


async def fail() -> None:
    raise RuntimeError("nothing was seen")


async def test_work_that_failed_fails_the_test() -> None:
    with pytest.raises(RuntimeError, match="nothing was seen"):
        async with beside(fail()):
            await asyncio.sleep(0)


async def test_a_block_that_fails_is_told_with_what_had_failed_beside_it() -> None:
    async def block() -> None:
        async with beside(fail()):
            await asyncio.sleep(0)
            raise AssertionError("of the block")

    with pytest.raises(AssertionError) as failed:
        await block()
    assert str(failed.value) == "of the block"
    assert "nothing was seen" in failed.value.__notes__[0]
