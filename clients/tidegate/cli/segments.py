"""`tidegate segments`: list, create, edit, show, pause, resume, delete, preview.

Rule: an expression is given as text, or as JSON when it begins with `{` or `[`; the service reads it, and its errors
are shown where they are in the text. An edit names the version that it replaces.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Any, cast

import typer

from schemas.limits import EXPRESSION_DEPTH_MAX
from schemas.strict_json import JsonRefusedError, load_strictly
from tidegate.cli.connection import AsJson, Key, Url, an_id, talk
from tidegate.cli.instants import date_time
from tidegate.cli.output import advise, complain, print_json, print_table, say
from tidegate.client import Tidegate
from tidegate.definition import SegmentDefinition, Where
from tidegate.responses import Segment

app = typer.Typer(help="Define segments, and see who is in them.", no_args_is_help=True, add_completion=False)

SHOWN = ("id", "name", "version", "state", "members", "text", "english", "where")
SegmentId = Annotated[str, typer.Argument(metavar="SEGMENT", parser=an_id, help="The segment's id.")]
Expression = Annotated[
    str, typer.Argument(metavar="EXPRESSION", help='Text (`plan is Pro AND ...`) or JSON (`[{"plan": "pro"}]`).')
]
Name = Annotated[str | None, typer.Option("--name", help="A name for people.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1_000, help="How many to show.")]


@app.command("list")
def list_segments(url: Url = None, key: Key = None, as_json: AsJson = False) -> None:
    """List the segments with their live counts."""
    segments = talk(Tidegate.segments, url, key)
    if as_json:
        print_json([segment.model_dump(mode="json") for segment in segments])
        return
    rows = [(segment.id, segment.members, _state(segment), segment.text) for segment in segments]
    print_table(("segment", "members", "state", "expression"), rows, numbers=(1,))


@app.command()
def create(
    segment_id: SegmentId,
    expression: Expression,
    name: Name = None,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Create a segment; every contact is evaluated against it."""
    definition = SegmentDefinition(segment_id, _where(expression), name)
    _show_saved(talk(lambda tidegate: tidegate.create_segment(definition), url, key, expression), as_json=as_json)


@app.command()
def edit(
    segment_id: SegmentId,
    expression: Expression,
    name: Name = None,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Replace a segment's expression; only the difference enters and exits."""

    async def replace(tidegate: Tidegate) -> Segment:
        current = await tidegate.segment(segment_id)
        definition = SegmentDefinition(segment_id, _where(expression), name or current.name or None)
        return await tidegate.replace_segment(definition, etag=current.etag)

    _show_saved(talk(replace, url, key, expression), as_json=as_json)


@app.command()
def show(segment_id: SegmentId, limit: Limit = 10, url: Url = None, key: Key = None, as_json: AsJson = False) -> None:
    """Show a segment: its expression in every form, its count and its first members."""

    async def read(tidegate: Tidegate) -> dict[str, Any]:
        segment = await tidegate.segment(segment_id)
        members = await tidegate.members(segment_id, limit=limit)
        return {**segment.model_dump(mode="json"), "first_members": members.model_dump(mode="json")["members"]}

    shown = talk(read, url, key)
    if as_json:
        print_json(shown)
        return
    rows = [(name, shown.get(name)) for name in SHOWN]
    print_table(("", ""), [row for row in rows if row[1] not in (None, "")])
    members = [
        (each["contact_id"], date_time(datetime.fromisoformat(each["since"]))) for each in shown["first_members"]
    ]
    print_table(("member", "since"), members)


@app.command()
def delete(segment_id: SegmentId, url: Url = None, key: Key = None) -> None:
    """Delete a segment; its members exit."""

    async def remove(tidegate: Tidegate) -> None:
        current = await tidegate.segment(segment_id)
        await tidegate.delete_segment(segment_id, etag=current.etag)

    talk(remove, url, key)
    say(f"deleted {segment_id}")


@app.command()
def pause(segment_id: SegmentId, url: Url = None, key: Key = None, as_json: AsJson = False) -> None:
    """Pause a segment: its members stay as they are, and nothing enters or exits."""
    _show_state(talk(partial(_set_state, segment_id, "paused"), url, key), as_json=as_json)


@app.command()
def resume(segment_id: SegmentId, url: Url = None, key: Key = None, as_json: AsJson = False) -> None:
    """Resume a paused segment: what should have entered and exited meanwhile does so now."""
    _show_state(talk(partial(_set_state, segment_id, "active"), url, key), as_json=as_json)


@app.command()
def preview(expression: Expression, url: Url = None, key: Key = None, as_json: AsJson = False) -> None:
    """Say how many contacts an expression matches now, without saving it."""
    found = talk(lambda tidegate: tidegate.preview(_where(expression)), url, key, expression)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    say(f"{found.matched:,} of {found.total:,} contacts match")
    if found.sample:
        say(f"for example {', '.join(found.sample)}")


async def _set_state(segment_id: str, state: str, tidegate: Tidegate) -> Segment:
    current = await tidegate.segment(segment_id)
    if current.state == state:
        return current
    return await tidegate.set_segment_state(segment_id, state, etag=current.etag)


def _show_state(segment: Segment, *, as_json: bool) -> None:
    if as_json:
        print_json(segment.model_dump(mode="json"))
        return
    say(f"{segment.id} version {segment.version} is {segment.state}")


def _where(expression: str) -> Where:
    """The expression as the API takes it: JSON when it looks like it, text otherwise."""
    if not expression.lstrip().startswith(("{", "[")):
        return expression
    try:
        return cast("Where", load_strictly(expression.encode(), EXPRESSION_DEPTH_MAX))
    except JsonRefusedError as refused:
        complain(f"the expression looks like JSON and cannot be used: {refused.message}")
        raise typer.Exit(2) from refused


def _show_saved(segment: Segment, *, as_json: bool) -> None:
    if as_json:
        print_json(segment.model_dump(mode="json"))
        return
    say(f"{segment.id} version {segment.version}: {segment.text}")
    if segment.english:
        say(segment.english)
    for found in (segment.model_extra or {}).get("advice") or ():
        advise(found["message"], [f"hint: {found['hint']}"] if found.get("hint") else [])


def _state(segment: Segment) -> str:
    extra = segment.model_extra or {}
    if segment.state == "active" and extra.get("settling"):
        return f"settling {extra.get('settled_percent', 0):.0f} %"
    return segment.state
