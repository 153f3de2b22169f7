"""Rows of a stored file: every one comes out once, numbered, as cells or as what is wrong with it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.imports import lines as lines_module
from services.ingest.imports import rows as rows_module
from services.ingest.imports.dialect import Dialect
from services.ingest.imports.lines import Place
from services.ingest.imports.rows import Row, RowReader

COMMA = Dialect(encoding="utf-8", encoding_sure=True, delimiter=",", line_end="\n", header=False)


@pytest.fixture(autouse=True)
def _limit_of_a_cell() -> Iterator[None]:
    """The limit belongs to the whole process: what a test has it at is nobody else's."""
    before = csv.field_size_limit()
    yield
    csv.field_size_limit(before)


def read(data: bytes, dialect: Dialect = COMMA, place: Place | None = None) -> list[Row]:
    return list(RowReader(io.BytesIO(data), dialect, place))


def cells(data: bytes, dialect: Dialect = COMMA) -> list[list[str]]:
    rows = read(data, dialect)
    assert all(row.fault is None for row in rows), rows
    return [row.cells for row in rows]


def limited_to(patched: pytest.MonkeyPatch, row_bytes: int) -> None:
    """Rows of at most so many bytes, as if they were 4 MiB."""
    patched.setattr(lines_module, "ROW_BYTES_MAX", row_bytes)
    patched.setattr(rows_module, "ROW_BYTES_MAX", row_bytes)


def test_rfc_4180_quoting_is_understood() -> None:
    data = b'a,"b, c","say ""hi""","two\r\nlines",\r\n"","x"\r\n'
    assert cells(data) == [["a", "b, c", 'say "hi"', "two\r\nlines", ""], ["", "x"]]


def test_the_last_row_needs_no_line_end() -> None:
    assert cells(b"a,b\nc,d") == [["a", "b"], ["c", "d"]]


def test_old_mac_line_ends_divide_rows() -> None:
    assert cells(b"a,b\rc,d\r", COMMA.model_copy(update={"line_end": "\r"})) == [["a", "b"], ["c", "d"]]


def test_a_line_that_states_the_delimiter_is_passed_over_once_and_counted_as_a_line_alone() -> None:
    stated = COMMA.model_copy(update={"states_delimiter": True})
    data = b"sep=,\r\nid,a\r\nsep=,\r\n"
    whole = read(data, stated)
    assert [(row.number, row.line, row.cells) for row in whole] == [(1, 2, ["id", "a"]), (2, 3, ["sep=", ""])]
    reader = RowReader(io.BytesIO(data), stated)
    assert read(data, stated, reader.place) == whole
    next(reader)
    assert read(data, stated, reader.place) == whole[1:]
    assert read(b"sep=,", stated) == []


def test_rows_are_numbered_as_a_spreadsheet_does_and_lines_as_an_editor_does() -> None:
    rows = read(b'h\n"two\nlines"\n\nlast\n')
    assert [(row.number, row.line, row.cells) for row in rows] == [
        (1, 1, ["h"]),
        (2, 2, ["two\nlines"]),
        (3, 4, []),
        (4, 5, ["last"]),
    ]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b'1,"a"b,2\n', "stray_quote"),
        (b"1,a\rb\n", "stray_line_end"),
        (b"1," + b"x" * 65_537 + b"\n", "cell_too_large"),
        (b"1," + "ä".encode() * 32_769 + b"\n", "cell_too_large"),
        (b"1,\xff\n", "undecodable"),
        (b"," * 1_000 + b"\n", "too_many_cells"),
    ],
)
def test_a_damaged_row_says_what_is_wrong_and_does_not_hide_its_neighbours(bad: bytes, code: str) -> None:
    rows = read(b"a,b\n" + bad + b"c,d\n")
    assert [row.fault.code if row.fault else row.cells for row in rows] == [["a", "b"], code, ["c", "d"]]
    fault = rows[1].fault
    assert fault is not None
    assert fault.expected
    assert fault.found
    assert fault.fix


def test_cells_at_the_limit_are_read() -> None:
    assert cells(b"x" * 65_536 + b"," + "ä".encode() * 32_768 + b"\n") == [["x" * 65_536, "ä" * 32_768]]
    assert len(cells(b"," * 999 + b"\n")[0]) == 1_000


def test_a_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    rows = read(b'a,b\n1,"open\nc,d\n')
    assert [row.fault.code if row.fault else row.cells for row in rows] == [["a", "b"], "quote_not_closed", ["c", "d"]]
    assert [row.line for row in rows] == [1, 2, 3]
    assert rows[1].fault is not None
    assert "line 2" in rows[1].fault.found


@pytest.mark.parametrize("end", [b"", b'x,"Smith, J"\n', b"x,y\rz\n"])
def test_a_quote_left_open_in_a_large_file_costs_its_own_line_only(end: bytes) -> None:
    rows = read(b'1,"open\n' + b"c,d\n" * 100_000 + end)
    assert rows[0].fault is not None
    assert rows[0].fault.code == "quote_not_closed"
    assert all(row.cells == ["c", "d"] for row in rows[1:100_001])
    assert len(rows) == 100_001 + bool(end)


def test_another_reader_of_the_process_cannot_raise_the_limit_of_a_cell() -> None:
    csv.field_size_limit(16 << 20)
    rows = read(b'1,"open\n' + b"c,d\n" * 100_000)
    assert rows[0].fault is not None
    assert rows[1].cells == ["c", "d"]
    assert RowReader(io.BytesIO(b'1,"open\n' + b"c,d\n" * 100_000), COMMA).reach == 0
    reader = RowReader(io.BytesIO(b'1,"open\n' + b"c,d\n" * 100_000), COMMA)
    next(reader)
    assert 65_536 <= reader.reach <= 65_600


@pytest.mark.parametrize(
    ("line", "told_apart"),
    [
        (b'z3,"5 inch', ["z3", '"5 inch']),
        (b'z3,"5 inch,red', ["z3", '"5 inch', "red"]),
        (b'"Smith, ""J""",z3,"5 inch\r', ['Smith, "J"', "z3", '"5 inch']),
        (b'"a"b,"c"', ['"a"b', "c"]),
        (b'1,"a"b,', ["1", '"a"b', ""]),
        (b"1," + b"x" * 65_537 + b",red", ["1", "", "red"]),
    ],
)
def test_a_damaged_line_is_shown_as_far_as_it_can_be_told_apart(line: bytes, told_apart: list[str]) -> None:
    assert read(line + b"\nc,d\n")[0].cells == told_apart


def test_a_line_beyond_the_limit_is_passed_over_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    limited_to(monkeypatch, 1_000)
    monkeypatch.setattr(lines_module, "PIECE_BYTES", 64)
    rows = read(b"a,b\n" + b"x," * 10_000 + b"\nc,d\n")
    assert [row.fault.code if row.fault else row.cells for row in rows] == [["a", "b"], "row_too_large", ["c", "d"]]


def test_a_row_of_endless_quoted_lines_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    limited_to(monkeypatch, 1_000)
    rows = read(b'"\n",' * 2_000 + b"\nlast\n")
    assert rows[0].fault is not None
    assert rows[0].fault.code == "quote_not_closed"
    assert {tuple(row.cells) for row in rows[1:-2]} == {(",",)}
    assert rows[-1].cells == ["last"]


@pytest.mark.parametrize("line", [b'a",b,"\n', b'a","x\n', b'a,"b\n', b'"",a,"b\n', b'","\n"\n'])
@pytest.mark.parametrize("end", [b"", b'"x"y\n'])
def test_a_file_of_quotes_that_are_left_open_is_read_in_a_time_that_grows_with_the_file(
    monkeypatch: pytest.MonkeyPatch, line: bytes, end: bytes
) -> None:
    limited_to(monkeypatch, 2_000)
    taken: list[int] = []
    take = lines_module.Lines._next_line

    def counted(lines: lines_module.Lines) -> bytes:
        raw = take(lines)
        taken.append(len(raw))
        return raw

    monkeypatch.setattr(lines_module.Lines, "_next_line", counted)
    data = line * 3_000 + end
    assert read(data)
    assert sum(taken) <= 5 * len(data)


TABLES = st.lists(
    st.lists(st.text(st.sampled_from('ab,;"\n\r ä€'), max_size=6), min_size=2, max_size=4), min_size=1, max_size=12
)


def written(table: list[list[str]], encoding: str = "utf-8") -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(table)
    return out.getvalue().encode(encoding)


@given(table=TABLES, piece_bytes=st.integers(1, 40))
def test_what_a_csv_writer_writes_is_read_back(table: list[list[str]], piece_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lines_module, "PIECE_BYTES", piece_bytes)  # Smaller pieces meet more boundaries.
        assert cells(written(table)) == table


@given(data=st.binary(max_size=200).filter(lambda data: b"\0" not in data), stop=st.integers(0, 20))
def test_reading_may_stop_and_go_on_anywhere(data: bytes, stop: int) -> None:
    whole = read(data)
    reader = RowReader(io.BytesIO(data), COMMA)
    first = [row for _, row in zip(range(stop), reader, strict=False)]
    rest = read(data, place=reader.place)
    assert first + rest == whole


@given(
    text=st.text(st.sampled_from('aä",\n'), max_size=120),
    cell_bytes=st.integers(2, 40),
    row_bytes=st.integers(4, 80),
    piece_bytes=st.integers(1, 40),
)
def test_what_was_looked_at_before_changes_nothing(
    text: str, cell_bytes: int, row_bytes: int, piece_bytes: int
) -> None:
    data = text.encode()
    with pytest.MonkeyPatch.context() as patched:
        limited_to(patched, row_bytes)
        patched.setattr(rows_module, "FIELD_BYTES_MAX", cell_bytes)
        patched.setattr(lines_module, "PIECE_BYTES", piece_bytes)
        whole = read(data)
        apart: list[Row] = []
        reader = RowReader(io.BytesIO(data), COMMA)
        while (row := next(reader, None)) is not None:
            apart.append(row)
            reader = RowReader(io.BytesIO(data), COMMA, reader.place)  # One that remembers nothing.
        assert apart == whole
        assert all(row.cells for row in whole if row.fault is not None and row.fault.code == "quote_not_closed")
