"""Columns and attributes: suggestions that are shown, mappings that are checked whole."""

from __future__ import annotations

import pytest

from segmentation.attributes import AttributeType
from segmentation.errors import PROBLEMS_MAX
from services.ingest.imports.mapping import (
    ColumnMapping,
    ImportMapping,
    check_mapping,
    default_mapping,
    header_signature,
    suggest_columns,
    suggest_id_column,
)

NAMES = ["Contact ID", "First Name", "lastActive", "Signup-Date", "Notes"]
ROWS = [["u1", "Ann", "2026-01-01", "2025-01-01", ""], ["u2", "Bob", "2026-01-02", "2025-01-02", "x"]]


def test_a_column_is_suggested_the_attribute_that_exists_by_its_name() -> None:
    known = ["first_name", "last_active", "signup_dates"]
    suggested = {column.name: column for column in suggest_columns(NAMES, ROWS, known)}
    assert suggested["First Name"].attribute == "first_name"
    assert suggested["lastActive"].attribute == "last_active"
    assert suggested["Signup-Date"].attribute == "signup_dates"
    assert "similar" in suggested["Signup-Date"].attribute_reason
    assert suggested["Notes"].attribute == "notes"
    assert suggested["lastActive"].type is AttributeType.INSTANT
    assert suggested["Notes"].samples == ["x"]


@pytest.mark.parametrize(
    ("column", "known", "attribute"),
    [
        ("Город", "Имя", "город"),
        ("Ñandú", "and", "ñandú"),
        ("Телефон 2", "Адрес 2", "телефон_2"),
        ("都市", "住所", "都市"),
        ("नाम पता", "नाम", "नाम_पता"),
        ("???", "!!!", "???"),
        ("phone 2", "phone_1", "phone_2"),
        ("ARR", "mrr", "arr"),
    ],
)
def test_a_column_is_not_suggested_the_attribute_of_another_name(column: str, known: str, attribute: str) -> None:
    (suggested,) = suggest_columns([column], [], [known])
    assert (suggested.attribute, suggested.attribute_reason) == (attribute, "named after the column")


@pytest.mark.parametrize(
    ("names", "known", "attributes"),
    [
        (["Plan", "plan"], [], ["plan_2", "plan"]),
        (["PLAN", "Plan"], ["plan"], ["plan", "plan_2"]),
        (["PLAN", "Plan", "plan 2"], ["Plan"], ["plan_3", "Plan", "plan_2"]),
        (["Adress", "address"], ["address"], ["adress", "address"]),
        (["Plan", "plan", "PLAN"], ["plan_2"], ["plan_3", "plan", "plan_4"]),
    ],
)
def test_no_two_columns_are_suggested_one_attribute(names: list[str], known: list[str], attributes: list[str]) -> None:
    suggested = suggest_columns(names, [], known)
    assert [column.attribute for column in suggested] == attributes
    columns = {column.name: ColumnMapping(attribute=column.attribute) for column in suggested}
    assert check_mapping(ImportMapping(id_column=names[0], columns=columns), names) == ()


@pytest.mark.parametrize(
    ("column", "known"),
    [("ИМЯ", "Имя"), ("Gro\u0308ße", "größe"), ("Stra\u00dfen-Name", "straßen_name"), ("!!!", "!!!")],
)
def test_a_column_is_suggested_its_attribute_in_every_script(column: str, known: str) -> None:
    (suggested,) = suggest_columns([column], [], [known])
    assert suggested.attribute == known
    assert "of this name" in suggested.attribute_reason


def test_a_version_is_told_from_a_number_by_its_name() -> None:
    names = ["App Version", "osVersion", "conversion", "price"]
    suggested = suggest_columns(names, [["2.10", "14", "2.10", "2.10"]], [])
    version, number = AttributeType.VERSION, AttributeType.NUMBER
    assert [column.type for column in suggested] == [version, version, number, number]


@pytest.mark.parametrize(
    ("names", "rows", "expected"),
    [
        (NAMES, ROWS, "Contact ID"),
        (["name", "E-Mail", "email"], [["a", "x", "a@b.c"]], "email"),
        (["id", "email"], [["1", "a@b.c"], ["", "b@b.c"]], "email"),
        (["id", "email"], [["1", "a@b.c"], ["1", "b@b.c"], ["1", "c@b.c"]], "email"),
        (["name", "plan"], [["a", "pro"]], None),
    ],
)
def test_the_id_column_is_named_like_one_filled_and_distinct(
    names: list[str], rows: list[list[str]], expected: str | None
) -> None:
    assert suggest_id_column(names, rows) == expected


def test_an_import_without_review_keeps_the_file_s_own_names_and_rejects_no_row_for_a_guess() -> None:
    suggestions = suggest_columns(["id", "First Name", "orders", "drop"], [["1", "Ann", "3", ""]], ["first_name"])
    mapping = default_mapping(
        "id", suggestions, {"drop": None, "orders": "n"}, {"First Name": AttributeType.TEXT}, "keep"
    )
    assert {name: column.attribute for name, column in mapping.columns.items()} == {
        "id": None,
        "First Name": "First Name",
        "orders": "n",
        "drop": None,
    }
    assert mapping.columns["orders"] == ColumnMapping(attribute="n", type=AttributeType.NUMBER, unreadable="text")
    assert mapping.columns["First Name"].unreadable == "reject"


def test_a_report_of_rejected_rows_can_be_imported_again_without_its_added_columns() -> None:
    names = ["email", "plan", "row", "column", "expected", "found", "fix"]
    suggested = {column.name: column.attribute for column in suggest_columns(names, [], [])}
    assert suggested == {"email": "email", "plan": "plan"} | dict.fromkeys(names[2:])


def test_every_fault_of_a_mapping_is_named_with_its_place() -> None:
    mapping = ImportMapping(
        id_column="Emial",
        columns={
            "Email": ColumnMapping(attribute="email"),
            "E/Mail": ColumnMapping(attribute="email"),
            "Name": ColumnMapping(attribute=" "),
        },
    )
    problems = check_mapping(mapping, ["Email", "Name"])
    assert [(problem.code, problem.pointer) for problem in problems] == [
        ("unknown_column", "/id_column"),
        ("unknown_column", "/columns/E~1Mail"),
        ("attribute_mapped_twice", "/columns/E~1Mail/attribute"),
        ("invalid_attribute_name", "/columns/Name/attribute"),
    ]
    assert problems[0].hint == "did you mean 'Email'?"


def test_what_is_wrong_with_a_mapping_is_told_up_to_a_bound_and_shortly() -> None:
    columns = {f"d{number}" + "x" * 5_000: ColumnMapping(attribute=f"a{number}") for number in range(1_000)}
    found = check_mapping(ImportMapping(id_column="nope", columns=columns), [f"c{number}" for number in range(1_000)])
    assert len(found) == PROBLEMS_MAX
    assert {problem.pointer for problem in found} == {"/id_column", "/columns"}
    assert max(len(str(problem.to_json())) for problem in found) < 1_000


def test_files_with_the_same_header_share_their_mapping() -> None:
    assert header_signature(["Email", "Plan"]) == header_signature(["EMAIL", "plan"])
    assert header_signature(["a", "b"]) != header_signature(["b", "a"])
    assert header_signature(["ab", "c"]) != header_signature(["a", "bc"])
