"""`tidegate contacts`: set attributes, look one up, erase one.

Rule: `name=value` reads the value as JSON when it is JSON (numbers, true, null, lists), as text otherwise; `null`
removes the attribute. A number that would be rounded is text, in a list too, as it is in an import and in the
dashboard: an order's number of 20 digits is no quantity.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any

import orjson
import typer

from schemas.strict_json import INVALID_JSON, JsonRefusedError, load_strictly
from tidegate.cli.connection import AsJson, Key, Url, an_id, talk
from tidegate.cli.instants import date_time
from tidegate.cli.output import complain, print_json, print_table, say

app = typer.Typer(help="Write and read contacts.", no_args_is_help=True, add_completion=False)

ContactId = Annotated[str, typer.Argument(metavar="CONTACT", parser=an_id, help="The contact's id.")]
Assignments = Annotated[
    list[str],
    typer.Argument(metavar="NAME=VALUE...", help="For example plan=pro mrr=120 phone=null; text: zip='\"12345\"'."),
]


@app.command("set")
def set_contact(contact_id: ContactId, assignments: Assignments, url: Url = None, key: Key = None) -> None:
    """Set attributes of a contact; `null` removes one, others are kept."""
    attributes: dict[str, Any] = {}
    for name, value in map(_assignment, assignments):
        if name in attributes:
            complain(f"{name!r} is set twice", ["hint: a contact has one value of an attribute"])
            raise typer.Exit(2)
        attributes[name] = value
    talk(lambda tidegate: tidegate.set_contact(contact_id, attributes), url, key)
    say(f"accepted {contact_id}: {', '.join(attributes)}")


@app.command("get")
def get_contact(contact_id: ContactId, url: Url = None, key: Key = None, as_json: AsJson = False) -> None:
    """Show a contact: attributes, and the segments that it is in since when."""
    contact = talk(lambda tidegate: tidegate.contact(contact_id), url, key)
    if as_json:
        print_json(contact.model_dump(mode="json"))
        return
    print_table(("attribute", "value"), [(name, _shown(value)) for name, value in sorted(contact.attributes.items())])
    print_table(
        ("segment", "since"),
        [(membership.segment_id, date_time(membership.since)) for membership in contact.memberships],
    )
    if contact.next_deadline is not None:
        say(f"next deadline {date_time(contact.next_deadline)}")


@app.command()
def delete(contact_id: ContactId, url: Url = None, key: Key = None) -> None:
    """Erase a contact: it leaves every segment, and nothing of it is kept."""
    talk(lambda tidegate: tidegate.delete_contact(contact_id), url, key)
    say(f"erased {contact_id}")


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        complain(f"{text!r} is not NAME=VALUE", ["hint: for example plan=pro"])
        raise typer.Exit(2)
    try:
        return name, _read(value)
    except JsonRefusedError as refused:
        complain(f"the value of {name!r} cannot be used: {refused.message}", ["hint: text stands in JSON quotes"])
        raise typer.Exit(2) from refused


def _read(text: str) -> Any:
    """What a value means. Errors: JsonRefusedError for JSON that names a key twice or is too deep."""
    try:
        load_strictly(text.encode())
    except JsonRefusedError as refused:
        if refused.code == INVALID_JSON:
            return text
        raise
    return json.loads(text, parse_int=_number, parse_float=_number)


def _number(text: str) -> int | float | str:
    """A number, or its text where it would be rounded."""
    value: int | float = orjson.loads(text)
    return value if Decimal(text) == Decimal(repr(float(value))) else text


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
