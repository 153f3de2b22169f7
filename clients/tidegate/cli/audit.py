"""`tidegate audit`: who changed which key, segment, attribute, dead letter or webhook, and from what to what."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import orjson
import typer

from tidegate.cli.connection import AsJson, Key, Url, talk
from tidegate.cli.instants import date_time
from tidegate.cli.output import print_json, print_table
from tidegate.responses import AuditEntry

app = typer.Typer(add_completion=False)

KINDS: Final = ("key", "segment", "attribute", "dead_letter", "webhook")
ENTRIES: Final = 50
ENTRIES_MAX: Final = 1_000

Limit = Annotated[int, typer.Option("--limit", min=1, max=ENTRIES_MAX, help="How many of the newest.")]


@app.command()
def audit(
    kind: Annotated[str | None, typer.Option("--kind", help=f"Only one of {', '.join(KINDS)}.")] = None,
    limit: Limit = ENTRIES,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, newest first; needs the scope admin."""
    show(kind, limit, url, key, as_json)


def show(kind: str | None, limit: int, url: str | None, key: str | None, as_json: bool) -> None:
    """Print entries of one kind, or of all."""
    page = talk(lambda tidegate: tidegate.audit(kind=kind, limit=limit), url, key)
    if as_json:
        print_json([entry.model_dump(mode="json", by_alias=True) for entry in page.entries])
        return
    headers = ("at", "by", "action", "subject", "from", "to")
    print_table(headers, [_row(entry) for entry in page.entries])


def _row(entry: AuditEntry) -> tuple[object, ...]:
    by = f"{entry.by.key_name} ({entry.by.key_id})" if entry.by.key_id is not None else entry.by.key_name
    before, after = _changed(entry.before, entry.after)
    return date_time(datetime.fromisoformat(entry.at)), by, entry.action, entry.subject, before, after


def _changed(before: dict[str, object] | None, after: dict[str, object] | None) -> tuple[str, str]:
    """What differs, on both sides; all of a side that has no other."""
    if before is not None and after is not None:
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        before = {name: before.get(name) for name in names}
        after = {name: after.get(name) for name in names}
    return _text(before), _text(after)


def _text(side: dict[str, object] | None) -> str:
    return "-" if side is None else orjson.dumps(side).decode()
