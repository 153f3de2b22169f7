"""Takes the next rows of a stored file, converted, a bounded number at a time: what a try-out and an import both read.

Rule: everything here is synchronous and runs off the event loop; what comes out says exactly where the next rows begin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO

from services.ingest.imports.conversion import ConvertedRow, RowConverter
from services.ingest.imports.dialect import Dialect
from services.ingest.imports.errors_report import RejectedRow
from services.ingest.imports.limits import PIECE_BYTES
from services.ingest.imports.lines import Place
from services.ingest.imports.rows import Row, RowReader


@dataclass(slots=True)
class Batch:
    """Rows in the file's order. `blank` counts rows without any content, which are passed over."""

    place: Place
    converted: list[ConvertedRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    blank: int = 0
    ended: bool = False


class BatchReader:
    """The rows of one file under one mapping, from a place on. The caller closes the file."""

    def __init__(self, file: BinaryIO, dialect: Dialect, converter: RowConverter, place: Place) -> None:
        self._reader = RowReader(file, dialect, place)
        self._converter = converter
        if dialect.header and place.row == 0:
            skip_header(self._reader)

    @property
    def place(self) -> Place:
        """Where the next row begins."""
        return self._reader.place

    def take(self, rows_max: int) -> Batch:
        """The next rows: at most `rows_max`, and fewer once they come to `PIECE_BYTES` of records."""
        batch = Batch(self._reader.place)
        value_bytes = 0
        for _ in range(rows_max):
            row = next(self._reader, None)
            if row is None:
                batch.ended = True
                break
            if is_blank(row):
                batch.blank += 1 + self._reader.pass_empty()
                continue
            converted = self._converter.convert(row)
            if isinstance(converted, RejectedRow):
                batch.rejected.append(converted)
                value_bytes += sum(map(len, converted.cells))
            else:
                batch.converted.append(converted)
                value_bytes += len(converted.value)
            if value_bytes >= PIECE_BYTES:
                break
        batch.place = self._reader.place
        return batch


def skip_header(reader: RowReader) -> Row | None:
    """Pass over the header, the first row with content."""
    return next((row for row in reader if not is_blank(row)), None)


def is_blank(row: Row) -> bool:
    """Whether a row holds nothing at all, as spreadsheets leave behind below their data."""
    return row.fault is None and not any(cell and not cell.isspace() for cell in row.cells)
