"""Columns are read before anybody asks, so that the first preview after a start is as quick as the next.

Rule: one small step at a time over all partitions of the process; none while the process has other work, and never more
than a share of the time, so that writes do not notice. All partitions' columns are kept ready or none: kept for some
they would take the memory that a preview needs for the others. What must not happen here: reading contacts otherwise
than `previews.py` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from itertools import cycle

from services.evaluator.previews import Previews, Warmed

STEPS_S = 0.001
"""Steps are made until so much time has passed; then the event loop has its turn."""
REST_FACTOR = 3
"""It rests so many times as long as it worked."""
WINDOW_S = 0.25
"""Over such a stretch it is seen how busy the process is."""
BUSY_SHARE = 0.25
"""With more of one core than this taken by other work, nothing is read ahead."""
READY_REST_S = 1.0


class Warming:
    """Keeps the columns of all served partitions ready. Call `step`, rest as long as it says, and again."""

    def __init__(
        self,
        served: Callable[[], Collection[Previews]],
        monotonic: Callable[[], float],
        processor_s: Callable[[], float],
    ) -> None:
        self._served = served
        self._monotonic = monotonic
        self._processor_s = processor_s
        self._too_many: list[Previews] = []
        """The partitions whose columns did not fit together; it is tried again with others."""
        self._is_quiet = False
        self._own_s = 0.0
        self._window = (monotonic(), processor_s())

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            rest_s = self.step()
            await asyncio.sleep(rest_s)

    def step(self) -> float:
        """Work for a moment if there is time to spare; how long to rest. Units: seconds."""
        self._look()
        served = list(self._served())
        if not self._is_quiet or not served or served == self._too_many:
            return READY_REST_S if served == self._too_many else WINDOW_S
        began = self._monotonic()
        began_processor_s = self._processor_s()
        is_ready = self._work(served, began + STEPS_S)
        self._own_s += self._processor_s() - began_processor_s
        return READY_REST_S if is_ready else REST_FACTOR * (self._monotonic() - began)

    def _work(self, served: list[Previews], until: float) -> bool:
        """Step by step, partition by partition; whether everything is ready."""
        ready = 0
        for previews in cycle(served):
            warmed = previews.warm()
            if warmed is Warmed.TOO_LARGE:
                self._too_many = served
                for each in served:
                    each.cool()
                return True
            ready = ready + 1 if warmed is Warmed.READY else 0
            if ready == len(served):
                return True
            if self._monotonic() >= until:
                return False
        raise AssertionError("without a partition there is no step")

    def _look(self) -> None:
        """Once a window, see how much of the processor other work of this process took."""
        now, processor_s = self._monotonic(), self._processor_s()
        since, processor_since_s = self._window
        if now - since < WINDOW_S:
            return
        others_s = processor_s - processor_since_s - self._own_s
        self._is_quiet = others_s <= BUSY_SHARE * (now - since)
        self._window, self._own_s = (now, processor_s), 0.0
