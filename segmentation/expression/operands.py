"""What may stand beside an operator: durations, instants, ordered values, texts and sets, checked alike for both forms.

Rule: a function gives the checked part of a test, or a problem without a place. It knows neither tokens nor pointers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from segmentation.errors import Problem
from segmentation.expression import codes, limits
from segmentation.expression.codes import LanguageCode, problem
from segmentation.expression.syntax import (
    Between,
    InstantLiteral,
    ListLiteral,
    NumberLiteral,
    OnDay,
    TextLiteral,
    VersionLiteral,
)
from segmentation.values import DAY_MS, iso_text, number_text, read_instant, read_number, version_key

UNIT_MS = {
    "s": 1_000,
    "second": 1_000,
    "seconds": 1_000,
    "m": 60_000,
    "minute": 60_000,
    "minutes": 60_000,
    "h": 3_600_000,
    "hour": 3_600_000,
    "hours": 3_600_000,
    "d": DAY_MS,
    "day": DAY_MS,
    "days": DAY_MS,
    "w": 7 * DAY_MS,
    "week": 7 * DAY_MS,
    "weeks": 7 * DAY_MS,
}
"""Exact lengths: a day is 24 hours."""
CALENDAR_UNITS = frozenset(("mo", "month", "months", "quarter", "quarters", "y", "yr", "year", "years"))
NEAR_UNITS = {"sec": "s", "secs": "s", "min": "m", "mins": "m", "hr": "h", "hrs": "h", "wk": "w", "wks": "w"}
COUNTED = frozenset(("time", "times"))
"""What stands behind a number of events."""
DURATION_DIGITS_MAX = 15
"""A number with more digits is too long in any unit."""

_DURATION = re.compile(r"([+-]?[0-9][0-9.,_]*)\s*([^\W\d_]*)")


def parse_duration(text: str) -> int | Problem:
    """Milliseconds of `7d`, `7 days` or `1 week`."""
    match = _DURATION.fullmatch(text.strip()) if len(text) <= limits.LITERAL_CHARS_MAX else None
    if match is None:
        return problem(
            LanguageCode.EXPECTS_DURATION,
            f"`{limits.shortened(text)}` is not a duration",
            "write a whole number and one unit (s, m, h, d or w), for example `7d` or `7 days`",
        )
    return duration_of(match[1], match[2])


def duration_of(number: str, unit: str) -> int | Problem:
    """Milliseconds of a written number and a written unit; both may be wrong."""
    length_ms = _unit_ms(number, unit)
    if isinstance(length_ms, Problem):
        return length_ms
    if not number.isdecimal() or not number.isascii() or not number.strip("0"):
        return problem(
            LanguageCode.EXPECTS_DURATION,
            f"a duration is a positive whole number of one unit; `{limits.shortened(number)}` is not",
            "use a smaller unit for parts, for example `36 hours` for a day and a half",
        )
    digits = number.lstrip("0")
    total_ms = int(digits) * length_ms if len(digits) <= DURATION_DIGITS_MAX else limits.DURATION_MS_MAX + 1
    if total_ms > limits.DURATION_MS_MAX:
        return problem(
            LanguageCode.DURATION_TOO_LONG,
            f"`{limits.shortened(number)} {unit}` is longer than 3,650 days",
            "use at most `3650 days`, or compare with a date: `before 2016-01-01`",
        )
    return total_ms


def _unit_ms(number: str, unit: str) -> int | Problem:
    lowered = unit.lower()
    if unit == "M":
        return problem(
            LanguageCode.EXPECTS_DURATION,
            "`M` could mean minutes or months",
            f"write `{number}m` or `{number} minutes`; for months use days, for example `30 days`",
        )
    if lowered in UNIT_MS:
        return UNIT_MS[lowered]
    if lowered in CALENDAR_UNITS:
        return codes.reserved_calendar(lowered)
    if lowered in COUNTED:
        return codes.reserved_event_count()
    if not unit:
        return problem(
            LanguageCode.EXPECTS_DURATION,
            f"`{limits.shortened(number)}` has no unit",
            f"add s, m, h, d or w, for example `{limits.shortened(number)} days`",
        )
    near = NEAR_UNITS.get(lowered)
    suggestion = f"did you mean `{limits.shortened(number)}{near}`? " if near else ""
    return problem(
        LanguageCode.EXPECTS_DURATION,
        f"`{limits.shortened(unit)}` is not a unit of time",
        f"{suggestion}units are s, m, h, d, w, or seconds, minutes, hours, days, weeks",
    )


def instant_operand(value: str | float, operator: str) -> InstantLiteral | Problem:
    """The instant that `before`, `after` and the like compare with: ISO 8601, or epoch seconds or milliseconds."""
    at = read_instant(value)
    if at is not None:
        return InstantLiteral(at)
    shown = limits.shortened(str(value))
    hint = "write a date (2026-05-01) or an instant (2026-05-01T12:00:00Z)"
    word = str(value).lower()
    if word in {"now", "today", "yesterday", "tomorrow"}:
        hint = "`in the past` and `in the future` compare with now; `within last 1 day` is the day up to now"
    elif re.fullmatch(r"[0-9]{1,4}[/.-][0-9]{1,2}[/.-][0-9]{1,4}", shown):
        hint = "write the date as year-month-day, for example 2026-05-01; it must exist in the calendar"
    return problem(LanguageCode.EXPECTS_INSTANT, f"`{operator}` needs a date or an instant; `{shown}` is neither", hint)


def day_operand(value: str | float) -> OnDay | Problem:
    """The UTC day of `on`."""
    found = instant_operand(value, "on")
    if isinstance(found, Problem):
        return found
    if isinstance(value, str) and found.at % DAY_MS == 0:
        return OnDay(found.at)
    return problem(
        LanguageCode.EXPECTS_DAY,
        "`on` needs a whole day, without a time",
        f"write `on {iso_text(found.at)[:10]}`, or compare with the instant: `is`, `before` or `after`",
    )


def ordered_text_operand(text: str, operator: str) -> InstantLiteral | Problem:
    """Text beside `>` and the like: an ISO 8601 instant is one; other text has no order."""
    if read_number(text) is None:
        at = read_instant(text)
        if at is not None:
            return InstantLiteral(at)
    return problem(
        LanguageCode.EXPECTS_NUMBER,
        f"`{operator}` compares numbers or instants; this is text",
        _ordered_hint(text),
    )


def _ordered_hint(text: str) -> str:
    shown = limits.shortened(text)
    if read_number(text) is not None:
        return f"write the number without quotes: {shown}"
    plain = re.sub(r"[,_' $€£%]", "", text)
    if len(text) < limits.SHOWN_CHARS_MAX and plain != text and read_number(plain) is not None:
        return f"write only the number: {plain}"
    if isinstance(parse_duration(text), int):
        return f"to compare with now, write `within last {shown}` or `more than {shown} ago`"
    if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return "write a date that exists, for example 2026-05-01"
    if "." in text and version_key(text) is not None:
        return f'for versions write: version "{shown}"'
    if text.lower() in {"now", "today"}:
        return "to compare with now, write `in the past` or `in the future`"
    return "write a number, for example 99"


def version_operand(text: str) -> VersionLiteral | Problem:
    """The version after the word `version`."""
    if version_key(text) is not None:
        return VersionLiteral(text)
    return problem(
        LanguageCode.EXPECTS_VERSION,
        f"`{limits.shortened(text)}` is not a version",
        'a version is 1 to 4 numbers with dots, for example version "2.10.1" or version "3.0.0-beta.2"',
    )


def number_operand(text: str) -> NumberLiteral | Problem:
    """A number as written in the source, which is already known to be a JSON number."""
    number = read_number(text)
    return NumberLiteral(number) if number is not None else out_of_range()


def out_of_range() -> Problem:
    """A number that 64 bits cannot hold, or that is none."""
    return problem(
        LanguageCode.NUMBER_OUT_OF_RANGE,
        "this is larger than any 64-bit number",
        "write a number below 1.8e308; for long digits that are a name, use quotes",
    )


def range_operand(low: NumberLiteral, high: NumberLiteral) -> Between | Problem:
    """Both ends of `between`."""
    if low.value <= high.value:
        return Between(low, high)
    swapped = f"between {number_text(high.value)} and {number_text(low.value)}"
    return problem(
        LanguageCode.SWAPPED_RANGE,
        f"the range ends ({number_text(high.value)}) before it begins ({number_text(low.value)})",
        f"write `{swapped}`",
    )


def text_problem(text: str) -> Problem | None:
    """What is wrong with a text literal, if anything."""
    if len(text) > limits.LITERAL_CHARS_MAX:
        return problem(
            LanguageCode.TEXT_TOO_LONG,
            f"this text has {len(text):,} characters; at most {limits.LITERAL_CHARS_MAX:,} are allowed",
            "shorten it, or use `starts with` and its beginning",
        )
    if any("\ud800" <= character <= "\udfff" for character in text):
        return problem(
            LanguageCode.INVALID_CHARACTER,
            "this text holds half of a surrogate pair, which is no character",
            "write the character itself, or both halves (\\ud83d\\ude00)",
        )
    return None


def fragment_problem(text: str, operator: str) -> Problem | None:
    """What is wrong with the text of `contains`, `starts with` or `ends with`, if anything."""
    if text:
        return text_problem(text)
    return problem(
        LanguageCode.EMPTY_TEXT,
        f"`{operator}` with an empty text would match every text",
        "write the text to look for, or `is set` to match any value",
    )


def set_problem(literals: Sequence[ListLiteral], exact: bool) -> Problem | None:
    """What is wrong with a set, its single values apart."""
    if not literals:
        return problem(
            LanguageCode.EMPTY_SET, "an empty set matches nobody", "put at least one value in it, for example [US, CA]"
        )
    if len(literals) > limits.SET_VALUES_MAX:
        return set_too_large(len(literals))
    if exact and not all(isinstance(literal, TextLiteral) for literal in literals):
        return not_exact()
    return None


def set_too_large(values: int) -> Problem:
    """A set of more values than allowed."""
    return problem(
        LanguageCode.SET_TOO_LARGE,
        f"this set has {values:,} values; at most {limits.SET_VALUES_MAX:,} are allowed",
        "keep what the values have in common as an attribute, and test that",
    )


def not_exact() -> Problem:
    """`exactly` beside a number or a boolean."""
    return problem(
        LanguageCode.EXPECTS_TEXT,
        "`exactly` compares text letter for letter; this is not text",
        "put the value in quotes, or leave out `exactly`",
    )
