"""The readers of `values.py` with a memory, for the hot path: the same text is read again and again.

Rule: a memory never changes an answer, and is bounded; full, it is emptied and fills again with what is live. Only text
is remembered: `1`, `1.0` and `True` are one key to a dictionary, but not one value to the language.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from segmentation.model import InstantMs, Scalar, Value
from segmentation.values import INSTANT_MAX_MS, SECONDS_BELOW, fold, read_instant, read_number, read_text, read_version

_Read = TypeVar("_Read")

REMEMBERED_TEXTS_MAX = 65_536
"""Texts that each memory holds before it is emptied."""
REMEMBERED_CHARS_MAX = 256
"""A longer text is read anew each time."""
EXACT_INTEGERS_MAX: Final = 2**53
"""Below this size a whole number compares as it stands as it would after being read as a float."""
EPOCH_MS_MIN: Final = int(SECONDS_BELOW)
"""The least number that is read as epoch milliseconds as it stands."""
EPOCH_MS_MAX: Final = int(INSTANT_MAX_MS)
"""The greatest number that is an instant."""


class Remembered(dict[str, _Read]):
    """Text → what a reader makes of it: `memory[text]` is `reader(text)`."""

    def __init__(self, reader: Callable[[str], _Read]) -> None:
        super().__init__()
        self._reader = reader

    def __missing__(self, text: str) -> _Read:
        read = self._reader(text)
        if len(text) <= REMEMBERED_CHARS_MAX:
            if len(self) >= REMEMBERED_TEXTS_MAX:
                self.clear()
            self[text] = read
        return read


class FoldedElements(dict[Scalar, str | None]):
    """Element of a list → what it is compared by; None for what is not read as text.

    Only text is kept, for `1` is `True` to a dictionary.
    """

    def __missing__(self, element: Scalar) -> str | None:
        if not isinstance(element, str):
            text = read_text(element)
            return None if text is None else fold(text)
        folded = FOLDED[element]
        if len(element) <= REMEMBERED_CHARS_MAX:
            if len(self) >= REMEMBERED_TEXTS_MAX:
                self.clear()
            self[element] = folded
        return folded


FOLDED: Final = Remembered(fold)
FOLDED_ELEMENTS: Final = FoldedElements()
NUMBERS: Final = Remembered(read_number)
VERSIONS: Final = Remembered(read_version)
INSTANTS: Final = Remembered(read_instant)


def instant_of(value: Value | None) -> InstantMs | None:
    """`read_instant`, remembering texts and passing whole epoch milliseconds through."""
    if value.__class__ is int and EPOCH_MS_MIN <= value <= EPOCH_MS_MAX:
        return value  # type: ignore[return-value]  # naming the type would cost a call
    if value.__class__ is str:
        return INSTANTS[value]
    return read_instant(value)
