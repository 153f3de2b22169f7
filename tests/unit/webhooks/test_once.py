"""Requests of one identity are carried out one after the other, also when the first of them fails."""

from __future__ import annotations

import asyncio

import pytest
from fastapi.responses import Response

from services.runtime.errors import ServiceError
from services.webhooks.once import Answers


class Work:
    """What is carried out: as long as it is let, and never twice at a time."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.begun = 0
        self._now = 0

    async def fails(self) -> Response:
        await self._alone()
        raise ServiceError("the broker did not take it")

    async def succeeds(self) -> Response:
        await self._alone()
        return Response(b"made", 201)

    async def _alone(self) -> None:
        assert self._now == 0, "another of the same identity is at work"
        self._now += 1
        self.begun += 1
        await self.may_end.wait()
        self._now -= 1


async def until_all_wait() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_third_request_waits_for_the_second_whose_turn_came_when_the_first_failed() -> None:
    answers, first, rest = Answers(), Work(), Work()
    failing = asyncio.create_task(answers.answer("one", "/path", first.fails))
    await until_all_wait()
    second = asyncio.create_task(answers.answer("one", "/path", rest.succeeds))
    await until_all_wait()
    first.may_end.set()
    with pytest.raises(ServiceError):
        await failing
    await until_all_wait()
    third = asyncio.create_task(answers.answer("one", "/path", rest.succeeds))
    await until_all_wait()
    rest.may_end.set()
    assert [answer.body for answer in await asyncio.gather(second, third)] == [b"made", b"made"]
    assert rest.begun == 1


async def test_nothing_is_kept_of_turns_that_are_over() -> None:
    answers, work = Answers(), Work()
    work.may_end.set()
    await asyncio.gather(*(answers.answer(f"{number}", "/path", work.succeeds) for number in range(3)))
    assert not answers.turns
