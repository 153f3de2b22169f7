"""Instants as a person at a terminal reads them, in the person's own time zone, to the millisecond; and writes them."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from segmentation.model import InstantMs
from segmentation.values import read_instant


def clock_time(instant_ms: int) -> str:
    """The time of day of an instant."""
    return datetime.fromtimestamp(instant_ms / 1000).astimezone().strftime("%H:%M:%S.%f")[:-3]


def date_time(instant: int | datetime) -> str:
    """Date, time of day and offset from UTC of an instant (epoch milliseconds, or a datetime).

    What is in another year than 1 to 9999 in the person's time zone, such as the end of 9999, is told in UTC.
    """
    moment = instant if isinstance(instant, datetime) else datetime.fromtimestamp(instant / 1000, UTC)
    try:
        moment = moment.astimezone()
    except (OverflowError, ValueError):
        moment = moment.astimezone(UTC)
    return moment.isoformat(sep=" ", timespec="milliseconds")


def instant_of(text: str) -> InstantMs:
    """The instant that an option names. Errors: BadParameter."""
    at = read_instant(text)
    if at is None:
        raise typer.BadParameter(f"{text!r} is no instant; write for example 2027-01-31 or 2027-01-31T12:00:00Z")
    return at
