"""Reads a stored CSV file row by row, from any checkpoint on, in memory that does not depend on the file.

Rule: every record of the file comes out once, in order, numbered as a spreadsheet numbers it (the header is row 1): as
cells, or as what is wrong with it. One damaged row never hides the next. Does not know what cells mean.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from services.ingest.imports.dialect import Dialect
from services.ingest.imports.limits import COLUMNS_MAX, FIELD_BYTES_MAX, PIECE_BYTES, ROW_BYTES_MAX

FIELD_CHARACTERS_CHECKED: Final = FIELD_BYTES_MAX // 4
"""A shorter cell has fewer bytes than allowed in any encoding."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position between two rows: how many rows and lines are read, and the byte at which the next begins."""

    row: int = 0
    line: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row cannot be read."""

    code: str
    expected: str
    found: str
    fix: str


@dataclass(frozen=True, slots=True)
class Row:
    """One record of the file. `line` is where it begins. `fault` None means that `cells` are its cells, as written."""

    number: int
    line: int
    cells: list[str]
    fault: Fault | None = None


class _RowTooLargeError(Exception):
    """A row or line is beyond `ROW_BYTES_MAX`."""


class _Lines:
    """The lines of a file as text, counting what was taken. An iterator, not a generator: it survives its errors."""

    def __init__(self, file: BinaryIO, dialect: Dialect, place: Place) -> None:
        file.seek(place.offset)
        self._file = file
        self._encoding = dialect.encoding
        self._line_end = dialect.line_end.encode()
        self._buffer = b""
        self._start = 0
        self._ended = False
        self.offset = place.offset
        self.lines = place.line
        self.row_bytes = 0
        self.undecodable = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        raw = self._next_line()
        self.offset += len(raw)
        self.lines += 1
        self.row_bytes += len(raw)
        if self.row_bytes > ROW_BYTES_MAX:
            raise _RowTooLargeError
        try:
            return raw.decode(self._encoding)
        except UnicodeDecodeError:
            self.undecodable = True
            return raw.decode(self._encoding, "replace")

    def _next_line(self) -> bytes:
        """The next line with its end. A line that is too long is skipped to its end and reported."""
        searched = self._start
        while True:
            end = self._buffer.find(self._line_end, searched)
            if end >= 0:
                line = self._buffer[self._start : end + 1]
                self._start = end + 1
                return line
            rest = self._buffer[self._start :]
            if len(rest) > ROW_BYTES_MAX:
                self._skip_line(len(rest))
                raise _RowTooLargeError
            piece = b"" if self._ended else self._file.read(PIECE_BYTES)
            if not piece:
                self._ended = True
                self._buffer, self._start = b"", 0
                if rest:
                    return rest
                raise StopIteration
            self._buffer, self._start, searched = rest + piece, 0, len(rest)

    def _skip_line(self, skipped: int) -> None:
        """Pass over the rest of a line without keeping it."""
        self.offset += skipped
        self.lines += 1
        self._buffer, self._start = b"", 0
        while piece := self._file.read(PIECE_BYTES):
            end = piece.find(self._line_end)
            if end >= 0:
                self.offset += end + 1
                self._buffer = piece[end + 1 :]
                return
            self.offset += len(piece)
        self._ended = True


class RowReader:
    """The rows of one file from a place on. Iterate over it; `place` is then behind the row that came last."""

    def __init__(self, file: BinaryIO, dialect: Dialect, place: Place | None = None) -> None:
        start = place or Place()
        self._lines = _Lines(file, dialect, start)
        self._reader = csv.reader(self._lines, delimiter=dialect.delimiter, strict=True)
        self._row = start.row

    @property
    def place(self) -> Place:
        """Where the next row begins."""
        return Place(self._row, self._lines.lines, self._lines.offset)

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        lines = self._lines
        lines.row_bytes, lines.undecodable = 0, False
        first_line = lines.lines + 1
        cells: list[str] = []
        fault: Fault | None = None
        # The limit belongs to the whole process, where another reader may have raised it.
        csv.field_size_limit(FIELD_BYTES_MAX)
        try:
            cells = next(self._reader)
        except csv.Error as error:
            fault = _csv_fault(str(error), first_line, lines.lines)
        except _RowTooLargeError:
            fault = Fault(
                "row_too_large",
                f"a row of at most {ROW_BYTES_MAX} bytes",
                f"more, from line {first_line} to line {lines.lines}",
                'look for a quote (") that is opened and not closed',
            )
        self._row += 1
        if fault is None:
            fault = self._cell_fault(cells)
        return Row(self._row, first_line, cells, fault)

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


def _csv_fault(message: str, first_line: int, last_line: int) -> Fault:
    """The CSV reader's complaint in words that say where to look."""
    where = f"line {first_line}" if first_line >= last_line else f"lines {first_line} to {last_line}"
    if "field larger" in message:
        return _cell_too_large(f"in {where}")
    if "unexpected end" in message:
        return Fault(
            "quote_not_closed",
            'a closing quote (")',
            f"the end of the file; the quote was opened in {where}",
            'close the quote, or write a quote inside a cell twice ("")',
        )
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
