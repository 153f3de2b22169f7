"""`tidegate tail`: membership changes as they happen, one a line.

Rule: nothing is shown twice and nothing in between is left out: after a broken connection the stream goes on behind the
last change shown.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import Annotated, Any, Final

import typer

from tidegate.cli.connection import EXIT_INTERRUPTED, AsJson, Key, Url, an_id, fail, service_key, service_url
from tidegate.cli.instants import clock_time
from tidegate.cli.output import STYLES, complain, print_json, print_line, print_row
from tidegate.client import Tidegate
from tidegate.errors import NotReadyError, TidegateError, UnreachableError

app = typer.Typer(add_completion=False)

RECONNECT_S: Final = 1.0
SEGMENT_WIDTH: Final = 24


@app.command()
def tail(
    segment_id: Annotated[
        str | None, typer.Argument(metavar="[SEGMENT]", parser=an_id, help="Only this segment.")
    ] = None,
    count: Annotated[int | None, typer.Option("--count", min=1, help="Stop after this many changes.")] = None,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show who enters and leaves segments, live, until Ctrl-C."""
    try:
        asyncio.run(_follow(segment_id, count, url, key, as_json=as_json))
    except TidegateError as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


async def _follow(
    segment_id: str | None, count: int | None, url: str | None, key: str | None, *, as_json: bool
) -> None:
    """Print changes; connect again when the connection breaks, but not when the first one cannot be made.

    Errors: raises NotFoundError for a segment that there is not, whose changes would be waited for in silence.
    """
    shown, last_id = 0, None
    async with Tidegate(service_url(url), key=service_key(key)) as tidegate:
        if segment_id is not None:
            await tidegate.segment(segment_id)
        while True:
            try:
                async with aclosing(tidegate.events(segment_id=segment_id, last_id=last_id)) as events:
                    async for event in events:
                        last_id = event.id or last_id
                        if event.name != "change":
                            continue
                        print_change(event.data, as_json=as_json)
                        shown += 1
                        if shown == count:
                            return
            except (UnreachableError, NotReadyError) as error:
                if last_id is None:
                    raise
                complain(f"{error}; going on when it answers")
            await asyncio.sleep(RECONNECT_S)


def print_change(change: dict[str, Any], *, as_json: bool = False) -> None:
    """One change in one line: in columns for a person, with tabs between them and its cause for a program."""
    kind = str(change["change"])
    if as_json or not sys.stdout.isatty():
        if as_json:
            print_json(change)
        else:
            at, segment, contact = clock_time(change["at_ms"]), change["segment_id"], change["contact_id"]
            print_row((at, kind, segment, contact, change["cause"]))
        sys.stdout.flush()  # a pipe would hold changes back until it is full
        return
    print_line(
        (f"{clock_time(change['at_ms'])}  ", "dim"),
        (f"{kind:<5}  ", STYLES.get(kind, "")),
        (f"{change['segment_id']:<{SEGMENT_WIDTH}}  ", ""),
        (change["contact_id"], "bold"),
        ("  (time)" if change["cause"] == "time" else "", "dim"),
    )
