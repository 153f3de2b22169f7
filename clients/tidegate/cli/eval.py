"""`tidegate eval`: JSON Lines in, JSON Lines out, offline. One answer a line, in order, as soon as it is known.

Rule: an expression or attributes that are wrong are an answer (`errors`) and leave the exit code 0, a key that stands
twice in an object and objects beyond all depth too; only a line that is no JSON makes it 1, after all other lines.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Protocol, cast

import orjson
import typer

from schemas.limits import EXPRESSION_DEPTH_MAX
from schemas.strict_json import DUPLICATE_KEY, INVALID_JSON, TOO_DEEP, JsonRefusedError, load_strictly
from tidegate.evaluation import answer

UNREADABLE_EXIT = 1
CHUNK_BYTES = 64 * 1024
LINES_NAMED_MAX = 10
NOT_JSON = "not_json"
_HINTS = {
    INVALID_JSON: "write one JSON object a line, in UTF-8",
    DUPLICATE_KEY: "name each key once; what is asked of one attribute stands in one object",
    TOO_DEEP: "leave out the groups and objects that change nothing",
}


class Source(Protocol):
    """A byte stream that can give what has arrived, without waiting for more."""

    def read1(self, size: int, /) -> bytes:
        """At most `size` bytes, by at most one read; none at the end."""
        ...


app = typer.Typer(add_completion=False)


@app.command("eval")
def evaluate(
    source: Annotated[str, typer.Argument(metavar="[FILE]", help="JSON Lines; - is standard input.")] = "-",
    explain: Annotated[bool, typer.Option("--explain", help="Add the truth tree, flips and until when.")] = False,
) -> None:
    """Evaluate expressions against attributes, offline.

    A line: {"where": text or JSON, "attributes": {...}, "now": epoch ms or RFC 3339, "segments": {id: where}}
    """
    if source == "-":
        # The type of standard input leaves out what every buffered reader has.
        unreadable = answer_lines(cast("Source", sys.stdin.buffer), sys.stdout.buffer, explain)
    else:
        path = Path(source)
        if not path.is_file():
            raise typer.BadParameter(f"there is no file {source}; give a file of JSON Lines, or - for standard input")
        with path.open("rb") as lines:
            unreadable = answer_lines(lines, sys.stdout.buffer, explain)
    if unreadable:
        shown = ", ".join(map(str, unreadable[:LINES_NAMED_MAX]))
        typer.echo(f"not JSON: {len(unreadable)} of the lines (number {shown}); all others were answered", err=True)
        raise typer.Exit(UNREADABLE_EXIT)


def answer_lines(source: Source, answers: BinaryIO, explained: bool) -> list[int]:
    """Answer every line that is not blank. Gives the numbers, from 1, of those that are not JSON."""
    unreadable: list[int] = []
    number = 0
    for lines in _arriving(source):
        told: list[bytes] = []
        for line in lines:
            number += 1
            if line.strip():
                told.append(_answered(line, explained, number, unreadable))
        answers.write(b"".join(told))
        answers.flush()
    return unreadable


def _arriving(source: Source) -> Iterator[list[bytes]]:
    """The lines, as many at a time as have arrived, so that a caller who waits for each answer gets it."""
    begun: list[bytes] = []
    while chunk := source.read1(CHUNK_BYTES):
        first, *others = chunk.split(b"\n")
        begun.append(first)
        if others:
            yield [b"".join(begun), *others[:-1]]
            begun = [others[-1]]
    yield [b"".join(begun)]


def _answered(line: bytes, explained: bool, number: int, unreadable: list[int]) -> bytes:
    try:
        told = answer(load_strictly(line, EXPRESSION_DEPTH_MAX), explained)
    except JsonRefusedError as refused:
        told = {"errors": [_refused(refused)]}
        if refused.code == INVALID_JSON:
            unreadable.append(number)
    return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


def _refused(refused: JsonRefusedError) -> dict[str, object]:
    code = NOT_JSON if refused.code == INVALID_JSON else refused.code
    return {"code": code, "message": refused.message, "hint": _HINTS[refused.code], "pointer": ""}
