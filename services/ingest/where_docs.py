"""What the OpenAPI document says of an expression: the text form by name, the JSON form as a recursive schema.

Rule: declarations only, made from the language's own tables and limits, so that a test that is added there is declared
here. What no schema can say (that a text parses, that a range begins before it ends, that a reference leads somewhere)
is left to formats and descriptions; the API's tests hold the two together.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from segmentation.expression import limits
from segmentation.expression.jsontests import TESTS
from segmentation.values import VERSION_CHARS_MAX
from services.ingest.contact_docs import reference

Json = dict[str, Any]

TEXT_FORMAT: Final = "tidegate-expression"
INSTANT_FORMAT: Final = "tidegate-instant"
VERSION_FORMAT: Final = "tidegate-version"
DURATION_FORMAT: Final = "tidegate-duration"
REFERENCE_FORMAT: Final = "tidegate-segment"

_TEXT: Final[Json] = {"type": "string", "maxLength": limits.LITERAL_CHARS_MAX}
_FRAGMENT: Final[Json] = {**_TEXT, "minLength": 1}
_NUMBER: Final[Json] = {"type": "number", "minimum": -sys.float_info.max, "maximum": sys.float_info.max}
_SCALAR: Final[Json] = {"anyOf": [_TEXT, _NUMBER, {"type": "boolean"}]}
_INSTANT_TEXT: Final[Json] = {
    "type": "string",
    "format": INSTANT_FORMAT,
    "description": "ISO 8601: `2026-05-01` or `2026-05-01T12:00:00Z`.",
}
_INSTANT: Final[Json] = {
    "anyOf": [
        _INSTANT_TEXT,
        {
            "type": "number",
            "minimum": -62_135_596_800_000,
            "maximum": 253_402_300_799_999,
            # Seconds before the year 1 that are too few to be milliseconds.
            "not": {"exclusiveMinimum": -100_000_000_000, "exclusiveMaximum": -62_135_596_800},
        },
    ],
    "description": "ISO 8601 text, or epoch seconds or milliseconds, in the years 1 to 9999.",
}
_DAY: Final[Json] = {"type": "string", "format": "date", "description": "A whole day: `2026-05-01`."}
_VERSION: Final[Json] = {
    "type": "string",
    "format": VERSION_FORMAT,
    "maxLength": VERSION_CHARS_MAX,
    "description": "1 to 4 numbers with dots, then as SemVer: `2.10`, `3.0.0-beta.2`.",
}
_DURATION: Final[Json] = {
    "type": "string",
    "format": DURATION_FORMAT,
    "maxLength": limits.LITERAL_CHARS_MAX,
    "description": "A whole number and a unit, at most 3,650 days: `7d`, `36 hours`, `1 week`.",
}
_RANGE: Final[Json] = {"type": "array", "minItems": 2, "maxItems": 2, "items": _NUMBER}


def _set(of: Json) -> Json:
    return {"type": "array", "minItems": 1, "maxItems": limits.SET_VALUES_MAX, "items": of}


_ORDERED: Final[Json] = {"anyOf": [_NUMBER, _INSTANT_TEXT]}
_MATCHED: Final[Json] = {"anyOf": [_FRAGMENT, {"type": ["number", "boolean"]}]}
_ONLY_TRUE: Final[Json] = {"const": True}
_OPERANDS: Final[dict[str, Json]] = {
    **dict.fromkeys(("is", "is_not"), _SCALAR),
    **dict.fromkeys(("exactly", "not_exactly"), _TEXT),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), _ORDERED),
    "between": _RANGE,
    **dict.fromkeys(("in", "not_in", "any_of", "all_of", "none_of"), _set(_SCALAR)),
    "set": {"type": "boolean"},
    **dict.fromkeys(("contains", "starts_with", "ends_with"), _MATCHED),
    **dict.fromkeys(("not_contains", "not_starts_with", "not_ends_with"), _MATCHED),
    **{name: _VERSION for name in TESTS if name.startswith("version_")},
    **dict.fromkeys(("within", "within_last", "within_next", "more_than_ago", "more_than_from_now"), _DURATION),
    **dict.fromkeys(("in_past", "in_future"), _ONLY_TRUE),
    **dict.fromkeys(("before", "after", "instant_is", "instant_is_not"), _INSTANT),
    "on": _DAY,
}
_EXACT_OPERANDS: Final[dict[str, Json]] = {
    **{name: operand for name, operand in _OPERANDS.items() if name not in ("any_of", "all_of", "none_of")},
    **dict.fromkeys(("is", "is_not"), _TEXT),
    **dict.fromkeys(("in", "not_in"), _set(_TEXT)),
}
"""With `"case": "exact"`, which compares text only."""
_MISSING: Final[Json] = {
    "missing": {"enum": ["exclude", "include"], "description": "What a missing or unreadable value means."}
}
_NAME: Final[Json] = {"type": "string", "minLength": 1, "maxLength": limits.ATTRIBUTE_NAME_CHARS_MAX}
_LONG_FORM: Final = "attribute"


def _tests(around: Json) -> list[Json]:
    """What may be asked of one attribute: with a policy or for presence, with and without regard to case."""
    found = []
    for options, operands in (({}, _OPERANDS), ({"case": {"const": "exact"}}, _EXACT_OPERANDS)):
        without_presence = {name: operand for name, operand in operands.items() if name != "set"}
        for tests, policy, wanted in (
            (without_presence, _MISSING, [{"required": [name]} for name in without_presence]),
            (operands, {}, [{"required": ["set"]}]),
        ):
            found.append(
                {
                    "type": "object",
                    "required": [*around, *options],
                    "properties": {**around, **options, **policy, **tests},
                    "additionalProperties": False,
                    "anyOf": wanted,
                }
            )
    return found


_GROUP: Final[Json] = {
    "type": "array",
    "minItems": 1,
    "maxItems": limits.CONDITIONS_MAX,
    "items": reference("Conditions"),
}
SCHEMAS: Final[Json] = {
    "Expression": {
        "description": "An expression in either written form. Groups within one another: at most "
        f"{limits.NESTING_MAX}; conditions together: at most {limits.CONDITIONS_MAX}.",
        "anyOf": [
            {
                "type": "string",
                "format": TEXT_FORMAT,
                "minLength": 1,
                "maxLength": limits.SOURCE_BYTES_MAX,
                "description": "The text form: `plan is Pro AND last_active within 7d`.",
            },
            reference("Conditions"),
        ],
    },
    "Conditions": {
        "description": "The JSON form. A list, or several members of an object, mean all of them.",
        "anyOf": [_GROUP, reference("ConditionsByAttribute"), *_tests({_LONG_FORM: _NAME})],
    },
    "ConditionsByAttribute": {
        "description": "From an attribute's name to what is asked of it; or `all`, `any`, `not`, `segment`.",
        "type": "object",
        "minProperties": 1,
        "maxProperties": limits.CONDITIONS_MAX,
        "properties": {
            "all": _GROUP,
            "any": _GROUP,
            "not": reference("Conditions"),
            "segment": {
                "type": "string",
                "format": REFERENCE_FORMAT,
                "pattern": f"^{limits.SEGMENT_ID.pattern}$",
                "description": "The id of a segment that exists.",
            },
        },
        "propertyNames": {**_NAME, "not": {"const": _LONG_FORM}},
        "additionalProperties": reference("Asked"),
    },
    "Asked": {
        "description": "What is asked of one attribute: a value, a list that holds it, or tests that must all hold.",
        "anyOf": [_SCALAR, _set(_SCALAR), *_tests({})],
    },
}
