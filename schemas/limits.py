"""The limits on what one record or request may carry, shared by every door into the log.

Rule: each limit is named once, here or, when it limits attributes themselves, in the core's `flatten.py`; a record
beyond one is refused by ingest and dead-lettered by the evaluator.
"""

from __future__ import annotations

from typing import Final

from segmentation.expression.limits import NESTING_MAX
from segmentation.flatten import ATTRIBUTE_NAME_CHARACTERS_MAX, ATTRIBUTES_MAX, LIST_ELEMENTS_MAX

__all__ = [
    "ATTRIBUTES_MAX",
    "ATTRIBUTE_NAME_CHARACTERS_MAX",
    "CONTACT_BYTES_MAX",
    "CONTACT_ID_BYTES_MAX",
    "DEFINITION_BYTES_MAX",
    "EXPRESSION_DEPTH_MAX",
    "JSON_DEPTH_MAX",
    "LIST_ELEMENTS_MAX",
    "MESSAGE_ID_CHARACTERS_MAX",
    "SEGMENT_DESCRIPTION_CHARACTERS_MAX",
    "SEGMENT_ID_PATTERN",
    "SEGMENT_NAME_CHARACTERS_MAX",
    "SOURCE_CHARACTERS_MAX",
]

CONTACT_ID_BYTES_MAX: Final = 512
CONTACT_BYTES_MAX: Final = 256 * 1024
"""One contact change, as JSON."""
JSON_DEPTH_MAX: Final = 16
EXPRESSION_DEPTH_MAX: Final = 3 * (NESTING_MAX + 1) + 5
"""Of a request that holds an expression: each group may be an object and a list in the object of a `not`, the condition
in them `not`, attribute, test and list, and one or two objects stand around it all. The language has its own limit."""
MESSAGE_ID_CHARACTERS_MAX: Final = 256
SOURCE_CHARACTERS_MAX: Final = 256
DEFINITION_BYTES_MAX: Final = 512 * 1024
"""One segment definition, as JSON."""
SEGMENT_ID_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,99}$"
SEGMENT_NAME_CHARACTERS_MAX: Final = 200
SEGMENT_DESCRIPTION_CHARACTERS_MAX: Final = 2_000
