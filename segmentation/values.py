"""How a stored value is read: as a number, text, boolean, version or instant, as the literal beside it asks.

Rule: a reader returns the read value, or None when the value is missing or cannot be read that way (*unreadable*); it
never guesses, raises or looks at a clock. Reading is all the coercion there is: nothing else converts values.
"""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import date

from segmentation.model import InstantMs, Scalar, Value

SECONDS_BELOW = 1e11
"""A number of absolute value below this is epoch seconds; from it on, epoch milliseconds."""
INSTANT_MIN_MS = InstantMs(-62_135_596_800_000)
"""0001-01-01T00:00:00Z, the first instant ISO 8601 can write with a four-digit year here."""
INSTANT_MAX_MS = InstantMs(253_402_300_799_999)
"""The last millisecond of year 9999. A later number is microseconds sent by mistake: unreadable, so reported."""
VERSION_CHARS_MAX = 256
"""A longer text is not a version."""
NUMBER_CHARS_MAX = 400
"""A longer text is not a number: no 64-bit float needs as many digits."""
DAY_MS = 86_400_000

VersionKey = tuple[int, int, int, int, int, tuple[tuple[int, int, str], ...]]
"""Orderable: four numbers, 1 for a release or 0 for a pre-release, then the pre-release's identifiers."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_CLOCK = r"([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(?:[.,]([0-9]+))?)?)?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_INSTANT = re.compile(rf"([0-9]{{4}})-([0-9]{{2}})-([0-9]{{2}})(?:[Tt ]{_CLOCK})?")
_INSTANT_BASIC = re.compile(rf"([0-9]{{4}})([0-9]{{2}})([0-9]{{2}})[Tt]{_CLOCK}")
_VERSION = re.compile(
    r"[vV]?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:\.([0-9]+))?"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def fold(text: str) -> str:
    """What text is compared by unless a test says `exactly`: Unicode NFC, then case folding."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", text).casefold()


def elements(value: Value) -> list[Scalar]:
    """The elements of a list, or a scalar as a list of one."""
    return value if isinstance(value, list) else [value]


def read_number(value: Value | None) -> float | None:
    """A number, or text that is wholly one JSON number. Booleans and lists are not numbers."""
    if isinstance(value, float):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, str) and len(value) <= NUMBER_CHARS_MAX and _NUMBER.fullmatch(value):
        number = float(value)
        return number if math.isfinite(number) else None
    return None


def read_text(value: Value | None) -> str | None:
    """Text as written, a number in its shortest JSON form (`5`, not `5.0`), or `true`/`false`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if read_number(value) is not None else None
    if isinstance(value, float):
        return number_text(value)
    return None


def read_boolean(value: Value | None) -> bool | None:
    """A boolean, or the text `true` or `false` in any case."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        lowered = value.lower()
        if lowered == "true":
            return True
        if lowered == "false":
            return False
    return None


def read_version(value: Value | None) -> VersionKey | None:
    """Text that is a version; a number is not one (2.10 has already become 2.1)."""
    return version_key(value) if isinstance(value, str) else None


def read_instant(value: Value | None) -> InstantMs | None:
    """ISO 8601 text (no zone means UTC, a date alone 00:00 UTC), a number, or text that is one.

    Units: numbers are epoch seconds or milliseconds (`SECONDS_BELOW`), rounded to the nearest millisecond; a fraction
    of a second in text is cut after the millisecond.
    """
    if isinstance(value, str):
        match = _INSTANT.fullmatch(value) or _INSTANT_BASIC.fullmatch(value)
        if match is not None:
            return _bounded(_instant_of(match))
    number = read_number(value)
    if number is None or not math.isfinite(number):
        return None
    return _bounded(round(number * 1000) if abs(number) < SECONDS_BELOW else round(number))


def version_key(text: str) -> VersionKey | None:
    """The order of a version: 1 to 4 dotted numbers, missing parts zero, then SemVer 2.0's order of pre-releases.

    Build metadata (`+…`) takes no part. A numeric pre-release identifier has no leading zero, as in SemVer.
    """
    match = _VERSION.fullmatch(text) if len(text) <= VERSION_CHARS_MAX else None
    if match is None:
        return None
    major, minor, patch, fourth, pre = match.groups()
    numbers = (int(major), int(minor or 0), int(patch or 0), int(fourth or 0))
    if pre is None:
        return (*numbers, 1, ())
    identifiers = pre.split(".")
    if any(one.isdigit() and len(one) > 1 and one[0] == "0" for one in identifiers):
        return None
    return (*numbers, 0, tuple((0, int(one), "") if one.isdigit() else (1, 0, one) for one in identifiers))


def number_text(number: float) -> str:
    """The shortest JSON form of a finite number, as ECMAScript and RFC 8785 write it: `5`, `0.1`, `1e+21`."""
    if number == 0:
        return "0"
    if number.is_integer() and abs(number) < 1e21:
        return _integer_text(number)
    mantissa, _, exponent = repr(number).partition("e")
    if not exponent:
        return mantissa
    power = int(exponent)
    if -6 <= power < 0:
        digits = mantissa.lstrip("-").replace(".", "")
        return f"{'-' if number < 0 else ''}0.{'0' * (-power - 1)}{digits}"
    return f"{mantissa.removesuffix('.0')}e{'+' if power > 0 else '-'}{abs(power)}"


def iso_text(at: InstantMs) -> str:
    """RFC 3339 in UTC, with milliseconds only when there are any: `2026-05-01T00:00:00Z`.

    An instant outside the years 1 to 9999 (a boundary may lie there) is written as its epoch milliseconds.
    """
    if not INSTANT_MIN_MS <= at <= INSTANT_MAX_MS:
        return str(at)
    days, rest = divmod(at, DAY_MS)
    seconds, milliseconds = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    fraction = f".{milliseconds:03d}" if milliseconds else ""
    return f"{date.fromordinal(days + _EPOCH_ORDINAL).isoformat()}T{hour:02d}:{minute:02d}:{second:02d}{fraction}Z"


def _integer_text(number: float) -> str:
    """The shortest digits that read back as this float, padded with zeros as ECMAScript does below 1e21."""
    mantissa, _, exponent = repr(number).partition("e")
    if not exponent:
        return mantissa.removesuffix(".0")
    whole, _, fraction = mantissa.partition(".")
    return whole + fraction.removesuffix("0").ljust(int(exponent), "0")


def _instant_of(match: re.Match[str]) -> int | None:
    """Epoch milliseconds of a matched ISO 8601 text, or None when a part is out of its range."""
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        return None
    hours, minutes, seconds = int(hour or 0), int(minute or 0), int(second or 0)
    offset = _offset_minutes(zone)
    if hours > 23 or minutes > 59 or seconds > 59 or offset is None:
        return None
    milliseconds = int(fraction[:3].ljust(3, "0")) if fraction else 0
    return days * DAY_MS + ((hours * 60 + minutes - offset) * 60 + seconds) * 1000 + milliseconds


def _offset_minutes(zone: str | None) -> int | None:
    """Minutes east of UTC, 0 for none, or None when no clock is that far off."""
    if zone is None or zone in "Zz":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:]) if len(zone) > 3 else 0
    if hours > 23 or minutes > 59:
        return None
    return (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)


def _bounded(at: int | None) -> InstantMs | None:
    return InstantMs(at) if at is not None and INSTANT_MIN_MS <= at <= INSTANT_MAX_MS else None
