"""How a CSV file is written: encoding, delimiter, line end, header; detected from its beginning, or as its owner says.

Rule: detection is a suggestion that is shown, and every part of it can be overridden. What the bytes prove (UTF-8, a
byte order mark) is `encoding_sure`; the rest is the best guess of a fixed procedure, so the same file is always read
the same way. A few bad bytes in UTF-8 do not make a file something else. Quoting is RFC 4180's: `"` around a cell,
doubled inside it.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final, Literal

from charset_normalizer import from_bytes
from pydantic import BaseModel, ConfigDict

from segmentation.values import read_boolean, read_instant, read_number
from services.ingest.imports.errors_report import is_report
from services.ingest.imports.intake import Received
from services.ingest.imports.limits import FIELD_BYTES_MAX, HEADER_CHARACTERS_MAX, SAMPLE_BYTES, SAMPLE_ROWS_MAX

Delimiter = Literal[",", ";", "\t", "|"]
Encoding = Literal["utf-8", "cp1252", "latin-1", "cp1250", "cp1251", "cp932", "gb18030"]
DELIMITERS: Final[tuple[Delimiter, ...]] = (",", ";", "\t", "|")
WESTERN: Final[Encoding] = "cp1252"
"""Latin-1 as every program that says Latin-1 writes it: with the quotes, dashes and the euro sign of Windows."""
LEGACY: Final[tuple[Encoding, ...]] = ("cp1252", "cp1250", "cp1251", "cp932", "gb18030")
"""The encodings looked for in a file that is not UTF-8. A newline is one byte, and only a newline, in each."""
UTF_8_SHARE_MIN: Final = 0.5
"""Above this share of the lines that are not ASCII being UTF-8, all are meant to be: by chance hardly one is."""
CHAOS_SLACK: Final = 0.05
"""How much less legible the text may be as Western and still be taken for it."""

_STATED_DELIMITER: Final = re.compile(r"""("?)sep=([,;\t|])\1[\r\n]+""", re.IGNORECASE)
"""A first line by which Excel is told the delimiter; it shows the next line as row 1."""

csv.field_size_limit(FIELD_BYTES_MAX)


class Dialect(BaseModel):
    """How to read one file."""

    model_config = ConfigDict(frozen=True)

    encoding: Encoding
    encoding_sure: bool
    delimiter: Delimiter
    line_end: Literal["\n", "\r"]
    """The byte that ends a line; a carriage return before `\\n` belongs to it."""
    header: bool
    states_delimiter: bool = False
    """Whether its first line is none of its rows and only says the delimiter: `sep=;`."""
    is_report: bool = False
    """Whether it is a report of rejected rows, in which `'` stands before what a spreadsheet would run."""


class DialectChoice(BaseModel):
    """What the owner of a file says about it; None is left to detection."""

    model_config = ConfigDict(frozen=True)

    encoding: Encoding | None = None
    delimiter: Delimiter | None = None
    header: bool | None = None
    columns: frozenset[str] = frozenset()
    """Columns that the owner names: a first row that has one of them is a header, whatever else it holds."""


def detect_dialect(received: Received, choice: DialectChoice) -> Dialect:
    """The dialect of a file from its beginning, as far as its owner does not say."""
    encoding, sure = _encoding_of(received)
    if choice.encoding is not None:
        encoding, sure = choice.encoding, True
    line_end: Literal["\n", "\r"] = "\r" if b"\n" not in received.sample and b"\r" in received.sample else "\n"
    text = sample_text(received.sample, encoding, line_end)
    stated = _STATED_DELIMITER.match(text)
    if stated is not None:
        text = text[stated.end() :]
    delimiter = choice.delimiter or _delimiter_of(text, stated)
    rows = _rows(text, delimiter)
    header = choice.header if choice.header is not None else _has_header(rows, choice.columns)
    return Dialect(
        encoding=encoding,
        encoding_sure=sure,
        delimiter=delimiter,
        line_end=line_end,
        header=header,
        states_delimiter=stated is not None,
        is_report=header and bool(rows) and is_report(column_names(rows[0], header=True)),
    )


def sample_text(sample: bytes, encoding: Encoding, line_end: str) -> str:
    """The beginning of a file as whole lines of text."""
    if len(sample) >= SAMPLE_BYTES:
        cut = sample.rfind(line_end.encode())
        sample = sample[: cut + 1] if cut >= 0 else sample
    return codecs.decode(sample, encoding, "replace")


def column_names(first_row: Sequence[str], *, header: bool) -> list[str]:
    """A name for each column, no two alike: the header's, `column 3` where there is none, `email (2)` for a second.

    Cost: linear, however many are alike: the width of a row is anybody's.
    """
    names: dict[str, None] = {}
    repeats: dict[str, int] = {}
    for position, cell in enumerate(first_row, 1):
        written = cell.strip()[:HEADER_CHARACTERS_MAX] if header else ""
        base = written or f"column {position}"
        name, repeat = base, repeats.get(base, 1)
        while name in names:
            repeat += 1
            name = f"{base} ({repeat})"
        names[name], repeats[base] = None, repeat
    return list(names)


def _encoding_of(received: Received) -> tuple[Encoding, bool]:
    """The encoding of the stored bytes, and whether they prove it."""
    if received.is_utf8:
        return "utf-8", True
    lines = [line for line in received.sample.replace(b"\r", b"\n").split(b"\n") if not line.isascii()]
    if sum(map(_is_utf_8, lines)) > UTF_8_SHARE_MIN * len(lines):
        return "utf-8", False
    guesses = from_bytes(b"\n".join(lines), cp_isolation=list(LEGACY)) if lines else None
    best = guesses.best() if guesses is not None else None
    if guesses is None or best is None:
        return WESTERN, False
    for guess in guesses:
        if WESTERN in guess.could_be_from_charset and guess.chaos <= best.chaos + CHAOS_SLACK:
            return WESTERN, False
    return next((name for name in LEGACY if name == best.encoding), WESTERN), False


def _is_utf_8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _rows(text: str, delimiter: str) -> list[list[str]]:
    """The rows of a sample, without blank ones. A row that cannot be read ends it."""
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            if any(cell and not cell.isspace() for cell in row):
                rows.append(row)
            if len(rows) >= SAMPLE_ROWS_MAX:
                break
    except csv.Error:
        return rows
    return rows


def _delimiter_of(text: str, stated: re.Match[str] | None) -> Delimiter:
    """What the file itself says, else that under which most rows have the same number of cells, and more than one."""

    def score(delimiter: Delimiter) -> tuple[float, int]:
        widths = Counter(len(row) for row in _rows(text, delimiter))
        if not widths:
            return 0.0, 0
        width, rows = widths.most_common(1)[0]
        return (rows / widths.total() if width > 1 else 0.0), width

    return max(DELIMITERS, key=score) if stated is None else next(each for each in DELIMITERS if each == stated[2])


def _has_header(rows: list[list[str]], named: Collection[str]) -> bool:
    """Whether the first row names columns: one that the owner names too, or no cell that can only be a value."""
    if not rows:
        return True
    first = [cell.strip() for cell in rows[0]]
    return any(cell in named for cell in first) or not any(_is_value(cell) for cell in first)


def _is_value(cell: str) -> bool:
    """Whether a cell can only be a value, never the name of a column."""
    if read_number(cell) is not None or read_boolean(cell) is not None or read_instant(cell) is not None:
        return True
    return "@" in cell
