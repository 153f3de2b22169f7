"""Names in a request that mean nothing there, as problems.

Pure. Rule: however many there are and however long they are, an answer that repeats them is short.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Final

from segmentation.errors import PROBLEMS_MAX, Problem
from segmentation.flatten import ATTRIBUTE_NAME_CHARACTERS_MAX, escape_pointer

NAME_CHARACTERS_SHOWN_MAX: Final = 100


def unknown_fields(
    named: Iterable[str],
    known: Collection[str],
    pointer: str,
    message: str,
    hint: Callable[[str], str] = lambda _: "remove it",
) -> list[Problem]:
    """A problem for each name at `pointer` that is not known, in order, up to `PROBLEMS_MAX`.

    `message` goes on after the name, `hint` is given it. A name that is too long to be repeated is pointed at where it
    stands.
    """
    unknown = islice((name for name in named if name not in known), PROBLEMS_MAX)
    return [
        Problem("unknown_field", f"{shown!r} {message}", hint(shown), pointer=pointer + _step(name))
        for name in unknown
        for shown in (name[:NAME_CHARACTERS_SHOWN_MAX],)
    ]


def _step(name: str) -> str:
    return f"/{escape_pointer(name)}" if len(name) <= ATTRIBUTE_NAME_CHARACTERS_MAX else ""
