"""The readers of `values.py` with a memory, for the hot path: the same text is read again and again.

Rule: a memory never changes an answer, and is bounded; full, it is emptied and fills again with what is live. Only text
is remembered: `1`, `1.0` and `True` are one key to a dictionary, but not one value to the language.
"""

from __future__ import annotations

from typing import Final

from segmentation.model import InstantMs, Value
from segmentation.values import INSTANT_MAX_MS, SECONDS_BELOW, fold, read_instant

REMEMBERED_TEXTS_MAX = 65_536
"""Texts that each memory holds before it is emptied."""
REMEMBERED_CHARS_MAX = 256
"""A longer text is read anew each time."""
EPOCH_MS_MIN: Final = int(SECONDS_BELOW)
"""The least number that is read as epoch milliseconds as it stands."""
EPOCH_MS_MAX: Final = int(INSTANT_MAX_MS)
"""The greatest number that is an instant."""


class _FoldedTexts(dict[str, str]):
    """Text → what it is compared by. `FOLDED[text]` is `fold(text)`."""

    def __missing__(self, text: str) -> str:
        folded = fold(text)
        if len(text) <= REMEMBERED_CHARS_MAX:
            if len(self) >= REMEMBERED_TEXTS_MAX:
                self.clear()
            self[text] = folded
        return folded


class _InstantsOfTexts(dict[str, "InstantMs | None"]):
    """Text → the instant it is, or None. `INSTANTS[text]` is `read_instant(text)`."""

    def __missing__(self, text: str) -> InstantMs | None:
        instant = read_instant(text)
        if len(text) <= REMEMBERED_CHARS_MAX:
            if len(self) >= REMEMBERED_TEXTS_MAX:
                self.clear()
            self[text] = instant
        return instant


FOLDED: Final = _FoldedTexts()
INSTANTS: Final = _InstantsOfTexts()


def instant_of(value: Value | None) -> InstantMs | None:
    """`read_instant`, remembering texts and passing whole epoch milliseconds through."""
    if value.__class__ is int and EPOCH_MS_MIN <= value <= EPOCH_MS_MAX:
        return value  # type: ignore[return-value]  # naming the type would cost a call
    if value.__class__ is str:
        return INSTANTS[value]
    return read_instant(value)
