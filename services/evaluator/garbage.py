"""When unreachable objects are looked for: once partitions are recovered, then rarely, when nothing waits.

A collection walks over every contact in memory, and everything waits for it: 70 ms for 100,000 young objects. Records
and definitions leave nothing that it could find; reads and rebalances leave a little. Rule: the interpreter begins none
by itself, unless so much has grown that memory matters more than latency.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

from services.runtime.logs import get_logger

YOUNG_OBJECTS_MAX: Final = 1_000_000
"""By so many more objects that were made than freed the interpreter collects at once, whatever waits."""
OLDER_COLLECTIONS: Final = 10
"""Collections of one generation before the next older one is looked at too."""
COLLECT_EVERY_S: Final = 600.0
LOOK_EVERY_S: Final = 0.02
LOOKS_MAX: Final = 3_000
"""So often, for a minute, a moment is looked for in which nothing waits; then it is done all the same."""

log = get_logger("garbage")


def collect_rarely() -> None:
    """Keep the interpreter from collecting by itself, from now on."""
    gc.set_threshold(YOUNG_OBJECTS_MAX, OLDER_COLLECTIONS, OLDER_COLLECTIONS)


def settle() -> None:
    """Collect, and let what there is now be walked over no more: what recovery built stays."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


async def collect_in_quiet(is_quiet: Callable[[], bool], monotonic: Callable[[], float]) -> None:
    """Collect every `COLLECT_EVERY_S`, for ever: as soon after as nothing waits."""
    while True:
        await asyncio.sleep(COLLECT_EVERY_S)
        await _until(is_quiet)
        began = monotonic()
        found = gc.collect()
        log.info("looked for unreachable objects", found=found, took_ms=round((monotonic() - began) * 1_000))


async def _until(is_quiet: Callable[[], bool]) -> None:
    for _ in range(LOOKS_MAX):
        if is_quiet():
            return
        await asyncio.sleep(LOOK_EVERY_S)
