"""What the command line prints: results on standard output, complaints on standard error.

Rule: colour and width only on a terminal; elsewhere plain lines with tabs between columns, never wrapped or cut, so
that a script may split them. `--json` prints what the API answered. What others wrote is printed as text, never as
markup, and its control characters are made visible.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

SHOWN_MISSING: Final = "-"
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
STYLES: Final = {"enter": "green", "exit": "red"}


def console() -> Console:
    """Where results go."""
    return Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as JSON: indented on a terminal, one line elsewhere.

    It is UTF-8 whatever standard output is in: what only another encoding could write is escaped.
    """
    option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    text = orjson.dumps(value, option=option).decode()
    is_utf_8 = codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"
    sys.stdout.write((text if is_utf_8 else _NOT_ASCII.sub(_escaped, text)) + "\n")


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()) -> None:
    """Print rows under headers; the columns in `numbers` are right-aligned. Off a terminal: tabs, without headers."""
    if not sys.stdout.isatty():
        for row in rows:
            print_row(row)
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    for index, header in enumerate(headers):
        table.add_column(header, justify="right" if index in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    Console(file=sys.stdout, highlight=False).print(table)


def print_row(cells: Sequence[object]) -> None:
    """Print one row for a program: tabs between the columns."""
    sys.stdout.write("\t".join(plain(cell) for cell in cells) + "\n")


def print_line(*parts: tuple[object, str]) -> None:
    """Print one line of (text, style) parts; styles show on a terminal only."""
    line = Text()
    for text, style in parts:
        line.append(plain(text), style=style)
    console().print(line)


def say(text: str) -> None:
    """Print a short confirmation."""
    print_line((text, ""))


def complain(message: str, details: Sequence[str] = ()) -> None:
    """Print what went wrong, and each detail under it, on standard error."""
    _tell("error: ", "bold red", message, details)


def advise(message: str, details: Sequence[str] = ()) -> None:
    """Print what was done and is probably not meant, on standard error too: results stay what they are."""
    _tell("note: ", "bold yellow", message, details)


def _tell(what: str, style: str, message: str, details: Sequence[str]) -> None:
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    line = Text()
    line.append(what, style=style)
    line.append(plain(message))
    errors.print(line)
    for detail in details:
        errors.print(Text(f"  {plain(detail)}"))


def plain(value: object) -> str:
    """A value as printable text: numbers grouped, None as a dash, control characters visible."""
    if value is None:
        return SHOWN_MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}"
    text = value if isinstance(value, str) else _json(value)
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _escaped(found: re.Match[str]) -> str:
    """Text in a JSON string as that string may also hold it."""
    return json.dumps(found[0])[1:-1]


def _json(value: object) -> str:
    return orjson.dumps(value, default=str).decode()
