"""From a row of a file to a record for the input log, or to everything that is wrong with the row.

Rule: a function of the row, the mapping and the import's id alone, so a row that is read again gives the same bytes
under the same message id. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.codec import ChangeOrigin, encode_contact_change
from schemas.limits import ATTRIBUTES_MAX, CONTACT_BYTES_MAX, CONTACT_ID_BYTES_MAX, LIST_ELEMENTS_MAX
from schemas.record import is_contact_id
from segmentation.attributes import AttributeType
from segmentation.model import AttributeName, ContactId, Value
from services.ingest.imports.cells import EXPECTED, Reading, reading
from services.ingest.imports.errors_report import CellProblem, RejectedRow, shown
from services.ingest.imports.mapping import ImportMapping
from services.ingest.imports.rows import Row

SOURCE_KIND = "import"


class ConvertedRow(NamedTuple):
    """A row as a contact change: its attributes, and the record's key and value."""

    number: int
    contact_id: ContactId
    attributes: dict[AttributeName, Value | None]
    key: bytes
    value: bytes
    message_id: str


class _Column(NamedTuple):
    position: int
    name: str
    attribute: AttributeName
    type: AttributeType
    read: Reading
    lenient: bool


class RowConverter:
    """Converts the rows of one file under one mapping that was checked."""

    def __init__(self, mapping: ImportMapping, names: Sequence[str], import_id: str) -> None:
        self._import_id = import_id
        self._width = len(names)
        self._id_column = mapping.id_column
        self._id_position = names.index(mapping.id_column)
        self._removes_blank = mapping.blank == "remove"
        self._columns = [
            _Column(
                position,
                name,
                AttributeName(column.attribute),
                column.type,
                reading(column.type, column.separator, declared=column.unreadable == "reject"),
                column.unreadable == "text",
            )
            for position, name in enumerate(names)
            if (column := mapping.columns.get(name)) is not None and column.attribute is not None
        ]

    def convert(self, row: Row) -> ConvertedRow | RejectedRow:
        """The record of a row, or all of its problems."""
        cells = row.cells
        problems = self._shape_problems(row)
        if problems:
            return RejectedRow(row.number, cells, problems)
        contact_id = cells[self._id_position].strip()
        found = [] if is_contact_id(contact_id) else [self._id_problem(contact_id)]
        attributes: dict[AttributeName, Value | None] = {}
        for column in self._columns:
            cell = cells[column.position]
            if not cell or cell.isspace():
                if self._removes_blank:
                    attributes[column.attribute] = None
                continue
            value = column.read(cell)
            if value is None and column.lenient:
                value = cell
            if value is None or (type(value) is list and len(value) > LIST_ELEMENTS_MAX):
                expected, fix = EXPECTED[column.type]
                found.append(CellProblem("unreadable", column.name, expected, shown(cell), fix))
            else:
                attributes[column.attribute] = value
        if found:
            return RejectedRow(row.number, cells, tuple(found))
        return self._encoded(row, ContactId(contact_id), attributes)

    def _encoded(
        self, row: Row, contact_id: ContactId, attributes: dict[AttributeName, Value | None]
    ) -> ConvertedRow | RejectedRow:
        message = message_id(self._import_id, row.number)
        origin = ChangeOrigin(SOURCE_KIND, self._import_id, message)
        value = encode_contact_change(contact_id, attributes, origin)
        if len(value) > CONTACT_BYTES_MAX or len(attributes) > ATTRIBUTES_MAX:
            problem = CellProblem(
                "contact_too_large",
                "",
                f"a row of at most {CONTACT_BYTES_MAX} bytes and {ATTRIBUTES_MAX} attributes once converted",
                f"{len(value)} bytes, {len(attributes)} attributes",
                "shorten its cells, or leave columns out",
            )
            return RejectedRow(row.number, row.cells, (problem,))
        return ConvertedRow(row.number, contact_id, attributes, contact_id.encode(), value, message)

    def _shape_problems(self, row: Row) -> tuple[CellProblem, ...]:
        """What is wrong with the row as a whole. Blank cells beyond the last column do no harm."""
        if row.fault is not None:
            fault = row.fault
            return (CellProblem(fault.code, "", fault.expected, fault.found, fault.fix),)
        if len(row.cells) < self._width or any(row.cells[self._width :]):
            return (
                CellProblem(
                    "wrong_width",
                    "",
                    f"{self._width} cells",
                    f"{len(row.cells)} cells in line {row.line}",
                    "add the missing cells, or put a cell that holds the delimiter in quotes",
                ),
            )
        return ()

    def _id_problem(self, contact_id: str) -> CellProblem:
        expected = f"a contact id of 1 to {CONTACT_ID_BYTES_MAX} bytes"
        if not contact_id:
            return CellProblem("no_id", self._id_column, expected, "a blank cell", "fill in the id, or remove the row")
        return CellProblem("id_too_long", self._id_column, expected, shown(contact_id), "shorten the id")


def message_id(import_id: str, row_number: int) -> str:
    """The id of a row's record: the same whenever the row is read again."""
    return f"{import_id}:{row_number}"
