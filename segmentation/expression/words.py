"""The words and symbols of the text form: those that begin an operator, and those that people write instead.

Rule: data only. A near miss is never accepted silently; it leads to the spelling that was meant.
"""

from __future__ import annotations

from collections.abc import Callable

from segmentation.errors import Problem
from segmentation.expression import codes
from segmentation.expression.syntax import Order

_VERBS = ("is", "not", "does", "in", "contains", "starts", "ends", "has", "exists", "exactly")
OPERATOR_WORDS = frozenset((*_VERBS, "between", "within", "less", "more", "before", "after", "on"))
"""Words that begin an operator; as an attribute's name they are clearer in backticks."""
RESERVED_NAMES = OPERATOR_WORDS | {"and", "or", "true", "false", "excluding", "including"}
"""Attribute names that the canonical text form puts in backticks, and segments' ids that it puts in quotes."""
ORDER_SYMBOLS = {">": Order.GT, ">=": Order.GTE, "<": Order.LT, "<=": Order.LTE}
EQUAL_SYMBOLS = {"=": False, "==": False, "!=": True, "<>": True}
"""Symbol to whether it is negated."""
NEAR_SYMBOLS = {"\u2265": ">=", "\u2264": "<=", "\u2260": "!=", "=>": ">=", "=<": "<="}
PATTERN_SYMBOLS = frozenset(("~", "=~", "!~"))
ALL_SYMBOLS = (*ORDER_SYMBOLS, *EQUAL_SYMBOLS, *NEAR_SYMBOLS, *PATTERN_SYMBOLS)
OPERATORS_HINT = "operators are is, =, !=, >, >=, <, <=, between, in, contains, has any of, within, before, exists, …"
MEANT_PHRASES: dict[tuple[str, ...], str] = {
    ("greater", "than", "or", "equal", "to"): ">= 99",
    ("more", "than", "or", "equal", "to"): ">= 99",
    ("less", "than", "or", "equal", "to"): "<= 99",
    ("greater", "or", "equal", "to"): ">= 99",
    ("less", "or", "equal", "to"): "<= 99",
    ("one", "of"): "in [US, CA]",
    ("any", "of"): "has any of [a, b]",
    ("all", "of"): "has all of [a, b]",
    ("none", "of"): "not in [US, CA]",
    ("greater", "than"): "> 99",
    ("higher", "than"): "> 99",
    ("larger", "than"): "> 99",
    ("smaller", "than"): "< 99",
    ("lower", "than"): "< 99",
    ("fewer", "than"): "< 99",
    ("at", "least"): ">= 99",
    ("at", "most"): "<= 99",
    ("equal", "to"): "= 99",
    ("older", "than"): "more than 30 days ago",
    ("newer", "than"): "within last 30 days",
    ("not", "is"): "is not",
    ("does", "exist"): "exists",
    ("does", "contain"): "contains",
    ("does", "start"): "starts with",
    ("does", "end"): "ends with",
    ("does", "have"): "has any of [a, b]",
}
"""Words that people write for an operator, and an example of what was meant; the longer of two comes first."""
MEANT_BEHIND_IS: dict[tuple[str, ...], str] = {
    ("above",): "> 99",
    ("over",): "> 99",
    ("below",): "< 99",
    ("under",): "< 99",
}
"""The same for words that are meant so only between `is` and a number."""
MEANT_NEGATED = {
    "= 99": "!= 99",
    "not in [US, CA]": "in [US, CA]",
    "has any of [a, b]": "has none of [a, b]",
    "has all of [a, b]": "does not have all of [a, b]",
    "is": "is not",
    "is not": "is",
    "is set": "is not set",
    "is not set": "is set",
    "is missing": "is not missing",
    "exists": "does not exist",
    "contains": "does not contain",
    "starts with": "does not start with",
    "ends with": "does not end with",
    "has any of": "has none of",
    "has all of": "does not have all of",
    "has none of": "has any of",
    "not": "not",
    "does not": "does not",
}
"""What is meant behind `not`, where it is more than `not` before it."""
MEANT_DISTANCES = {
    (">", "ago"): "more than 30 days ago",
    (">", ""): "more than 30 days ago",
    (">", "from now"): "more than 30 days from now",
    ("<", "ago"): "within last 30 days",
    ("<", ""): "within last 30 days",
    ("<", "from now"): "within next 30 days",
    ("before", "ago"): "more than 30 days ago",
    ("before", "from now"): "within next 30 days",
    ("after", "ago"): "within last 30 days",
    ("after", "from now"): "more than 30 days from now",
}
"""What is meant by an operator before a distance, such as 30 days, and the side of now behind it."""
CONTRACTED = {
    "is": "is not",
    "are": "is not",
    "was": "is not",
    "does": "does not",
    "did": "does not",
    "has": "does not have",
}
"""What is meant by a verb with `n't` behind it."""
MEANT_WORDS = {
    "does": "does not",
    "equals": "is",
    "equal": "is",
    "eq": "is",
    "are": "is",
    "was": "is",
    "isnt": "is not",
    "doesnt": "does not",
    **{f"{verb}n": meant for verb, meant in CONTRACTED.items()},
    "includes": "contains",
    "include": "contains",
    "containing": "contains",
    "begin": "starts with",
    "begins": "starts with",
    "startswith": "starts with",
    "endswith": "ends with",
    "gt": ">",
    "above": ">",
    "over": ">",
    "exceeds": ">",
    "greater": ">",
    "lt": "<",
    "below": "<",
    "under": "<",
    "gte": ">=",
    "lte": "<=",
    "since": "after",
    "older": "more than 30 days ago",
    "newer": "within last 30 days",
    "exist": "exists",
    "have": "has any of",
    "any": "has any of",
    "all": "has all of",
    "none": "has none of",
    "empty": "is not set",
    "null": "is not set",
    "missing": "is missing",
    "set": "is set",
    "last": "within last",
    "next": "within next",
}
RESERVED_WORDS: dict[str, Callable[[], Problem]] = {
    "matches": codes.reserved_regular_expression,
    "match": codes.reserved_regular_expression,
    "like": codes.reserved_regular_expression,
    "ilike": codes.reserved_regular_expression,
    "regex": codes.reserved_regular_expression,
    "regexp": codes.reserved_regular_expression,
    "anniversary": codes.reserved_anniversary,
    "birthday": codes.reserved_anniversary,
    "count": codes.reserved_event_count,
    "times": codes.reserved_event_count,
    "this": lambda: codes.reserved_calendar("this"),
}
