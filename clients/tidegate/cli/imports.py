"""`tidegate import`: a CSV file into contacts, with a review where a person is there for it, and with progress.

Rule: the file is streamed, never held in memory; what is rejected is named with its row, and the repair file is written
beside the input. The service does the reading of the CSV.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from tidegate.cli import import_review
from tidegate.cli.connection import EXIT_REFUSED, AsJson, Key, Url, talk
from tidegate.cli.output import advise, complain, print_json, say
from tidegate.client import Tidegate
from tidegate.errors import NotReadyError, UnreachableError
from tidegate.responses import Import

app = typer.Typer(add_completion=False)

CHUNK_BYTES: Final = 256 * 1024
POLL_S: Final = 0.3
ENDED: Final = frozenset({"completed", "failed", "cancelled"})
CHECKED: Final = frozenset({"checked"})
NO_ROWS: Final = "the file has no row below its header, so nothing was written"
NO_ROWS_ADVICE: Final = "look at what makes the file; if its first row is a contact, put a header above it"


@app.command("import")
def import_csv(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False, readable=True)],
    id_column: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="The column that holds contact ids.")
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="COLUMN=ATTRIBUTE", help="Rename a column; COLUMN= leaves it out."),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="COLUMN=TYPE", help="text, number, boolean, instant, version or list."),
    ] = None,
    blank_removes: Annotated[
        bool, typer.Option("--blank-removes", help="A blank cell removes the attribute; by default it is kept.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without a review, also on a terminal.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Write a file that was written in the same way within the last day again.")
    ] = False,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Import contacts from a CSV file and wait until every row is accepted or rejected.

    On a terminal the columns, a dry run and the commit are reviewed first; elsewhere, and with --yes, it is written at
    once.
    """
    reviews = is_interactive() and not (yes or as_json)
    if id_column is None and not reviews:
        raise typer.BadParameter("name the column that holds contact ids", param_hint="--id")
    wanted = Wanted(file, id_column, mapping or [], types or [], blank_removes, again)
    if reviews:
        work = partial(_reviewed, wanted=wanted, dry_run=dry_run)
    else:
        work = partial(_tried if dry_run else _run, wanted=wanted, quiet=as_json)
    ended = talk(work, url, key)
    _tell(ended, file, url, key, as_json=as_json)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    file: Path
    id_column: str | None
    mapping: list[str]
    types: list[str]
    blank_removes: bool
    again: bool

    def params(self) -> dict[str, Any]:
        """As an upload that nobody reviews is told."""
        return {
            "id_column": self.id_column,
            "filename": _sendable(self.file.name),
            "blank": "remove" if self.blank_removes else "keep",
            "map": self.mapping or None,
            "type": self.types or None,
        }


def is_interactive() -> bool:
    """Whether a person is there to be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


async def _run(tidegate: Tidegate, wanted: Wanted, *, quiet: bool) -> Import:
    """Upload and write at once."""
    params = {"commit": "true", **wanted.params(), **({"again": "true"} if wanted.again else {})}
    started = await tidegate.start_import(_chunks(wanted.file), params=params)
    return await _written(tidegate, started, quiet=quiet)


async def _tried(tidegate: Tidegate, wanted: Wanted, *, quiet: bool) -> Import:
    """Upload as `_run` would, try that out, and cancel it."""
    uploaded = await tidegate.start_import(_chunks(wanted.file), params=wanted.params())
    try:
        return await _checked(tidegate, uploaded.id, quiet=quiet)
    finally:
        await tidegate.import_step(uploaded.id, "cancel")


async def _reviewed(tidegate: Tidegate, wanted: Wanted, *, dry_run: bool) -> Import:
    """Upload, let a person map and try out, and write if that is wanted; what is not written is cancelled."""
    uploaded = await tidegate.start_import(_chunks(wanted.file), params={"filename": _sendable(wanted.file.name)})
    written = False
    try:
        mapping = _decided(uploaded, wanted)
        import_review.ask_mapping(uploaded, mapping)
        import_review.show_preview(await tidegate.map_import(uploaded.id, mapping))
        checked = await _checked(tidegate, uploaded.id, quiet=False)
        if dry_run or checked.state not in CHECKED or not import_review.is_to_be_written(checked):
            return checked
        started = await tidegate.import_step(uploaded.id, "commit", again=wanted.again)
        written = True
        return await _written(tidegate, started, quiet=False)
    finally:
        if not written:
            await tidegate.import_step(uploaded.id, "cancel")


async def _written(tidegate: Tidegate, started: Import, *, quiet: bool) -> Import:
    """Wait until the rows are written. Whatever interrupts that, it is said that only the waiting ends."""
    try:
        return await follow_import(tidegate, started, quiet=quiet)
    except (asyncio.CancelledError, UnreachableError, NotReadyError):
        complain(f"the import {started.id} goes on without this command; the dashboard shows it, and can cancel it")
        raise


async def _checked(tidegate: Tidegate, import_id: str, *, quiet: bool) -> Import:
    """Read the whole file without writing, and show what came of it."""
    tried = await tidegate.import_step(import_id, "dry-run")
    checked = await follow_import(tidegate, tried, doing="checking", until=CHECKED, quiet=quiet)
    if checked.state in CHECKED and not quiet:
        import_review.show_dry_run(checked)
    return checked


def _decided(uploaded: Import, wanted: Wanted) -> import_review.Decided:
    try:
        mapping = import_review.suggested(uploaded, wanted.id_column, blank_removes=wanted.blank_removes)
        for text in wanted.mapping:
            import_review.rename(mapping, text)
        for text in wanted.types:
            import_review.retype(mapping, text)
    except import_review.MappingRefusedError as error:
        complain(str(error))
        raise typer.Exit(2) from error
    return mapping


def _tell(ended: Import, file: Path, url: str | None, key: str | None, *, as_json: bool) -> None:
    """How it ended; what was rejected is written beside the input. Errors: ends the command if not all is well."""
    told = ended.model_extra or {}
    if as_json:
        print_json(ended.model_dump(mode="json"))
    if ended.state in CHECKED:
        if not as_json:
            say("nothing was written")
        raise typer.Exit(EXIT_REFUSED if (told.get("dry_run") or {}).get("would_reject") else 0)
    if not as_json:
        _say_ended(ended, told.get("repeat_of"))
    if ended.state == "completed" and not ended.rows_read and told.get("repeat_of") is None:
        advise(NO_ROWS, [NO_ROWS_ADVICE])
    if problem := told.get("problem"):
        complain(str(problem["message"]), [str(problem["fix"])])
    if ended.rejected:
        _keep_report(ended, file, talk(lambda tidegate: tidegate.import_errors(ended.id), url, key))
    if ended.state != "completed" or ended.rejected:
        raise typer.Exit(EXIT_REFUSED)


def _say_ended(ended: Import, repeat_of: str | None) -> None:
    if repeat_of is None:
        say(f"{ended.state}: {ended.accepted:,} accepted, {ended.rejected:,} rejected of {ended.rows_read:,} rows")
    else:
        say(f"nothing was written: {repeat_of} wrote this file in the same way within the last day; --again repeats it")


def _keep_report(ended: Import, file: Path, report: str) -> None:
    """Write the rejected rows beside the input, in UTF-8 as they came. Where that cannot be, say where they are."""
    errors = file.with_suffix(".errors.csv")
    found = "1 row was rejected" if ended.rejected == 1 else f"{ended.rejected:,} rows were rejected"
    try:
        errors.write_bytes(report.encode())
    except OSError as error:
        where = f"they are kept with the import {ended.id}: GET /api/v2/imports/{ended.id}/errors.csv, or the dashboard"
        complain(f"{found}; {errors} cannot be written: {error.strerror}", [where])
    else:
        complain(f"{found}; what to repair is in {errors}")


async def follow_import(
    tidegate: Tidegate,
    started: Import,
    *,
    doing: str = "importing",
    until: frozenset[str] = frozenset(),
    quiet: bool = False,
) -> Import:
    """Show an import's progress until it ends, or is in a state of `until`."""
    columns = (TextColumn(doing), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[said]}"))
    errors = Console(stderr=True)
    with Progress(*columns, console=errors, disable=quiet or not errors.is_terminal, transient=True) as progress:
        task = progress.add_task("import", total=None, said=going_on(started))
        current = started
        while current.state not in ENDED | until:
            await asyncio.sleep(POLL_S)
            current = await tidegate.import_status(started.id)
            total, read = ((current.model_extra or {}).get(name) for name in ("bytes_total", "bytes_read"))
            progress.update(task, total=total or None, completed=read or 0, said=going_on(current))
    return current


def going_on(import_: Import) -> str:
    """How far an import is beside its bar, which shows bytes: how many rows there are is known when all are read."""
    told = import_.model_extra or {}
    rate, left, waiting = told.get("rate_rows_per_s"), told.get("eta_s"), told.get("waiting")
    return ", ".join(
        (
            f"{import_.rows_read:,} rows",
            f"{import_.rejected:,} rejected",
            *([f"{rate:,} a second"] if rate else []),
            *([f"{timedelta(seconds=round(left))} left"] if left is not None else []),
            *([f"waiting {waiting}"] if waiting else []),
        )
    )


def _sendable(name: str) -> str:
    """A file's name as text: one that is no UTF-8 is shown with what stands for the rest."""
    return name.encode(errors="replace").decode()


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            yield chunk
