"""`tidegate import`: a CSV file into contacts, with progress.

Rule: the file is streamed, never held in memory; what is rejected is named with its row, and the repair file is written
beside the input. The service does the reading of the CSV.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tidegate.cli.connection import EXIT_REFUSED, AsJson, Key, Url, talk
from tidegate.cli.output import complain, print_json, say
from tidegate.client import Tidegate
from tidegate.responses import Import

app = typer.Typer(add_completion=False)

CHUNK_BYTES: Final = 256 * 1024
POLL_S: Final = 0.3
ENDED: Final = frozenset({"completed", "failed", "cancelled"})


@app.command("import")
def import_csv(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False, readable=True)],
    id_column: Annotated[str, typer.Option("--id", metavar="COLUMN", help="The column that holds contact ids.")],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="COLUMN=ATTRIBUTE", help="Rename a column; COLUMN= leaves it out."),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="COLUMN=TYPE", help="text, number, boolean, instant or list."),
    ] = None,
    blank_removes: Annotated[
        bool, typer.Option("--blank-removes", help="A blank cell removes the attribute; by default it is kept.")
    ] = False,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Import contacts from a CSV file and wait until every row is accepted or rejected."""
    params: dict[str, Any] = {
        "commit": "true",
        "id_column": id_column,
        "filename": file.name,
        "blank": "remove" if blank_removes else "keep",
        "map": mapping or None,
        "type": types or None,
    }
    ended = talk(lambda tidegate: _run(tidegate, file, params, quiet=as_json), url, key)
    if as_json:
        print_json(ended.model_dump(mode="json"))
    else:
        say(f"{ended.state}: {ended.accepted:,} accepted, {ended.rejected:,} rejected of {ended.rows_read:,} rows")
    if ended.rejected:
        errors = file.with_suffix(".errors.csv")
        errors.write_text(talk(lambda tidegate: tidegate.import_errors(ended.id), url, key))
        complain(f"{ended.rejected:,} rows were rejected; what to repair is in {errors}")
    if ended.state != "completed" or ended.rejected:
        raise typer.Exit(EXIT_REFUSED)


async def _run(tidegate: Tidegate, file: Path, params: dict[str, Any], *, quiet: bool) -> Import:
    started = await tidegate.start_import(_chunks(file), params=params)
    return await follow_import(tidegate, started, quiet=quiet)


async def follow_import(tidegate: Tidegate, started: Import, *, quiet: bool = False) -> Import:
    """Show an import's progress until it ends."""
    columns = (
        TextColumn("importing"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]} rows, {task.fields[rejected]} rejected"),
        TimeRemainingColumn(),
    )
    errors = Console(stderr=True)
    with Progress(*columns, console=errors, disable=quiet or not errors.is_terminal, transient=True) as progress:
        task = progress.add_task("import", total=None, rows="0", rejected="0")
        current = started
        while current.state not in ENDED:
            await asyncio.sleep(POLL_S)
            current = await tidegate.import_status(started.id)
            progress.update(
                task,
                total=current.rows_total,
                completed=current.rows_read,
                rows=f"{current.rows_read:,}",
                rejected=f"{current.rejected:,}",
            )
    return current


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            yield chunk
