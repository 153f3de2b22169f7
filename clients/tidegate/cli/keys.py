"""`tidegate keys`: create, list, revoke, audit. Rule: a secret is printed once, when its key is made, never again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from tidegate.cli.audit import ENTRIES, Limit, show
from tidegate.cli.connection import AsJson, Key, Url, an_id, talk
from tidegate.cli.instants import date_time, instant_of
from tidegate.cli.output import print_json, print_table, say
from tidegate.client import Tidegate

app = typer.Typer(help="Manage API keys; needs the scope admin.", no_args_is_help=True, add_completion=False)

SCOPES: Final = ("contacts:write", "contacts:read", "segments:write", "segments:read", "imports:write", "admin")


def _moment(text: str) -> datetime:
    return datetime.fromtimestamp(instant_of(text) / 1000, UTC)


@app.command("list")
def list_keys(url: Url = None, key: Key = None, as_json: AsJson = False) -> None:
    """List the keys, without their secrets."""
    keys = talk(Tidegate.keys, url, key)
    if as_json:
        print_json([entry.model_dump(mode="json", exclude_none=True) for entry in keys])
        return
    rows = [
        (entry.id, entry.name, " ".join(entry.scopes), date_time(entry.expires_at) if entry.expires_at else "never")
        for entry in keys
    ]
    print_table(("id", "name", "scopes", "expires"), rows)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scopes: Annotated[list[str], typer.Option("--scope", help=f"One of {', '.join(SCOPES)}; may be repeated.")],
    expires: Annotated[
        datetime | None,
        typer.Option("--expires", parser=_moment, metavar="INSTANT", help="Refused from then on. Default: never."),
    ] = None,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print its secret, once."""
    made = talk(lambda tidegate: tidegate.create_key(name, scopes, expires_at=expires), url, key)
    if as_json:
        print_json(made.model_dump(mode="json", exclude_none=True))
        return
    say(f"{made.key}")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", parser=an_id, help="The key's id, from `tidegate keys list`.")],
    url: Url = None,
    key: Key = None,
) -> None:
    """Refuse a key from now on."""
    talk(lambda tidegate: tidegate.revoke_key(key_id), url, key)
    say(f"revoked {key_id}")


@app.command()
def audit(limit: Limit = ENTRIES, url: Url = None, key: Key = None, as_json: AsJson = False) -> None:
    """Show who made and revoked which keys, newest first."""
    show("key", limit, url, key, as_json)
