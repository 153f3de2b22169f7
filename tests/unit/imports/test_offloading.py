"""Where the place of imports stands still, other work of the process goes on."""

from __future__ import annotations

import asyncio
import threading

from services.ingest.imports.offloading import off_loop

WAIT_S = 10.0
STUCK = 64
"""More than the threads that anybody has."""


async def test_nobody_else_waits_behind_files_that_stand_still() -> None:
    goes_on = threading.Event()
    stuck = [asyncio.create_task(off_loop(goes_on.wait, WAIT_S)) for _ in range(STUCK)]
    await asyncio.sleep(0.1)
    try:
        async with asyncio.timeout(WAIT_S / 2):
            assert await asyncio.to_thread(lambda: "an answer to keep, a key to make") is not None
    finally:
        goes_on.set()
        assert await asyncio.gather(*stuck) == [True] * STUCK
