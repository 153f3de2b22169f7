"""How often a key may ask: a token bucket a key, and the headers that tell it.

Rule: in this process only, so that no request waits for another process. Knows keys by id, never what they ask for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

BUCKETS_MAX: Final = 10_000
"""Keys whose rate is remembered; past that the one that was quiet longest is forgotten."""
BURST_SECONDS: Final = 1


class Rates:
    """A token bucket a key. Units: requests and seconds."""

    def __init__(self, limit_per_s: int, monotonic: Callable[[], float]) -> None:
        self.limit_per_s = limit_per_s
        self._monotonic = monotonic
        self._burst = limit_per_s * BURST_SECONDS
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._policy = f'"requests";q={limit_per_s};w={BURST_SECONDS}'

    def take(self, key_id: str) -> int:
        """Take one request; how many are left, or -1 if there was none."""
        now = self._monotonic()
        tokens, at = self._buckets.get(key_id, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - at) * self.limit_per_s)
        allowed = tokens >= 1
        self._buckets[key_id] = (tokens - 1 if allowed else tokens, now)
        self._buckets.move_to_end(key_id)
        if len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        return int(tokens - 1) if allowed else -1

    def told(self, left: int) -> dict[str, str]:
        """The headers that say what is allowed and what is left of it."""
        return {"RateLimit-Policy": self._policy, "RateLimit": f'"requests";r={max(0, left)};t={BURST_SECONDS}'}
