"""What a cell becomes: nothing is lost that nobody asked to lose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.attributes import AttributeType
from segmentation.model import Value
from segmentation.values import read_number, read_text
from services.ingest.imports.cells import reading, suggest_type

TEXT, NUMBER, BOOLEAN = AttributeType.TEXT, AttributeType.NUMBER, AttributeType.BOOLEAN
INSTANT, VERSION, LIST = AttributeType.INSTANT, AttributeType.VERSION, AttributeType.LIST


@pytest.mark.parametrize(
    ("column_type", "cell", "value"),
    [
        (TEXT, " 007 ", " 007 "),
        (NUMBER, " 12 ", 12),
        (NUMBER, "12.50", 12.5),
        (NUMBER, "-0.5e3", -500.0),
        (NUMBER, "007", None),
        (NUMBER, "1,200", None),
        (NUMBER, "1_000", None),
        (NUMBER, "١٢", None),
        (NUMBER, "NaN", None),
        (NUMBER, "9007199254740992", 9007199254740992),
        (NUMBER, "9007199254740993", None),
        (BOOLEAN, "TRUE", True),
        (BOOLEAN, "no", False),
        (BOOLEAN, "1", True),
        (BOOLEAN, "maybe", None),
        (INSTANT, "2026-05-01", "2026-05-01"),
        (INSTANT, " 2026-05-01T10:00:00+02:00", "2026-05-01T10:00:00+02:00"),
        (INSTANT, "1790000000", "1790000000"),
        (INSTANT, "01.05.2026", None),
        (VERSION, "v2.10.1-rc.1", "v2.10.1-rc.1"),
        (VERSION, "two", None),
        (LIST, "a; b ;;c", ["a", "b", "c"]),
    ],
)
def test_a_cell_is_read_as_its_column_says(column_type: AttributeType, cell: str, value: Value | None) -> None:
    read = reading(column_type, ";")(cell)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("cells", "column_type"),
    [
        (["1", "2.5", "", "-3"], NUMBER),
        (["12.00", "7.50", ""], NUMBER),
        (["12.00", "7.5"], TEXT),
        (["10.50", "10"], TEXT),
        (["1.0", "2.0"], NUMBER),
        (["2.9", "2.10"], TEXT),
        (["7.5", "9.99", "3"], NUMBER),
        (["12E45"], TEXT),
        (["1e3", "5"], TEXT),
        (["-0", "5"], TEXT),
        (["0." + "0" * 330 + "1"], TEXT),
        (["0.12345678901234567891"], TEXT),
        (["01234", "98765"], TEXT),
        (["0", "0.5", "10"], NUMBER),
        (["4790123456789012", "4790123456789013"], TEXT),
        (["+4790000000"], TEXT),
        (["true", "FALSE", ""], BOOLEAN),
        (["yes", "no"], TEXT),
        (["2026-05-01", "2026-05-01T10:00:00Z"], INSTANT),
        (["1.2.3", "v1.10.0"], VERSION),
        (["1.2.3", "n/a"], TEXT),
        (["", " "], TEXT),
        ([], TEXT),
    ],
)
def test_a_column_looks_like_the_narrowest_type_that_loses_nothing(
    cells: list[str], column_type: AttributeType
) -> None:
    suggestion = suggest_type(cells)
    assert suggestion.type is column_type
    assert suggestion.reason


@pytest.mark.parametrize(
    ("cells", "column_type"),
    [
        (["2.10", "2.11"], VERSION),
        (["3", "4"], VERSION),
        (["2.10", "n/a"], TEXT),
        (["", ""], TEXT),
    ],
)
def test_a_column_that_is_named_a_version_holds_no_numbers(cells: list[str], column_type: AttributeType) -> None:
    assert suggest_type(cells, named_version=True).type is column_type


@pytest.mark.parametrize(
    ("column_type", "cell", "value"),
    [
        (NUMBER, " 12 ", 12),
        (NUMBER, "10.50", 10.5),
        (NUMBER, "9007199254740992", 9007199254740992),
        (NUMBER, "12E45", None),
        (NUMBER, "-0", None),
        (NUMBER, "-0.0", None),
        (NUMBER, "0.0", 0.0),
        (NUMBER, "0.12345678901234567891", None),
        (NUMBER, "0." + "0" * 330 + "1", None),
        (NUMBER, "many", None),
        (BOOLEAN, " TRUE", True),
        (BOOLEAN, "1", None),
        (BOOLEAN, "yes", None),
    ],
)
def test_a_type_that_was_only_detected_takes_no_cell_that_says_more(
    column_type: AttributeType, cell: str, value: Value | None
) -> None:
    read = reading(column_type, ";", declared=False)(cell)
    assert read == value
    assert type(read) is type(value)


@given(st.lists(st.from_regex(r"-?[0-9]{0,18}(\.[0-9]{0,3})?", fullmatch=True), min_size=1, max_size=5))
def test_a_column_suggested_as_numbers_still_reads_as_the_number_that_was_written(cells: list[str]) -> None:
    if suggest_type(cells).type is not NUMBER:
        return
    for cell in cells:
        if cell.strip():
            value = reading(NUMBER, ";", declared=False)(cell)
            assert read_number(value) == read_number(cell)
            written = cell.rstrip("0").rstrip(".") if "." in cell else cell
            assert read_text(value) == written
