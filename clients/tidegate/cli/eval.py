"""`tidegate eval`: JSON Lines in, JSON Lines out, offline. One answer a line, in order, as soon as it is known.

Rule: an expression or attributes that are wrong are an answer (`errors`) and leave the exit code 0; only a line that is
no JSON makes it 1, after all other lines have been answered.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, BinaryIO

import orjson
import typer

from tidegate.evaluation import answer

UNREADABLE_EXIT = 1
LINES_NAMED_MAX = 10

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
        unreadable = answer_lines(sys.stdin.buffer, sys.stdout.buffer, explain)
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


def answer_lines(lines: BinaryIO, answers: BinaryIO, explained: bool) -> list[int]:
    """Answer every line that is not blank. Gives the numbers, from 1, of those that are not JSON."""
    unreadable: list[int] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            asked = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            unreadable.append(number)
            told: dict[str, object] = {"errors": [_not_json(str(error))]}
        else:
            told = answer(asked, explained)
        answers.write(orjson.dumps(told))
        answers.write(b"\n")
        answers.flush()
    return unreadable


def _not_json(reason: str) -> dict[str, object]:
    hint = "write one JSON object a line, in UTF-8"
    return {"code": "not_json", "message": f"this line is not JSON: {reason}", "hint": hint, "pointer": ""}
