"""The review of an import: which column becomes what, what a dry run found, and whether to write.

Rule: what the service suggests is shown as a suggestion with its reason, and counts only once it was accepted here. An
import that is not committed leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import typer

from tidegate.cli.asking import interruptible
from tidegate.cli.output import plain, print_table, say
from tidegate.responses import Import

TYPES: Final = ("text", "number", "boolean", "instant", "version", "list")
SAMPLES_SHOWN: Final = 3
ROWS_SHOWN: Final = 5
REPAIRS_SHOWN: Final = 20
NO_ATTRIBUTE: Final = "left out"

Decided = dict[str, Any]
"""A mapping as the service takes it."""


class MappingRefusedError(Exception):
    """What was asked for does not fit the file; the message says why."""


def suggested(uploaded: Import, id_column: str | None, *, blank_removes: bool) -> Decided:
    """The mapping to begin with: the remembered one, else what is suggested. Errors: MappingRefusedError."""
    told = uploaded.model_extra or {}
    remembered = told.get("mapping")
    columns = {column["name"]: {"attribute": column["attribute"], "type": column["type"]} for column in told["columns"]}
    mapping: Decided = {"id_column": None, "columns": columns}
    if remembered:
        left_out = {name: {**column, "attribute": None} for name, column in columns.items()}
        mapping = {**remembered, "columns": {**left_out, **remembered["columns"]}}
    mapping["id_column"] = id_column or mapping["id_column"] or told.get("suggested_id_column")
    if id_column is not None and id_column not in columns:
        raise MappingRefusedError(f"there is no column {id_column!r}; there are {', '.join(columns)}")
    if blank_removes:
        mapping["blank"] = "remove"
    return mapping


def change(mapping: Decided, text: str) -> None:
    """Apply what a person typed: `COLUMN=ATTRIBUTE[:TYPE]`, or `COLUMN=`. Errors: MappingRefusedError."""
    column, wanted = _column(mapping, text)
    attribute, colon, kind = wanted.rpartition(":")
    if colon:
        retype(mapping, f"{column}={kind}")
    rename(mapping, f"{column}={attribute if colon else wanted}")


def rename(mapping: Decided, text: str) -> None:
    """Apply one `COLUMN=ATTRIBUTE` or `COLUMN=`. Errors: MappingRefusedError."""
    column, attribute = _column(mapping, text)
    mapping["columns"][column] = {**mapping["columns"][column], "attribute": attribute.strip() or None}


def retype(mapping: Decided, text: str) -> None:
    """Apply one `COLUMN=TYPE`, which from then on is declared. Errors: MappingRefusedError."""
    column, kind = _column(mapping, text)
    if kind not in TYPES:
        raise MappingRefusedError(f"{kind!r} is no type; choose one of {', '.join(TYPES)}")
    mapping["columns"][column] = {**mapping["columns"][column], "type": kind, "unreadable": "reject"}


def _column(mapping: Decided, text: str) -> tuple[str, str]:
    """Which column is meant, and what of it. The last `=` divides: a column's name may hold one."""
    column, equals, wanted = text.rpartition("=")
    if not equals or column not in mapping["columns"]:
        known = ", ".join(mapping["columns"])
        raise MappingRefusedError(f"{text!r} begins with no column and `=`; the columns are {known}")
    return column, wanted


def show_columns(uploaded: Import, mapping: Decided) -> None:
    """Which column would become what, why, and what is in it."""
    told = uploaded.model_extra or {}
    if told.get("mapping_source") == "remembered":
        say("a file with the same header was imported before; its mapping is proposed again")
    rows = []
    for column in told["columns"]:
        decided = mapping["columns"].get(column["name"], {"attribute": None})
        samples = ", ".join(map(plain, column.get("samples", [])[:SAMPLES_SHOWN]))
        marked = f"{column['name']} (id)" if column["name"] == mapping["id_column"] else column["name"]
        becomes = decided["attribute"] or NO_ATTRIBUTE
        reason = column.get("attribute_reason", "")
        rows.append((marked, becomes, decided.get("type", ""), reason, samples))
    print_table(("column", "becomes", "type", "why", "for example"), rows)


def ask_mapping(uploaded: Import, mapping: Decided) -> None:
    """Let a person change the proposed mapping until it is as wanted."""
    show_columns(uploaded, mapping)
    names = list(mapping["columns"])
    while True:
        with interruptible():
            mapping["id_column"] = typer.prompt("Column of the contact's id", default=mapping["id_column"] or names[0])
        if mapping["id_column"] in names:
            break
        say(f"there is no such column; there are {', '.join(names)}")
    while text := _changes_asked():
        try:
            change(mapping, text)
        except MappingRefusedError as error:
            say(str(error))
        else:
            show_columns(uploaded, mapping)


def _changes_asked() -> str:
    with interruptible():
        question = "Change a column (COLUMN=ATTRIBUTE[:TYPE], empty to go on)"
        return str(typer.prompt(question, default="", show_default=False))


def show_preview(mapped: Import) -> None:
    """What the first rows become, or why they cannot."""
    rows = [
        (row["row"], row.get("contact_id"), row["attributes"] if "attributes" in row else _faults(row["problems"]))
        for row in (mapped.model_extra or {}).get("preview", [])[:ROWS_SHOWN]
    ]
    print_table(("row", "contact", "becomes"), rows, numbers=(0,))


def show_dry_run(checked: Import) -> None:
    """What writing would do, and what to repair."""
    told = checked.model_extra or {}
    found: Mapping[str, Any] = told.get("dry_run") or {}
    say(
        f"{plain(found.get('rows_total'))} rows: would create {plain(found.get('would_create'))}, "
        f"update {plain(found.get('would_update'))}, leave {plain(found.get('would_leave'))}, "
        f"reject {plain(found.get('would_reject'))}"
    )
    if found.get("note"):
        say(str(found["note"]))
    repairs: Sequence[Mapping[str, Any]] = found.get("errors") or []
    if repairs:
        rows = [
            (repair["count"], repair["column"], repair["expected"], repair["fix"]) for repair in repairs[:REPAIRS_SHOWN]
        ]
        print_table(("rows", "column", "expected", "how to repair"), rows, numbers=(0,))


def is_to_be_written(checked: Import) -> bool:
    """Whether a person says yes to writing the rows; where a dry run found none, nobody is asked."""
    found: Mapping[str, Any] = (checked.model_extra or {}).get("dry_run") or {}
    if found.get("rows_total") == 0:
        return False
    with interruptible():
        return typer.confirm("Write these rows?")


def _faults(faults: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{fault['column']}: {fault['fix']}" for fault in faults)
