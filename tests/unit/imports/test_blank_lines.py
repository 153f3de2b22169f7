"""Blank lines of a file: they count as rows, nobody works on them one by one, and a look at the file stays a look."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.imports import lines
from services.ingest.imports.batches import BatchReader, is_blank
from services.ingest.imports.conversion import RowConverter
from services.ingest.imports.dialect import Dialect
from services.ingest.imports.inspection import preview
from services.ingest.imports.limits import PIECE_BYTES, SAMPLE_BYTES
from services.ingest.imports.lines import Lines, Place
from services.ingest.imports.mapping import ImportMapping
from services.ingest.imports.rows import RowReader

COMMA = Dialect(encoding="utf-8", encoding_sure=True, delimiter=",", line_end="\n", header=False)
MAPPING = ImportMapping.model_validate({"id_column": "id", "columns": {}})
BLANK = 1_000_000
ROWS_MAX = 250


def batches(data: bytes, dialect: Dialect) -> BatchReader:
    return BatchReader(io.BytesIO(data), dialect, RowConverter(MAPPING, ["id"], "imp_1"), Place())


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lines that were taken one by one."""
    taken: list[int] = []
    take = Lines.__next__

    def counted(self: Lines) -> str:
        text = take(self)
        taken.append(self.lines)
        return text

    monkeypatch.setattr(Lines, "__next__", counted)
    return taken


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_million_blank_lines_are_passed_over_together_and_counted(end: str, taken: list[int]) -> None:
    data = f"u1{end}{end * BLANK}u2{end}".encode()
    dialect = COMMA.model_copy(update={"line_end": end[-1]})
    reader = batches(data, dialect)
    batch = reader.take(ROWS_MAX)
    assert [(row.number, row.contact_id) for row in batch.converted] == [(1, "u1"), (BLANK + 2, "u2")]
    assert (batch.blank, batch.ended, batch.place) == (BLANK, True, Place(BLANK + 2, BLANK + 2, len(data)))
    assert len(taken) < ROWS_MAX


@given(
    st.lists(st.sampled_from(["u1", '"a\n\nb"', '"', "", " ", "\r", "\n", "\r\n", "\r\n\r\n"]), max_size=12),
    st.sampled_from(["\n", "\r"]),
    st.integers(1, 8),
    st.integers(1, 5),
)
def test_rows_around_blank_lines_are_those_that_are_read_one_by_one(
    parts: list[str], line_end: str, piece_bytes: int, rows_max: int
) -> None:
    data, dialect = "".join(parts).encode(), COMMA.model_copy(update={"line_end": line_end})
    plain = list(RowReader(io.BytesIO(data), dialect))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lines, "PIECE_BYTES", piece_bytes)
        reader = batches(data, dialect)
        numbers, blank, ended = [], 0, False
        while not ended:
            batch = reader.take(rows_max)
            numbers += [row.number for row in batch.converted] + [row.number for row in batch.rejected]
            blank, ended = blank + batch.blank, batch.ended
    assert sorted(numbers) == [row.number for row in plain if not is_blank(row)]
    assert (blank, reader.place.row) == (sum(map(is_blank, plain)), len(plain))


@pytest.mark.parametrize("blank", [b"\n", b",,\n"])
def test_a_preview_looks_no_further_than_a_sample_for_rows_with_content(blank: bytes) -> None:
    file = io.BytesIO(b"id,plan\nu1,pro\n" + blank * (3 * SAMPLE_BYTES // len(blank)))
    shown = preview(file, COMMA.model_copy(update={"header": True}), ["id", "plan"], None)
    assert [row["cells"] for row in shown] == [["u1", "pro"]]
    assert file.tell() <= SAMPLE_BYTES + 2 * PIECE_BYTES
