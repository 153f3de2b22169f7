"""What the text of one cell becomes as an attribute's value, by the type of its column; and which type a column looks.

Rule: nothing is lost without being asked for: a cell is written as a number only when the number says all that the text
said or its owner declared the column so. The one exception are the zeros behind the last decimal, in a column that
writes as many decimals everywhere, as prices do. Text is always a right answer, because the literal of a condition
decides how a value is read. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from segmentation.attributes import AttributeType
from segmentation.model import Value
from segmentation.values import read_boolean, read_instant, read_number, version_key

INTEGER_MAX: Final = 2**53
"""Beyond it a 64-bit float no longer tells neighbouring integers apart."""
DIGITS_MAX: Final = 15
"""A number of more significant digits may not survive as a 64-bit float."""
_WORDS: Final = {"yes": True, "y": True, "1": True, "t": True, "no": False, "n": False, "0": False, "f": False}
_LEADING_ZERO: Final = re.compile(r"[+-]?0[0-9]")
_WRITTEN_INSTANT: Final = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}([Tt ].*)?")
_DOTTED_VERSION: Final = re.compile(r"[vV]?[0-9]+\.[0-9]+\.[0-9]+.*")

Reading = Callable[[str], Value | None]


class Suggestion(NamedTuple):
    """The type that a column looks like, and why."""

    type: AttributeType
    reason: str


EXPECTED: Final[dict[AttributeType, tuple[str, str]]] = {
    AttributeType.TEXT: ("text", "correct the cell"),
    AttributeType.NUMBER: ("a number such as 1200 or 9.5", "correct the cell, or map the column as text"),
    AttributeType.BOOLEAN: ("true or false", "write true or false, or map the column as text"),
    AttributeType.INSTANT: (
        "a date such as 2026-05-01 or 2026-05-01T09:30:00Z",
        "write the date as year-month-day, or map the column as text",
    ),
    AttributeType.VERSION: ("a version such as 2.10.1", "correct the cell, or map the column as text"),
    AttributeType.LIST: ("a list of texts", "correct the cell, or map the column as text"),
}
"""What a cell of each type must hold, and how to repair one that does not."""


def reading(column_type: AttributeType, separator: str, *, declared: bool = True) -> Reading:
    """How cells of a column are read. The reading gives None for a cell that is not of its type.

    Of a type that was only detected is a cell that loses nothing by it.
    """
    if column_type is AttributeType.LIST:
        return lambda cell: [part.strip() for part in cell.split(separator) if part.strip()]
    return (_READINGS if declared else _CAREFUL_READINGS)[column_type]


def suggest_type(cells: Sequence[str], *, named_version: bool = False) -> Suggestion:
    """The type that the cells of a sample have in common. Blank cells say nothing.

    `named_version`: the column is called a version, so 2.10 is one, and no number.
    """
    filled = [cell.strip() for cell in cells if cell.strip()]
    if not filled:
        return Suggestion(AttributeType.TEXT, "every cell of the sample is blank")
    if any(_LEADING_ZERO.match(cell) for cell in filled):
        return Suggestion(AttributeType.TEXT, "leading zeros would be lost in a number")
    if named_version and all(version_key(cell) is not None for cell in filled):
        return Suggestion(AttributeType.VERSION, "named a version, and every cell of the sample is one")
    if all(read_number(cell) is not None for cell in filled):
        return _suggest_number(filled)
    if all(read_boolean(cell) is not None for cell in filled):
        return Suggestion(AttributeType.BOOLEAN, "every cell of the sample is true or false")
    if all(_WRITTEN_INSTANT.fullmatch(cell) and read_instant(cell) is not None for cell in filled):
        return Suggestion(AttributeType.INSTANT, "every cell of the sample is a date or an instant")
    if all(_DOTTED_VERSION.fullmatch(cell) and version_key(cell) is not None for cell in filled):
        return Suggestion(AttributeType.VERSION, "every cell of the sample is a version")
    return Suggestion(AttributeType.TEXT, "the cells have no narrower type in common")


def _suggest_number(cells: Sequence[str]) -> Suggestion:
    """Number for numbers that say all that was written, else text."""
    if any(_digits(cell) > DIGITS_MAX for cell in cells):
        return Suggestion(AttributeType.TEXT, f"more than {DIGITS_MAX} digits would be lost in a number")
    if not all(_says_all(cell, float(cell)) for cell in cells):
        return Suggestion(AttributeType.TEXT, "an exponent, or the sign of a zero, would be lost in a number")
    decimals = {len(cell.partition(".")[2]) for cell in cells}
    if len(decimals) > 1 and any("." in cell and cell.endswith("0") for cell in cells):
        return Suggestion(AttributeType.TEXT, "zeros at the end, as in 2.10 beside 2.9, would be lost in a number")
    return Suggestion(AttributeType.NUMBER, "every cell of the sample is a number")


def _digits(cell: str) -> int:
    """Significant digits as written, without an exponent."""
    mantissa = cell.lower().partition("e")[0]
    return len(mantissa.lstrip("-0.").replace(".", ""))


def _says_all(written: str, number: float) -> bool:
    """Whether a number has every digit that was written. Zeros behind the last decimal are none."""
    if "e" in written or "E" in written or (number == 0 and written.startswith("-")):
        return False
    return Decimal(repr(number)) == Decimal(written)


def _as_text(cell: str) -> Value | None:
    return cell


def _as_number(cell: str) -> Value | None:
    written = cell.strip()
    number = read_number(written)
    if number is None:
        return None
    if written.lstrip("-").isdigit():
        integer = int(written)
        return integer if -INTEGER_MAX <= integer <= INTEGER_MAX else None
    return number


def _as_detected_number(cell: str) -> Value | None:
    value = _as_number(cell)
    if isinstance(value, int | float) and _says_all(cell.strip(), value):
        return value
    return None


def _as_boolean(cell: str) -> Value | None:
    written = cell.strip().lower()
    truth = read_boolean(written)
    return _WORDS.get(written) if truth is None else truth


def _as_detected_boolean(cell: str) -> Value | None:
    return read_boolean(cell.strip())


def _as_instant(cell: str) -> Value | None:
    written = cell.strip()
    return written if read_instant(written) is not None else None


def _as_version(cell: str) -> Value | None:
    written = cell.strip()
    return written if version_key(written) is not None else None


_READINGS: Final[dict[AttributeType, Reading]] = {
    AttributeType.TEXT: _as_text,
    AttributeType.NUMBER: _as_number,
    AttributeType.BOOLEAN: _as_boolean,
    AttributeType.INSTANT: _as_instant,
    AttributeType.VERSION: _as_version,
}
_CAREFUL_READINGS: Final[dict[AttributeType, Reading]] = {
    **_READINGS,
    AttributeType.NUMBER: _as_detected_number,
    AttributeType.BOOLEAN: _as_detected_boolean,
}
