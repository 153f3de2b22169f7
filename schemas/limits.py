"""The limits on what one record or request may carry, shared by every door into the log.

Rule: each limit is named once, here; a record beyond one is refused by ingest and dead-lettered by the evaluator.
"""

from __future__ import annotations

from typing import Final

CONTACT_ID_BYTES_MAX: Final = 512
CONTACT_BYTES_MAX: Final = 256 * 1024
"""One contact change, as JSON."""
ATTRIBUTES_MAX: Final = 1_000
"""Attributes that one contact change may name, after flattening."""
ATTRIBUTE_NAME_CHARACTERS_MAX: Final = 256
LIST_ELEMENTS_MAX: Final = 10_000
JSON_DEPTH_MAX: Final = 16
MESSAGE_ID_CHARACTERS_MAX: Final = 256
SOURCE_CHARACTERS_MAX: Final = 256
SEGMENT_ID_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,99}$"
SEGMENT_NAME_CHARACTERS_MAX: Final = 200
SEGMENT_DESCRIPTION_CHARACTERS_MAX: Final = 2_000
