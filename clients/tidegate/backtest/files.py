"""What a backtest leaves behind: every change and the members over time as CSV, and the picture.

Rule: a file appears under its name only when it is whole; a run that fails leaves none. What stands there and is no
file, such as a pipe or `/dev/stdout`, is written as it comes and stays what it is.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from segmentation.model import DEADLINE_OFFSET, Change, InstantMs
from segmentation.values import iso_text
from tidegate.backtest.refused import BacktestRefusedError
from tidegate.backtest.series import Courses

CHANGE_COLUMNS: Final = ("at", "segment_id", "contact_id", "change", "cause", "row")
"""`row` is the row of the history behind the change; empty when time alone caused it."""
MEMBER_COLUMNS: Final = ("at", "segment_id", "entered", "exited", "members")


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """Write a text file that gets its name when all of it is there. Errors: BacktestRefusedError."""
    is_file = not path.is_symlink() and (path.is_file() or not path.exists())
    begun = path.with_name(f"{path.name}.partial") if is_file else path
    try:
        with begun.open("w", encoding="utf-8", newline="") as opened:
            yield opened
        if is_file:
            begun.replace(path)
    except OSError as error:
        raise BacktestRefusedError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if is_file:
            begun.unlink(missing_ok=True)


class ChangesFile:
    """Every change as one line, as it comes."""

    def __init__(self, opened: TextIO) -> None:
        self._lines = csv.writer(opened, lineterminator="\n")
        self._lines.writerow(CHANGE_COLUMNS)

    def write(self, change: Change) -> None:
        """Write one change."""
        at, offset = change.version
        row = "" if offset == DEADLINE_OFFSET else offset
        cells = (iso_text(at), change.segment_id, change.contact_id, change.kind.value, change.cause.value, row)
        self._lines.writerow(cells)


def write_members(opened: TextIO, courses: Courses, first: InstantMs, last: InstantMs) -> None:
    """One line a segment and step: who came, who went, how many were in it at the step's end."""
    lines = csv.writer(opened, lineterminator="\n")
    lines.writerow(MEMBER_COLUMNS)
    for segment_id in courses.by_segment:
        for step in courses.steps(segment_id, first, last):
            lines.writerow((iso_text(step.start), segment_id, step.entered, step.exited, step.members))
