"""When unreachable objects are looked for: once partitions are recovered, then when memory has grown, or rarely.

A collection walks over every contact in memory, and everything waits for it: 70 ms for 100,000 young objects. Records
and definitions leave nothing that it could find; a connection that breaks leaves its buffers. So memory says when, and
not the number of objects. Rule: the interpreter begins none by itself, unless memory says nothing for a very long time;
one that is due waits for a moment in which nothing waits for it.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

import psutil

from services.runtime.logs import get_logger

YOUNG_OBJECTS_MAX: Final = 1_000_000
"""By so many more objects that were made than freed the interpreter collects at once, whatever waits."""
OLDER_COLLECTIONS: Final = 10
"""Collections of one generation before the next older one is looked at too."""
WATCH_EVERY_S: Final = 2.0
COLLECT_EVERY_S: Final = 600.0
GROWN_BYTES_MIN: Final = 32 << 20
"""Memory that has grown by this since the last collection brings the next..."""
GROWN_SHARE_MIN: Final = 0.25
"""...but not by less than this share: what fills its caches grows too, and is not to be walked over again and again."""
LOOK_EVERY_S: Final = 0.02
LOOKS_MAX: Final = 100
"""So often a moment is looked for in which nothing waits; then it is done all the same."""

log = get_logger("garbage")


def collect_rarely() -> None:
    """Keep the interpreter from collecting by itself, from now on."""
    gc.set_threshold(YOUNG_OBJECTS_MAX, OLDER_COLLECTIONS, OLDER_COLLECTIONS)


def settle() -> None:
    """Collect, and let what there is now be walked over no more: what recovery built stays."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


async def collect_in_quiet(
    is_quiet: Callable[[], bool],
    monotonic: Callable[[], float],
    resident_bytes: Callable[[], int] = lambda: int(psutil.Process().memory_info().rss),
) -> None:
    """Collect, for ever, when memory has grown or `COLLECT_EVERY_S` have passed: as soon as nothing waits."""
    held, due = resident_bytes(), monotonic() + COLLECT_EVERY_S
    while True:
        await asyncio.sleep(WATCH_EVERY_S)
        if monotonic() < due and resident_bytes() < held + max(GROWN_BYTES_MIN, held * GROWN_SHARE_MIN):
            continue
        await _until(is_quiet)
        began = monotonic()
        found = gc.collect()
        held, due = resident_bytes(), monotonic() + COLLECT_EVERY_S
        log.info("looked for unreachable objects", found=found, took_ms=round((monotonic() - began) * 1_000))


async def _until(is_quiet: Callable[[], bool]) -> None:
    for _ in range(LOOKS_MAX):
        if is_quiet():
            return
        await asyncio.sleep(LOOK_EVERY_S)
