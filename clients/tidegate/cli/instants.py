"""Instants as a person at a terminal reads them: in the person's own time zone, to the millisecond."""

from __future__ import annotations

from datetime import datetime


def clock_time(instant_ms: int) -> str:
    """The time of day of an instant."""
    return datetime.fromtimestamp(instant_ms / 1000).astimezone().strftime("%H:%M:%S.%f")[:-3]


def date_time(instant: int | datetime) -> str:
    """Date, time of day and offset from UTC of an instant (epoch milliseconds, or a datetime)."""
    moment = instant if isinstance(instant, datetime) else datetime.fromtimestamp(instant / 1000).astimezone()
    return moment.astimezone().isoformat(sep=" ", timespec="milliseconds")
