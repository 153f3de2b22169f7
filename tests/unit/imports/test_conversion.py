"""From rows to records and reports."""

from __future__ import annotations

import csv
import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import ContactWrite, decode_input
from schemas.events import CONTACT_CHANGED_HEADERS
from segmentation.attributes import AttributeType
from services.ingest.imports.conversion import ConvertedRow, RowConverter
from services.ingest.imports.errors_report import (
    CellProblem,
    ErrorGroups,
    RejectedRow,
    as_it_was,
    report_header,
    report_lines,
)
from services.ingest.imports.limits import ERROR_GROUPS_MAX
from services.ingest.imports.mapping import ColumnMapping, ImportMapping
from services.ingest.imports.rows import Fault, Row

NAMES = ["id", "plan", "orders", "tags"]


def converter(blank: str = "keep", **columns: dict[str, Any]) -> RowConverter:
    given_columns: dict[str, dict[str, Any]] = {
        "plan": {"attribute": "plan"},
        "orders": {"attribute": "orders", "type": "number"},
        "tags": {"attribute": "tags", "type": "list", "separator": "|"},
    } | columns
    mapping = {"id_column": "id", "columns": given_columns, "blank": blank}
    return RowConverter(ImportMapping.model_validate(mapping), NAMES, "imp_00000001")


def converted(result: ConvertedRow | RejectedRow) -> ConvertedRow:
    assert isinstance(result, ConvertedRow), result
    return result


def rejected(result: ConvertedRow | RejectedRow) -> RejectedRow:
    assert isinstance(result, RejectedRow), result
    return result


def test_a_row_becomes_a_contact_change_with_an_id_that_never_varies() -> None:
    row = converted(converter().convert(Row(7, 9, [" u_17 ", "pro", "3", "a| b"])))
    assert row.contact_id == "u_17"
    assert row.attributes == {"plan": "pro", "orders": 3, "tags": ["a", "b"]}
    decoded = decode_input(row.key, row.value, list(CONTACT_CHANGED_HEADERS))
    assert decoded == ContactWrite(row.contact_id, row.attributes)
    assert b'"message_id":"imp_00000001:7"' in row.value
    assert converter().convert(Row(7, 9, [" u_17 ", "pro", "3", "a| b"])) == row


def test_a_blank_cell_keeps_the_attribute_unless_blank_removes() -> None:
    row = Row(2, 2, ["u", "", " ", "x"])
    assert converted(converter().convert(row)).attributes == {"tags": ["x"]}
    assert converted(converter("remove").convert(row)).attributes == {"plan": None, "orders": None, "tags": ["x"]}


def test_all_problems_of_a_row_are_told_at_once() -> None:
    strict = converter(plan={"attribute": "plan", "type": "boolean"})
    problems = rejected(strict.convert(Row(3, 3, ["", "pro", "many", ""]))).problems
    assert [(problem.code, problem.column) for problem in problems] == [
        ("no_id", "id"),
        ("unreadable", "plan"),
        ("unreadable", "orders"),
    ]
    assert all(problem.expected and problem.found and problem.fix for problem in problems)


def test_a_lenient_column_writes_what_it_cannot_read_as_text() -> None:
    lenient = converter(orders={"attribute": "orders", "type": "number", "unreadable": "text"})
    assert converted(lenient.convert(Row(2, 2, ["u", "", "many", ""]))).attributes == {"orders": "many"}


def test_a_row_of_another_width_is_rejected_unless_only_blanks_are_too_many() -> None:
    assert rejected(converter().convert(Row(2, 2, ["u", "pro", "1"]))).problems[0].code == "wrong_width"
    assert rejected(converter().convert(Row(2, 2, ["u", "pro", "1", "", "x"]))).problems[0].code == "wrong_width"
    assert converted(converter().convert(Row(2, 2, ["u", "pro", "1", "", "", ""]))).value == (
        converted(converter().convert(Row(2, 2, ["u", "pro", "1", ""]))).value
    )


def test_an_id_beyond_its_limit_is_rejected_at_the_byte() -> None:
    assert converted(converter().convert(Row(2, 2, ["ä" * 256, "", "", ""])))
    assert rejected(converter().convert(Row(2, 2, ["ä" * 256 + "x", "", "", ""]))).problems[0].code == "id_too_long"


def test_a_row_that_would_be_too_large_a_record_is_rejected() -> None:
    names = [f"c{position}" for position in range(6)]
    mapping = ImportMapping(id_column="c0", columns={name: ColumnMapping(attribute=name) for name in names[1:]})
    row = Row(2, 2, ["u", *["x" * 60_000] * 5])
    assert rejected(RowConverter(mapping, names, "imp_00000001").convert(row)).problems[0].code == "contact_too_large"


def test_a_row_that_could_not_be_read_is_rejected_with_that_reason() -> None:
    row = Row(5, 5, [], Fault("stray_quote", "this", "that", "so"))
    assert rejected(converter().convert(row)).problems == (CellProblem("stray_quote", "", "this", "that", "so"),)


def test_the_report_has_the_original_columns_then_what_to_repair() -> None:
    row = RejectedRow(3, ["u", "many"], (CellProblem("unreadable", "orders", "a number", "many", "correct it"),))
    torn = RejectedRow(9, [], (CellProblem("stray_quote", "", "a, b", "c", "d"),))
    report = (report_header(["id", "orders"]) + report_lines([row, torn], 2)).decode()
    assert list(csv.reader(io.StringIO(report, newline=""))) == [
        ["id", "orders", "row", "column", "expected", "found", "fix"],
        ["u", "many", "3", "orders", "a number", "many", "correct it"],
        ["", "", "9", "", "a, b", "c", "d"],
    ]


@given(st.lists(st.text(max_size=12), min_size=2, max_size=2))
def test_no_cell_of_a_report_can_run_as_a_formula(cells: list[str]) -> None:
    problem = CellProblem("unreadable", "=cmd()", "+1", cells[0], "@x")
    report = report_header(["=a", "-b"]) + report_lines([RejectedRow(2, cells, (problem,))], 2)
    for row in csv.reader(io.StringIO(report.decode(), newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


FORMULA_LIKE = st.text(st.sampled_from("'=+-@\t\r5a"), max_size=6)


@given(st.lists(FORMULA_LIKE, min_size=3, max_size=3))
def test_a_report_read_again_gives_the_cells_of_the_first_file(cells: list[str]) -> None:
    problem = CellProblem("unreadable", "b", "x", "y", "z")
    report = report_header(["=a", "b", "'-c"]) + report_lines([RejectedRow(2, cells, (problem,))], 3)
    header, row = csv.reader(io.StringIO(report.decode(), newline=""))
    assert [as_it_was(name) for name in header[:3]] == ["=a", "b", "'-c"]
    assert [as_it_was(cell) for cell in row[:3]] == cells


def test_rejections_are_grouped_by_repair_and_bounded() -> None:
    groups = ErrorGroups()
    for number in range(10):
        groups.add(RejectedRow(number, [], (CellProblem("unreadable", "orders", "a number", f"x{number % 2}", "fix"),)))
    groups.add(RejectedRow(99, [], (CellProblem("no_id", "id", "an id", "blank", "fill"),)))
    first, second = groups.largest_first()
    assert (first.count, first.rows, first.found) == (10, [0, 1, 2, 3, 4], ["x0", "x1"])
    assert (second.code, second.count) == ("no_id", 1)
    again = ErrorGroups(groups.largest_first())
    again.add(RejectedRow(100, [], (CellProblem("no_id", "id", "an id", "blank", "fill"),)))
    assert [group.count for group in again.largest_first()] == [10, 2]
    for number in range(2 * ERROR_GROUPS_MAX):
        groups.add(RejectedRow(number, [], (CellProblem("unreadable", f"c{number}", "", "", ""),)))
    assert len(groups.largest_first()) == ERROR_GROUPS_MAX


def test_a_declared_type_takes_what_a_detected_one_leaves_as_text() -> None:
    row = Row(2, 2, ["u", "1", "12E2", ""])
    plan, orders = {"attribute": "plan", "type": "boolean"}, {"attribute": "orders", "type": "number"}
    assert converted(converter(plan=plan, orders=orders).convert(row)).attributes == {"plan": True, "orders": 1200.0}
    detected = converter(plan=plan | {"unreadable": "text"}, orders=orders | {"unreadable": "text"})
    assert converted(detected.convert(row)).attributes == {"plan": "1", "orders": "12E2"}


def test_every_type_can_be_mapped() -> None:
    for column_type in AttributeType:
        lenient = {"attribute": "plan", "type": column_type.value, "unreadable": "text"}
        assert "plan" in converted(converter(plan=lenient).convert(Row(2, 2, ["u", "1", "", ""]))).attributes
