"""Past changes read from CSV: one row is one write to one contact at one instant.

Rule: rows come in the order of time, and a file that is not says which row broke it; it is sorted only when asked, and
then within a named limit, because everything else streams. Values stay the text that they are, because the literal in
an expression decides how a value is read. Only what the segments read is kept.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TextIO, cast

from segmentation.model import AttributeName, ContactId, InstantMs
from segmentation.values import iso_text, read_instant
from tidegate.backtest.refused import BacktestRefusedError

SORTED_ROWS_MAX: Final = 2_000_000
"""Rows held at once when they are to be sorted; more must be sorted by a program made for it."""
CELL_CHARACTERS_MAX: Final = 1_000_000
GZIP_MAGIC: Final = b"\x1f\x8b"
STANDARD_INPUT: Final = "-"


class HistoryRow(NamedTuple):
    """One write. `number` counts the rows under the header from 1. `changes` sets; None removes."""

    number: int
    at: InstantMs
    contact_id: ContactId
    changes: dict[AttributeName, str | None]


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns say who and when; all others are attributes. `blank_removes`: an empty cell removes."""

    contact: str = "contact_id"
    time: str = "at"
    delimiter: str = ","
    blank_removes: bool = False


@contextmanager
def open_history(name: str) -> Iterator[TextIO]:
    """Open a file, or standard input for `-`; gzip is recognised by its content."""
    if name == STANDARD_INPUT:
        # The type of standard input leaves out that it is buffered.
        yield _as_text(cast("io.BufferedReader", sys.stdin.buffer))
        return
    try:
        with Path(name).open("rb") as opened:
            yield _as_text(opened)
    except OSError as error:
        raise BacktestRefusedError(f"the history {name} cannot be read: {error.strerror or error}") from error


def _as_text(source: io.BufferedReader) -> TextIO:
    compressed = source.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
    content = gzip.GzipFile(fileobj=source) if compressed else source
    return io.TextIOWrapper(content, encoding="utf-8-sig", newline="")


def read_history(
    source: TextIO, layout: Layout, wanted: Collection[AttributeName], *, sort: bool = False
) -> Iterator[HistoryRow]:
    """Read rows in the order of time.

    Errors: BacktestRefusedError names the row that has no instant, no contact, the wrong number of cells, or comes
    before the row above it.
    """
    rows = _rows(source, layout, wanted)
    return iter(_sorted(rows)) if sort else _in_order(rows)


def _rows(source: TextIO, layout: Layout, wanted: Collection[AttributeName]) -> Iterator[HistoryRow]:
    csv.field_size_limit(CELL_CHARACTERS_MAX)
    reader = csv.reader(source, delimiter=layout.delimiter, strict=True)
    number = 0
    try:
        header = next(reader, None)
        if header is None:
            raise BacktestRefusedError("the history is empty; its first row must name the columns")
        contact, time, columns = _columns(header, layout, wanted)
        for cells in reader:
            if not cells:
                continue
            number += 1
            if len(cells) != len(header):
                raise _refused(number, f"has {len(cells)} cells, but the header names {len(header)} columns")
            at = read_instant(cells[time])
            if at is None:
                expected = "an ISO 8601 date or time, or seconds or milliseconds since 1970"
                raise _refused(number, f"has no instant in `{layout.time}`, but {cells[time]!r}; expected {expected}")
            if not cells[contact]:
                raise _refused(number, f"names no contact in `{layout.contact}`")
            changes = {name: cells[place] or None for name, place in columns if cells[place] or layout.blank_removes}
            yield HistoryRow(number, at, ContactId(cells[contact]), changes)
    except (csv.Error, UnicodeDecodeError, EOFError, zlib.error, OSError) as error:
        raise _refused(number + 1, f"cannot be read: {error}") from error


def _columns(
    header: list[str], layout: Layout, wanted: Collection[AttributeName]
) -> tuple[int, int, list[tuple[AttributeName, int]]]:
    for name in (layout.contact, layout.time):
        if header.count(name) != 1:
            times = "no column" if name not in header else f"{header.count(name)} columns"
            raise BacktestRefusedError(
                f"the history has {times} `{name}`; its columns are {', '.join(header)}; "
                "name the right ones with --contact and --time"
            )
    columns = [(AttributeName(name), place) for place, name in enumerate(header)]
    attributes = [(name, place) for name, place in columns if name not in (layout.contact, layout.time)]
    repeated = sorted({name for name, _ in attributes if header.count(name) > 1})
    if repeated:
        raise BacktestRefusedError(f"the history has several columns {', '.join(repeated)}; keep one of each")
    absent = sorted(set(wanted) - {name for name, _ in attributes})
    if absent:
        raise BacktestRefusedError(
            f"the segments read {', '.join(absent)}, but the history has no such column; "
            f"its attributes are {', '.join(name for name, _ in attributes) or 'none'}"
        )
    return header.index(layout.contact), header.index(layout.time), [each for each in attributes if each[0] in wanted]


def _in_order(rows: Iterable[HistoryRow]) -> Iterator[HistoryRow]:
    before: HistoryRow | None = None
    for row in rows:
        if before is not None and row.at < before.at:
            raise _refused(
                row.number,
                f"is of {iso_text(row.at)}, before row {before.number} of {iso_text(before.at)}; "
                f"sort the file by time, or give --sort (up to {SORTED_ROWS_MAX:,} rows)",
            )
        yield row
        before = row


def _sorted(rows: Iterable[HistoryRow]) -> list[HistoryRow]:
    kept: list[HistoryRow] = []
    for row in rows:
        if len(kept) == SORTED_ROWS_MAX:
            raise BacktestRefusedError(
                f"the history has more than {SORTED_ROWS_MAX:,} rows, too many to sort here; sort the file by time"
            )
        kept.append(row)
    kept.sort(key=lambda row: row.at)
    return kept


def _refused(number: int, what: str) -> BacktestRefusedError:
    return BacktestRefusedError(f"row {number} of the history {what}")
