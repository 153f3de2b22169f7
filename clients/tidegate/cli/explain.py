"""`tidegate explain CONTACT SEGMENT`: why a contact is in a segment or not, test by test, and until when.

Rule: shows what the service decided, with the values it read; nothing is evaluated here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

import orjson
import typer

from tidegate.cli.connection import AsJson, Key, Url, an_id, talk
from tidegate.cli.instants import date_time
from tidegate.cli.output import print_json, print_line

app = typer.Typer(add_completion=False)

MARKS: Final = {True: ("✓", "green"), False: ("✗", "red")}
GROUPS: Final = {"all": "all of", "any": "any of", "not": "not"}
INDENT: Final = "  "


@app.command()
def explain(
    contact_id: Annotated[str, typer.Argument(metavar="CONTACT", parser=an_id)],
    segment_id: Annotated[str, typer.Argument(metavar="SEGMENT", parser=an_id)],
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show why a contact is in a segment or not, what each test read, and until when it stays so."""
    explained = talk(lambda tidegate: tidegate.explain(contact_id, segment_id), url, key)
    if as_json:
        print_json(explained)
        return
    member = bool(explained.get("member", explained["holds"]))
    mark, style = MARKS[member]
    print_line((f"{mark} ", style), (f"{contact_id} is {'in' if member else 'not in'} {segment_id}", "bold"))
    if explained.get("since_ms") is not None:
        print_line((f"{INDENT}since {date_time(explained['since_ms'])}", ""))
    print_line((f"{INDENT}until {_ends(explained)}", ""))
    if explained.get("tree"):
        for depth, mark, style, text, note in tree_lines(explained["tree"]):
            print_line((f"{INDENT * (depth + 1)}{mark} ", style), (text, ""), (f"   {note}" if note else "", "dim"))


def _ends(explained: dict[str, Any]) -> str:
    """When the membership could change. `until_ms` is the condition's, which a paused segment does not follow."""
    if explained.get("state") == "paused":
        return "the segment is resumed: it is paused"
    until = explained.get("until_ms")
    return date_time(until) if until else "something is written: time changes nothing"


def tree_lines(node: dict[str, Any], depth: int = 0) -> Iterator[tuple[int, str, str, str, str]]:
    """The truth tree as lines. Shape: depth, mark, style, text, note; what would flip a test is a line under it."""
    mark, style = MARKS[bool(node["holds"])]
    kind = node["kind"]
    if kind == "condition":
        yield depth, mark, style, node["condition"], _value(node)
        for flip in node.get("flips") or ():
            yield depth + 1, "→", "yellow", flip["says"], ""
        return
    if kind == "segment":
        yield depth, mark, style, f"in segment {node['segment_id']}", ""
        return
    yield depth, mark, style, GROUPS[kind], ""
    for child in node["children"]:
        yield from tree_lines(child, depth + 1)


def _value(node: dict[str, Any]) -> str:
    """What a test read, and until when time leaves it so."""
    if node["state"] == "missing":
        found = f"{node['attribute']} is missing"
    else:
        found = f"{node['attribute']} = {orjson.dumps(node['value']).decode()}"
        if node["state"] == "unreadable":
            found += f", which is no {node['reading']}"
    until = node.get("until_ms")
    return f"{found}, until {date_time(until)}" if until else found
