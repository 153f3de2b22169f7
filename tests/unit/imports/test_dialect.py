"""How a file is written, detected from its beginning."""

from __future__ import annotations

import pytest

from services.ingest.imports.dialect import Dialect, DialectChoice, column_names, detect_dialect
from services.ingest.imports.intake import Intake


def detect(data: bytes, **choice: object) -> Dialect:
    intake = Intake()
    for _ in intake.feed(data):
        pass
    for _ in intake.finish():
        pass
    return detect_dialect(intake.received(), DialectChoice.model_validate(choice))


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("id,name\n1,Ann\n", ","),
        ("id;name;amount\n1;Ann;1,50\n2;Bob;2,75\n", ";"),
        ("id\tname\n1\tSmith, Ann\n", "\t"),
        ("id|name\n1|Smith, Ann\n2|Bob\n", "|"),
        ('id,notes\n1,"a;b;c"\n2,"d;e;f"\n', ","),
        ("email\nann@example.com\n", ","),
        ("id,note\n1,one; two; three\n2,four\n3,five; six\n", ","),
    ],
)
def test_the_delimiter_is_the_one_that_makes_rows_alike(text: str, delimiter: str) -> None:
    assert detect(text.encode()).delimiter == delimiter


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("id,name\n1,Ann\n", True),
        ("email\nann@example.com\n", True),
        ("ann@example.com,Ann\nbob@example.com,Bob\n", False),
        ("1,Ann\n2,Bob\n", False),
        ("Ann,2026-05-01\nBob,2026-06-01\n", False),
        ("id,,name\n1,x,Ann\n", True),
    ],
)
def test_a_first_row_that_holds_values_is_no_header(text: str, header: bool) -> None:
    assert detect(text.encode()).header is header


def test_a_first_row_that_has_a_column_which_its_owner_names_is_a_header() -> None:
    by_year = b"customer,2024,2025\nc1,10,20\n"
    assert not detect(by_year).header
    assert detect(by_year, columns=["customer"]).header
    assert detect(by_year, columns=["2025"]).header
    assert not detect(by_year, columns=["column 1"]).header
    assert not detect(by_year, columns=["customer"], header=False).header


def test_blank_rows_before_the_first_say_nothing_about_a_header() -> None:
    assert not detect(b",,\n , \n1,ann@example.com,2\n").header
    assert detect(b",,\nid,email,n\n1,ann@example.com,2\n").header


@pytest.mark.parametrize(
    ("text", "written", "encoding", "sure"),
    [
        ("id,name\n1,Änne €\n", "utf-8", "utf-8", True),
        ("id,name\n1,Änne\n", "utf-16", "utf-8", True),
        ("id,name\n1,plain\n", "ascii", "utf-8", True),
        ("id,name,city\n1,José,Málaga\n2,Zoë “Quote”,Genève\n3,Jürgen,Köln\n", "cp1252", "cp1252", False),
        ("id,name\n1,Änne\n", "latin-1", "cp1252", False),
        ("id,name\n" + "1,plain\n" * 1000 + "2,José\n", "latin-1", "cp1252", False),
        ("id,имя,город\n1,Иван Петров,Москва\n2,Ольга Смирнова,Санкт-Петербург\n", "cp1251", "cp1251", False),
        ("id,名前\n1,山田太郎\n2,鈴木花子は東京\n", "cp932", "cp932", False),
        ("id,姓名,城市\n1,王小明,北京\n2,李雷,上海\n", "gb18030", "gb18030", False),
    ],
)
def test_the_encoding_is_found_and_said_to_be_a_guess_when_it_is(
    text: str, written: str, encoding: str, sure: bool
) -> None:
    dialect = detect(text.encode(written))
    assert (dialect.encoding, dialect.encoding_sure) == (encoding, sure)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize(("good", "bad"), [(200, 1), (2, 1), (90, 10)])
def test_a_few_bad_bytes_do_not_make_a_utf_8_file_something_else(good: int, bad: int, line_end: bytes) -> None:
    lines = [b"id,name", *["1,Müller Łódź 東京".encode()] * good, *[b"2,caf\xc3"] * bad, b""]
    dialect = detect(line_end.join(lines))
    assert (dialect.encoding, dialect.encoding_sure) == ("utf-8", False)


def test_a_western_file_with_a_line_that_could_be_utf_8_stays_western() -> None:
    data = "id,name\n1,José\n2,Zoë\n3,Jürgen\n".encode("latin-1") + "4,Änne\n".encode()
    assert detect(data).encoding == "cp1252"


def test_bytes_beyond_the_sample_that_are_not_utf_8_still_count() -> None:
    data = b"id,name\n" + b"1,plain\n" * 200_000 + "2,José\n".encode("latin-1")
    assert detect(data).encoding == "cp1252"


def test_what_the_owner_says_wins() -> None:
    dialect = detect(b"1;2,5\n", delimiter=";", header=True, encoding="cp1250")
    assert (dialect.delimiter, dialect.header, dialect.encoding) == (";", True, "cp1250")


@pytest.mark.parametrize(
    ("text", "choice", "is_report"),
    [
        ("id,row,column,expected,found,fix\nc,2,,a,b,c\n", {}, True),
        ("id,row,column,expected,found,fix\nc,2,,a,b,c\n", {"header": False}, False),
        ("id,row,column,expected,found,fix,note\nc,2,,a,b,c,d\n", {}, False),
        ("row;column;expected;found;fix\n2;;a;b;c\n", {}, True),
    ],
)
def test_a_report_of_rejected_rows_is_known_by_its_last_columns(
    text: str, choice: dict[str, bool], is_report: bool
) -> None:
    assert detect(text.encode(), **choice).is_report is is_report


def test_old_mac_line_ends_are_seen() -> None:
    dialect = detect(b"id,name\r1,Ann\r")
    assert dialect.line_end == "\r"
    assert dialect.header


def test_columns_get_names_that_are_all_different() -> None:
    assert column_names(["Email", "", "Email", "Email (2)", " x "], header=True) == [
        "Email",
        "column 2",
        "Email (2)",
        "Email (2) (2)",
        "x",
    ]
    assert column_names(["a@b.c", "1"], header=False) == ["column 1", "column 2"]


@pytest.mark.parametrize("first", ["sep=;\r\n", "sep=;\n", "\ufeffsep=;\r\n", "SEP=;\r\n", '"sep=;"\r\n', "sep=;\r"])
def test_a_first_line_that_tells_excel_the_delimiter_is_none_of_the_rows(first: str) -> None:
    line_end = first[-1]
    found = detect(f"{first}id;price{line_end}c1;1,50{line_end}c2;2,75{line_end}".encode())
    assert (found.delimiter, found.header, found.states_delimiter) == (";", True, True)


def test_what_a_file_says_of_its_delimiter_counts_more_than_how_its_rows_look() -> None:
    assert detect(b"sep=|\nid,a|note,b\n1,2|3,4\n").delimiter == "|"
    found = detect(b"sep=|\nid,a|note,b\n1,2|3,4\n", delimiter=",")
    assert (found.delimiter, found.states_delimiter) == (",", True)


@pytest.mark.parametrize("text", ["sep\n1\n", "sep=\n1\n", "sep=x\n1\n", "id;sep=;\n1;2\n", "sep=;a\n1;2\n"])
def test_a_first_row_that_only_looks_like_it_is_a_row(text: str) -> None:
    assert not detect(text.encode()).states_delimiter
