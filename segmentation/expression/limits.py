"""Every limit of the language, named once. Both forms keep the same ones."""

from __future__ import annotations

import re
from typing import Final

SOURCE_BYTES_MAX: Final = 64 * 1024
"""Text form, in UTF-8."""
NESTING_MAX: Final = 32
"""Brackets within one another in text; combinators within the outermost one in JSON."""
CONDITIONS_MAX: Final = 500
"""Conditions and segment references in one expression."""
SET_VALUES_MAX: Final = 10_000
LITERAL_CHARS_MAX: Final = 1_024
"""Code points of one text literal."""
ATTRIBUTE_NAME_CHARS_MAX: Final = 256
DURATION_MS_MAX: Final = 3_650 * 86_400_000
"""3,650 days."""
SHOWN_CHARS_MAX: Final = 60
"""How much of what was written a message repeats."""

SEGMENT_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
"""An attribute name that needs no backticks."""

SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Half a pair, which is no character: it cannot be encoded, so nothing may show it."""


def shortened(text: str) -> str:
    """What was written, cut so that a message stays one line."""
    line = " ".join(SURROGATE.sub("\ufffd", text[: 4 * SHOWN_CHARS_MAX]).split())
    return line if len(line) <= SHOWN_CHARS_MAX else f"{line[: SHOWN_CHARS_MAX - 1]}…"
