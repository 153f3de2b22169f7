"""The report of rejected rows: the original columns, then what was expected and found, and how to repair it.

Rule: the report is a CSV file that can be corrected and imported again; it must never run as a formula in a
spreadsheet, so a cell that begins like one is written with `'` before it. `as_it_was` undoes exactly that. Pure.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from services.ingest.imports.limits import ERROR_GROUPS_MAX, ERROR_SAMPLE_ROWS, SHOWN_CHARACTERS_MAX

REPORT_COLUMNS: Final = ("row", "column", "expected", "found", "fix")
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
"""How a formula begins, or what `'` stands before already: with one more it is told from what was written so."""
BETWEEN: Final = " | "
"""Between the problems of one row, in each of the added columns."""


@dataclass(frozen=True, slots=True)
class CellProblem:
    """One thing wrong with a row. `column` is empty when it concerns the whole row."""

    code: str
    column: str
    expected: str
    found: str
    fix: str


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that is not imported, and everything that is wrong with it."""

    number: int
    cells: Sequence[str]
    problems: tuple[CellProblem, ...]


class ErrorGroup(BaseModel):
    """All rejections that the same repair would mend."""

    code: str
    column: str
    expected: str
    fix: str
    count: int
    rows: list[int]
    """The first few, as a spreadsheet numbers them."""
    found: list[str]
    """The first few different things found."""


class ErrorGroups:
    """Rejections grouped by repair. Past `ERROR_GROUPS_MAX` groups, further repairs are only counted."""

    def __init__(self, groups: Iterable[ErrorGroup] = ()) -> None:
        self._groups = {(group.code, group.column, group.fix): group for group in groups}

    def add(self, rejected: RejectedRow) -> None:
        """Count a rejected row under each of its repairs."""
        for problem in rejected.problems:
            key = (problem.code, problem.column, problem.fix)
            group = self._groups.get(key)
            if group is None:
                if len(self._groups) >= ERROR_GROUPS_MAX:
                    continue
                group = self._groups[key] = ErrorGroup(
                    code=problem.code,
                    column=problem.column,
                    expected=problem.expected,
                    fix=problem.fix,
                    count=0,
                    rows=[],
                    found=[],
                )
            group.count += 1
            if len(group.rows) < ERROR_SAMPLE_ROWS:
                group.rows.append(rejected.number)
            if len(group.found) < ERROR_SAMPLE_ROWS and problem.found not in group.found:
                group.found.append(problem.found)

    def largest_first(self) -> list[ErrorGroup]:
        """The groups, those that mend most rows first."""
        return sorted(self._groups.values(), key=lambda group: (-group.count, group.column, group.code))


def report_header(names: Sequence[str]) -> bytes:
    """The report's first line."""
    return _line([*names, *REPORT_COLUMNS])


def report_lines(rejected: Iterable[RejectedRow], columns: int) -> bytes:
    """A line for each rejected row. A row that could not be split has its original columns blank."""
    return b"".join(_report_line(row, columns) for row in rejected)


def is_report(names: Sequence[str]) -> bool:
    """Whether a file with these columns is a report of rejected rows."""
    return tuple(names[-len(REPORT_COLUMNS) :]) == REPORT_COLUMNS


def as_it_was(cell: str) -> str:
    """A cell of a report as its file had it."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def shown(cell: str) -> str:
    """A cell as a report repeats it."""
    return cell if len(cell) <= SHOWN_CHARACTERS_MAX else cell[:SHOWN_CHARACTERS_MAX] + "…"


def _report_line(row: RejectedRow, columns: int) -> bytes:
    original = list(row.cells[:columns]) + [""] * (columns - len(row.cells))
    added = [
        str(row.number),
        *(
            BETWEEN.join(dict.fromkeys(getattr(problem, part) for problem in row.problems))
            if part == "column"
            else BETWEEN.join(getattr(problem, part) for problem in row.problems)
            for part in ("column", "expected", "found", "fix")
        ),
    ]
    return _line([*original, *added])


def _line(cells: Iterable[str]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerow([_harmless(cell) for cell in cells])
    return out.getvalue().encode()


def _harmless(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell
