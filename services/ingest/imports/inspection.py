"""Looks at the beginning of a stored file: its dialect, its columns with suggestions, and a preview under a mapping.

Rule: looks at a bounded sample, decides nothing, and refuses only what no mapping could mend. Pure but for the file
that it is handed.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from services.ingest.imports.batches import is_blank, skip_header
from services.ingest.imports.conversion import RowConverter
from services.ingest.imports.dialect import Dialect, DialectChoice, column_names, detect_dialect
from services.ingest.imports.errors_report import RejectedRow, shown
from services.ingest.imports.intake import Received, UploadRefusedError
from services.ingest.imports.limits import COLUMNS_MAX, PREVIEW_ROWS, SAMPLE_BYTES, SAMPLE_ROWS_MAX
from services.ingest.imports.mapping import ColumnSuggestion, ImportMapping, suggest_columns, suggest_id_column
from services.ingest.imports.rows import Row, RowReader


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file looks like."""

    dialect: Dialect
    names: list[str]
    columns: list[ColumnSuggestion]
    id_column: str | None


def inspect(received: Received, choice: DialectChoice, known_attributes: Collection[str]) -> Inspection:
    """What a file looks like from its beginning. Errors: UploadRefusedError when it has no usable columns."""
    dialect = detect_dialect(received, choice)
    rows = _sample_rows(received.sample, dialect)
    if not rows:
        raise UploadRefusedError("empty_file", "the file has no rows", "send a CSV file with a header and rows")
    first = rows[0]
    width = len(first.cells)
    if width > COLUMNS_MAX:
        raise UploadRefusedError(
            "too_many_columns",
            f"the file has {width} columns; at most {COLUMNS_MAX} are taken",
            "leave columns out, or split the file",
        )
    if first.fault is not None:
        found = f"line {first.line}: expected {first.fault.expected}, found {first.fault.found}"
        raise UploadRefusedError("unreadable_first_row", found, first.fault.fix)
    names = column_names(first.cells, header=dialect.header)
    cells = [row.cells for row in rows[1 if dialect.header else 0 :] if row.fault is None]
    return Inspection(dialect, names, suggest_columns(names, cells, known_attributes), suggest_id_column(names, cells))


def preview(
    file: BinaryIO, dialect: Dialect, names: Sequence[str], mapping: ImportMapping | None
) -> list[dict[str, Any]]:
    """The first rows as cells, and as the attributes or problems that a mapping makes of them."""
    reader = RowReader(file, dialect)
    if dialect.header:
        skip_header(reader)
    converter = RowConverter(mapping, names, "imp_preview") if mapping is not None else None
    shown_rows: list[dict[str, Any]] = []
    for row in reader:
        if is_blank(row):
            if reader.place.offset > SAMPLE_BYTES:
                break
            reader.pass_empty()
            continue
        if len(shown_rows) >= PREVIEW_ROWS:
            break
        shown_rows.append(_shown_row(row, converter))
    return shown_rows


def _shown_row(row: Row, converter: RowConverter | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"row": row.number, "cells": [shown(cell) for cell in row.cells]}
    if converter is None:
        return entry
    converted = converter.convert(row)
    if isinstance(converted, RejectedRow):
        entry["problems"] = [
            {"code": p.code, "column": p.column, "expected": p.expected, "found": p.found, "fix": p.fix}
            for p in converted.problems
        ]
    else:
        entry["contact_id"] = converted.contact_id
        entry["attributes"] = converted.attributes
    return entry


def _sample_rows(sample: bytes, dialect: Dialect) -> list[Row]:
    """The rows with content of a sample. One that the sample's end cuts off is left out."""
    cut_off = len(sample) >= SAMPLE_BYTES
    reader = RowReader(io.BytesIO(sample), dialect)
    rows: list[Row] = []
    for row in reader:
        if cut_off and reader.reach >= len(sample):
            break
        if is_blank(row):
            reader.pass_empty()
        else:
            rows.append(row)
        if len(rows) > SAMPLE_ROWS_MAX:
            break
    if cut_off and not rows:
        raise UploadRefusedError(
            "header_too_large",
            f"the first row is longer than {SAMPLE_BYTES} bytes",
            "check the delimiter and the line ends, or leave columns out",
        )
    return rows
