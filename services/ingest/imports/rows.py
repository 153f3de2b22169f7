"""Reads a stored CSV file row by row, from any checkpoint on, in memory that does not depend on the file.

Rule: every record of the file comes out once, in order, numbered as a spreadsheet numbers it (the header is row 1): as
cells, or as what is wrong with it. One damaged row never hides the next: a row whose quotes do not end within the
limits is its first line alone, and the lines behind it are rows again. Does not know what cells mean.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from services.ingest.imports.dialect import Dialect
from services.ingest.imports.errors_report import as_it_was
from services.ingest.imports.limits import COLUMNS_MAX, FIELD_BYTES_MAX, ROW_BYTES_MAX
from services.ingest.imports.lines import Lines, NotClosedError, Place, RowTooLargeError

FIELD_CHARACTERS_CHECKED: Final = FIELD_BYTES_MAX // 4
"""A shorter cell has fewer bytes than allowed in any encoding."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row cannot be read."""

    code: str
    expected: str
    found: str
    fix: str


@dataclass(frozen=True, slots=True)
class Row:
    """One record of the file. `line` is where it begins. `fault` None means that `cells` are its cells, as written.

    With a fault they are what could be told apart of the row, for people; none of a line beyond all limits.
    """

    number: int
    line: int
    cells: list[str]
    fault: Fault | None = None


class RowReader:
    """The rows of one file from a place on. Iterate over it; `place` is then behind the row that came last."""

    def __init__(self, file: BinaryIO, dialect: Dialect, place: Place | None = None) -> None:
        start = place or Place()
        self._lines = Lines(file, dialect, start)
        self._reader = csv.reader(self._lines, delimiter=dialect.delimiter, strict=True)
        delimiter = re.escape(dialect.delimiter)
        self._raw_cell = re.compile(rf'(?:"((?:[^"]++|"")*+)"|([^{delimiter}]*+))(?:({delimiter})|\Z)')
        self._is_report = dialect.is_report
        self._row = start.row
        if dialect.states_delimiter and not start.offset:
            next(self, None)
            self._row = start.row

    @property
    def place(self) -> Place:
        """Where the next row begins."""
        return Place(self._row, self._lines.lines, self._lines.offset)

    @property
    def reach(self) -> int:
        """The byte up to which the file was looked at: beyond the place where a quote was left open."""
        return max(self._lines.reach, self._lines.offset)

    def pass_empty(self) -> int:
        """Pass over rows that are empty lines, some of those that come next. Shape: how many; they count as rows."""
        passed = self._lines.pass_empty()
        self._row += passed
        return passed

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        lines = self._lines
        lines.begin_row()
        first_line = lines.lines + 1
        # The limit belongs to the whole process, where another reader may have raised it.
        csv.field_size_limit(FIELD_BYTES_MAX)
        fault: Fault | None = None
        endless = False
        try:
            cells = next(self._reader)
            if lines.row_bytes > ROW_BYTES_MAX:
                fault = _row_too_large(first_line)
        except csv.Error as error:
            fault, endless = _csv_fault(str(error), first_line), True
        except RowTooLargeError:
            fault = _row_too_large(first_line)
        except NotClosedError:
            fault = _not_closed(first_line)
        self._row += 1
        if fault is None:
            return Row(self._row, first_line, self._originals(cells), self._cell_fault(cells))
        if lines.row_lines > 1:
            # Which of the limits was met first depends on how far somebody looked before: one fault for all of them.
            fault = _not_closed(first_line)
        lines.leave_row(endless=endless)
        return Row(self._row, first_line, self._originals(self._raw_cells(lines.first_text)), fault)

    def _originals(self, cells: list[str]) -> list[str]:
        """The cells without what a report of rejected rows put before them."""
        return [as_it_was(cell) for cell in cells] if self._is_report else cells

    def _raw_cells(self, text: str) -> list[str]:
        """A damaged line split as well as can be: cells in proper quotes without them, the others as they stand.

        A cell beyond the limit is left blank: a report that repeats it could not be read by most programs.
        """
        text = text.rstrip("\r\n")
        cells: list[str] = []
        position, more = 0, bool(text)
        while more:
            cell = self._raw_cell.match(text, position)
            if cell is None:
                raise AssertionError("text that is no cell up to a delimiter or the end")
            quoted, plain, delimiter = cell.groups()
            written = plain if quoted is None else quoted.replace('""', '"')
            cells.append(written if len(written) <= FIELD_BYTES_MAX else "")
            position, more = cell.end(), delimiter is not None
        return cells

    def _cell_fault(self, cells: list[str]) -> Fault | None:
        """What is wrong with a row that could be split into cells."""
        if self._lines.undecodable:
            return Fault(
                "undecodable",
                "text in the file's encoding",
                "bytes that mean nothing in it",
                "save the file as CSV UTF-8, or choose the encoding it is in",
            )
        if len(cells) > COLUMNS_MAX:
            return Fault(
                "too_many_cells", f"at most {COLUMNS_MAX} cells", f"{len(cells)} cells", "import fewer columns"
            )
        for position, cell in enumerate(cells, 1):
            if len(cell) > FIELD_CHARACTERS_CHECKED and len(cell.encode()) > FIELD_BYTES_MAX:
                return _cell_too_large(f"in column {position}")
        return None


def _csv_fault(message: str, line: int) -> Fault:
    """The CSV reader's complaint about one line, in words that say where to look."""
    where = f"line {line}"
    if "field larger" in message:
        return _cell_too_large(f"in {where}")
    if "unexpected end" in message:
        return _not_closed(line)
    if "new-line" in message:
        return Fault(
            "stray_line_end",
            'a cell with a line break inside quotes (")',
            f"a bare carriage return in {where}",
            'put the cell in quotes (")',
        )
    return Fault(
        "stray_quote",
        'a delimiter or the end of the row after a closing quote (")',
        f"other text, in {where}",
        'write a quote inside a quoted cell twice ("")',
    )


def _cell_too_large(where: str) -> Fault:
    return Fault(
        "cell_too_large",
        f"a cell of at most {FIELD_BYTES_MAX} bytes",
        f"a larger one, {where}",
        'shorten it; if it should be short, look for a quote (") that is opened and not closed',
    )


def _row_too_large(line: int) -> Fault:
    return Fault(
        "row_too_large",
        f"a row of at most {ROW_BYTES_MAX} bytes",
        f"more, in line {line}",
        "shorten its cells, or look for a missing line end",
    )


def _not_closed(line: int) -> Fault:
    return Fault(
        "quote_not_closed",
        f'a closing quote (") before a delimiter or the end of a line, within {FIELD_BYTES_MAX} bytes',
        f"none; a quote was opened in line {line}",
        'remove the quote or close it; write a quote inside a quoted cell twice ("")',
    )
