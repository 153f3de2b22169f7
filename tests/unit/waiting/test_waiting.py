"""Waiting ends with what was awaited, with the condition's own error, or with a sentence that says what was missing."""

from __future__ import annotations

from itertools import count

import pytest

from bench import waiting
from tests.waiting import until


def test_waiting_ends_with_the_first_answer_that_is_true() -> None:
    answers = count()
    assert waiting.until(lambda: next(answers), within_s=5, doing="a number", every_s=0) == 1


def test_waiting_in_vain_says_for_what_and_what_was_seen_last() -> None:
    with pytest.raises(TimeoutError, match=r"^waited 0\.01 s in vain for the third record; seen last: \[\]$"):
        waiting.until(list, within_s=0.01, doing="the third record", every_s=0)


def test_an_answer_may_have_to_be_more_than_true_and_is_told_when_it_never_was() -> None:
    answers = count(1)
    assert waiting.until(lambda: next(answers), 5, "the third", every_s=0, satisfies=lambda found: found == 3) == 3
    with pytest.raises(TimeoutError, match="in vain for the owner; seen last: 'another'"):
        waiting.until(lambda: "another", 0.01, "the owner", every_s=0, satisfies=lambda found: found == "wanted")


def test_an_error_of_the_condition_ends_the_wait_at_once() -> None:
    asked = count()

    def ended() -> bool:
        raise RuntimeError(f"the process ended after {next(asked)} looks")

    with pytest.raises(RuntimeError, match="after 0 looks"):
        waiting.until(ended, within_s=60, doing="a process")


async def test_a_loop_waits_for_conditions_of_both_kinds() -> None:
    answers = count()

    async def later() -> int:
        return next(answers)

    assert await until(later, within_s=5, doing="a number", every_s=0) == 1
    assert await until(lambda: next(answers), within_s=5, doing="a number", every_s=0) == 2


async def test_a_loop_that_waits_in_vain_says_so_too() -> None:
    async def never() -> str:
        return ""

    with pytest.raises(TimeoutError, match="in vain for the owner; seen last: ''"):
        await until(never, within_s=0.01, doing="the owner", every_s=0)
