"""The clock of a process that had to wait: a loop that was held up has had no time meanwhile."""

from __future__ import annotations

import asyncio
import time

from tests.pulse import BEAT_S, beating

HELD_UP_S = 0.5


async def test_time_passes_while_the_loop_is_free() -> None:
    async with beating() as pulse:
        while pulse.now_s < 5 * BEAT_S:  # noqa: ASYNC110 - the pulse tells nobody
            await asyncio.sleep(BEAT_S)


async def test_a_loop_that_is_held_up_has_at_most_one_beat_meanwhile() -> None:
    async with beating() as pulse:
        await asyncio.sleep(BEAT_S)
        began = pulse.beats
        time.sleep(HELD_UP_S)  # noqa: ASYNC251 - it holds the loop up, which is the point
        await asyncio.sleep(0)
        assert pulse.beats <= began + 1
