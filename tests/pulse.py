"""Time as this process had it: a clock that stands still while a busy machine lets the process wait.

Rule: it is for promises in seconds that the product makes and keeps with its own timers. A wait that the machine caused
does not count against them. Whoever measures with it also sets a limit by the real clock, which finds a blocked loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from tests.beside import beside

BEAT_S: Final = 0.02


@dataclass
class Pulse:
    """Counts the beats of a loop that was free to run."""

    beats: int = 0

    @property
    def now_s(self) -> float:
        """Seconds that the loop had."""
        return self.beats * BEAT_S

    async def beat(self) -> None:
        """Go on for ever. A beat that comes late is one beat."""
        while True:
            await asyncio.sleep(BEAT_S)
            self.beats += 1


@contextlib.asynccontextmanager
async def beating() -> AsyncIterator[Pulse]:
    """A pulse that beats until the end of the block."""
    pulse = Pulse()
    async with beside(pulse.beat()):
        yield pulse
