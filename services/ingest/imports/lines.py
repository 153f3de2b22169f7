"""The lines of a stored file as text, from any place on, and the way back when what looked like a row is none.

Rule: memory is bounded by the size of a row, and so is what is looked through for the end of one: what a look into the
file found is remembered, so no byte is looked through more than a few times, however many quotes are left open. What is
remembered saves work and changes nothing: a file read from a later place gives the same rows.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import BinaryIO, Final

from services.ingest.imports.dialect import Dialect
from services.ingest.imports.limits import PIECE_BYTES, ROW_BYTES_MAX

_EMPTY: Final = {"\n": re.compile(rb"(?:\r?\n)+"), "\r": re.compile(rb"\r+")}
"""Lines that hold nothing, by what ends a line."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position between two rows: how many rows and lines are read, and the byte at which the next begins."""

    row: int = 0
    line: int = 0
    offset: int = 0


class RowTooLargeError(Exception):
    """A line, or a row of several, is beyond `ROW_BYTES_MAX`."""


class NotClosedError(Exception):
    """The row goes on into lines of which it is known that they do not end it."""


class Lines:
    """The lines of a file, counting what was taken. An iterator, not a generator: it survives its errors."""

    def __init__(self, file: BinaryIO, dialect: Dialect, place: Place) -> None:
        file.seek(place.offset)
        self._file = file
        self._encoding = dialect.encoding
        self._line_end = dialect.line_end.encode()
        self._empty = _EMPTY[dialect.line_end]
        self._buffer = b""
        self._buffer_offset = place.offset
        self._start = 0
        self._ended = False
        self._first_bytes = 0
        self._known_lines = 0
        self._known_offset = 0.0
        self.offset = place.offset
        self.lines = place.line
        self.reach = place.offset
        """The byte up to which the file was looked at."""
        self.first_text = ""
        self.row_lines = 0
        self.row_bytes = 0
        self.undecodable = False

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        # Up to `_known_lines` a row that is open where a line begins does not end before `_known_offset`.
        if self.row_lines and self.lines < self._known_lines:
            row_start = self.offset - self.row_bytes
            if self._known_offset - row_start > ROW_BYTES_MAX:
                raise NotClosedError
        raw = self._next_line()
        self._count(len(raw))
        # A row of several lines is lost past the limit. Looking on for as long again spares that to the lines between.
        if len(raw) > ROW_BYTES_MAX or self.row_bytes > 2 * ROW_BYTES_MAX:
            raise RowTooLargeError
        try:
            text = raw.decode(self._encoding)
        except UnicodeDecodeError:
            self.undecodable = True
            text = raw.decode(self._encoding, "replace")
        if self.row_lines == 1:
            self.first_text = text
        return text

    def begin_row(self) -> None:
        """What comes next is the first line of a row."""
        self.row_lines = self.row_bytes = 0
        self.first_text, self.undecodable = "", False

    def pass_empty(self) -> int:
        """Pass over empty lines where a row would begin, as far as the file is in memory here. Shape: how many."""
        empty = self._empty.match(self._buffer, self._start)
        if empty is None:
            return 0
        passed = empty[0].count(self._line_end)
        self._start = empty.end()
        self.offset += len(empty[0])
        self.lines += passed
        return passed

    def leave_row(self, *, endless: bool) -> None:
        """Go back behind the row's first line: further ones are none of it. `endless`: looking on would not help."""
        self.reach = max(self.reach, self.offset)
        if self.row_lines > 1:
            self._known_lines, self._known_offset = self.lines, math.inf if endless else self.offset
        self.lines -= self.row_lines - 1
        self.offset -= self.row_bytes - self._first_bytes
        self._start = self.offset - self._buffer_offset
        if self._start < 0:
            self._file.seek(self.offset)
            self._buffer, self._buffer_offset, self._start, self._ended = b"", self.offset, 0, False

    def _count(self, size: int) -> None:
        self.offset += size
        self.lines += 1
        self.row_bytes += size
        self.row_lines += 1
        if self.row_lines == 1:
            self._first_bytes = size

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
                self._count(self._skip_line(len(rest)))
                raise RowTooLargeError
            piece = b"" if self._ended else self._file.read(PIECE_BYTES)
            if not piece:
                self._ended = True
                self._start = len(self._buffer)
                if rest:
                    return rest
                raise StopIteration
            self._buffer_offset += self._start
            self._buffer, self._start, searched = rest + piece, 0, len(rest)

    def _skip_line(self, skipped: int) -> int:
        """Pass over the rest of a line without keeping it. Shape: the bytes of the whole line."""
        line_start = self.offset
        self._buffer, self._start = b"", 0
        while piece := self._file.read(PIECE_BYTES):
            end = piece.find(self._line_end)
            if end >= 0:
                skipped += end + 1
                self._buffer = piece[end + 1 :]
                break
            skipped += len(piece)
        self._ended = not piece
        self._buffer_offset = line_start + skipped
        return skipped
