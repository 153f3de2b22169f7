"""Instants as a person at a terminal reads them."""

from __future__ import annotations

from datetime import datetime


def clock_time(instant_ms: int) -> str:
    """The time of day of an instant, in the person's own time zone, with milliseconds."""
    return datetime.fromtimestamp(instant_ms / 1000).astimezone().strftime("%H:%M:%S.%f")[:-3]
