"""The codes of everything the language refuses, and the problems that both written forms share.

Rule: a code is stable, since programs match on it; its wording may improve. A problem made here has no place yet: the
form that found it adds the span or the pointer.
"""

from __future__ import annotations

from enum import StrEnum

from segmentation.errors import Problem


class LanguageCode(StrEnum):
    """What can be wrong with an expression."""

    # The whole.
    EMPTY_EXPRESSION = "empty_expression"
    SOURCE_TOO_LONG = "source_too_long"
    NESTED_TOO_DEEP = "nested_too_deep"
    TOO_MANY_CONDITIONS = "too_many_conditions"
    # Characters and brackets.
    INVALID_CHARACTER = "invalid_character"
    UNTERMINATED_TEXT = "unterminated_text"
    UNTERMINATED_NAME = "unterminated_name"
    UNKNOWN_ESCAPE = "unknown_escape"
    CURLY_QUOTES = "curly_quotes"
    UNKNOWN_SYMBOL = "unknown_symbol"
    UNCLOSED_BRACKET = "unclosed_bracket"
    UNMATCHED_BRACKET = "unmatched_bracket"
    EMPTY_GROUP = "empty_group"
    # What should stand where.
    EXPECTS_CONDITION = "expects_condition"
    EXPECTS_CONNECTIVE = "expects_connective"
    EXPECTS_ATTRIBUTE = "expects_attribute"
    EXPECTS_OPERATOR = "expects_operator"
    EXPECTS_VALUE = "expects_value"
    EXPECTS_NUMBER = "expects_number"
    EXPECTS_TEXT = "expects_text"
    EXPECTS_BOOLEAN = "expects_boolean"
    EXPECTS_VERSION = "expects_version"
    EXPECTS_INSTANT = "expects_instant"
    EXPECTS_DAY = "expects_day"
    EXPECTS_DURATION = "expects_duration"
    EXPECTS_SET = "expects_set"
    EXPECTS_SEGMENT = "expects_segment"
    EXPECTS_OPTION = "expects_option"
    UNKNOWN_TEST = "unknown_test"
    # Names and values.
    QUOTED_ATTRIBUTE = "quoted_attribute"
    NAME_NEEDS_BACKTICKS = "name_needs_backticks"
    NAME_TOO_LONG = "name_too_long"
    UNQUOTED_TEXT = "unquoted_text"
    NULL_VALUE = "null_value"
    EMPTY_TEXT = "empty_text"
    TEXT_TOO_LONG = "text_too_long"
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    EMPTY_SET = "empty_set"
    SET_TOO_LARGE = "set_too_large"
    SWAPPED_RANGE = "swapped_range"
    DURATION_TOO_LONG = "duration_too_long"
    POLICY_ON_PRESENCE = "policy_on_presence"
    # Reserved for later.
    RESERVED_REGULAR_EXPRESSION = "reserved_regular_expression"
    RESERVED_CALENDAR = "reserved_calendar"
    RESERVED_TIME_ZONE = "reserved_time_zone"
    RESERVED_ANNIVERSARY = "reserved_anniversary"
    RESERVED_EVENT_COUNT = "reserved_event_count"


def problem(code: LanguageCode, message: str, hint: str) -> Problem:
    """A problem that has no place yet."""
    return Problem(code.value, message, hint)


def reserved_regular_expression() -> Problem:
    """For `matches`, `like` and their kin."""
    return problem(
        LanguageCode.RESERVED_REGULAR_EXPRESSION,
        "patterns and regular expressions are reserved for later",
        "use `contains`, `starts with` or `ends with`; several may be joined with OR",
    )


def reserved_calendar(word: str) -> Problem:
    """For months, years and calendar windows, whose length depends on the calendar."""
    return problem(
        LanguageCode.RESERVED_CALENDAR,
        f"calendar windows are reserved for later: `{word}` has no fixed length",
        "use days, for example `within last 30 days` (a month) or `within last 365 days` (a year)",
    )


def reserved_time_zone() -> Problem:
    """For named time zones."""
    return problem(
        LanguageCode.RESERVED_TIME_ZONE,
        "time zones by name are reserved for later: days are UTC days",
        "give the instant with its offset, for example 2026-05-01T00:00:00+02:00",
    )


def reserved_anniversary() -> Problem:
    """For birthdays and other yearly dates."""
    return problem(
        LanguageCode.RESERVED_ANNIVERSARY,
        "anniversaries are reserved for later",
        "keep the next date as an attribute, for example `next_birthday within next 7 days`",
    )


def reserved_event_count() -> Problem:
    """For counting what a contact did."""
    return problem(
        LanguageCode.RESERVED_EVENT_COUNT,
        "counting events is reserved for later: a condition reads attributes",
        "send the count as an attribute, for example `clicks >= 3`",
    )
