"""`tidegate dead-letters`: the records that could not be evaluated: list, show, replay.

Rule: a dead letter is named by its place, `PARTITION/OFFSET`, as the list shows it. What a producer sent is printed as
text, never as markup. A replay that the service refuses says why, and the others go on.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from schemas.strict_json import JsonRefusedError, load_strictly
from tidegate.cli.connection import EXIT_REFUSED, AsJson, Key, Url, talk, told
from tidegate.cli.instants import date_time
from tidegate.cli.output import complain, print_json, print_table, say
from tidegate.client import Tidegate
from tidegate.errors import ConflictError, NotFoundError, ProblemError, RefusedError
from tidegate.responses import DeadLetter

app = typer.Typer(
    help="Records that could not be evaluated; needs the scope admin.", no_args_is_help=True, add_completion=False
)

PAGE: Final = 200
LISTED: Final = 20
PAGES_MAX: Final = 1_000
"""Of a search for a rare code; each looks at 20,000 records at most."""
REPLAYED_MAX: Final = 10_000
"""By one command with `--all-of`."""
_PLACE: Final = re.compile(r"([0-9]{1,9})/([0-9]{1,18})")

Place = tuple[int, int]


def _place(text: str) -> Place:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no place; write PARTITION/OFFSET as `tidegate dead-letters list` shows it"
        )
    return int(found[1]), int(found[2])


Code = Annotated[str | None, typer.Option("--code", help="Only those of this reason, for example not_json.")]


@app.command("list")
def list_dead_letters(
    code: Code = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=REPLAYED_MAX, help="How many of the newest.")] = LISTED,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first: where, when, why, and whose."""

    async def read(tidegate: Tidegate) -> list[DeadLetter]:
        return [letter async for letter in _newest(tidegate, code, limit)]

    letters = talk(read, url, key)
    if as_json:
        print_json([letter.model_dump(mode="json") for letter in letters])
        return
    rows = [(_named(letter), date_time(letter.at), letter.code, letter.key, letter.message) for letter in letters]
    print_table(("place", "at", "code", "key", "message"), rows)


@app.command()
def show(
    place: Annotated[Any, typer.Argument(parser=_place, metavar="PARTITION/OFFSET")],
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter whole: why it failed, where it was, and what it held."""
    letter = talk(lambda tidegate: tidegate.dead_letter(*place), url, key)
    if as_json:
        print_json(letter.model_dump(mode="json"))
        return
    source = f"{letter.source.topic} {letter.source.partition}/{letter.source.offset}"
    rows = [
        ("code", letter.code),
        ("message", letter.message),
        ("at", date_time(letter.at)),
        ("source", source),
        ("key" if not letter.key_is_base64 else "key (base64)", letter.key),
        *((f"header {header['name']}", header["value"]) for header in (letter.model_extra or {}).get("headers", [])),
        ("value" if not letter.value_is_base64 else "value (base64)", letter.value),
    ]
    print_table(("", ""), rows)


@app.command()
def replay(
    places: Annotated[list[Any] | None, typer.Argument(parser=_place, metavar="[PARTITION/OFFSET]...")] = None,
    all_of: Annotated[str | None, typer.Option("--all-of", metavar="CODE", help="Every one of this reason.")] = None,
    value: Annotated[
        str | None, typer.Option("--value", metavar="JSON|@FILE", help="The repaired record; for one place only.")
    ] = None,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Put records back on the log, as they were or repaired; the same replay twice writes once."""
    if bool(places) is bool(all_of) or (value is not None and len(places or ()) != 1):
        raise typer.BadParameter("name places, or --all-of CODE; --value goes with exactly one place")
    repaired = None if value is None else _object(value)

    async def put_back(tidegate: Tidegate) -> list[dict[str, Any]]:
        wanted = list(places or [])
        if all_of is not None:
            wanted = [(one.partition, one.offset) async for one in _newest(tidegate, all_of, REPLAYED_MAX)]
        # The oldest first, so that of two writes of a contact the later is written later again.
        return [await _replayed(tidegate, place, repaired) for place in reversed(wanted)]

    outcomes = talk(put_back, url, key)
    if as_json:
        print_json(outcomes)
    else:
        say(f"replayed {sum(outcome['replayed'] for outcome in outcomes):,} of {len(outcomes):,}")
    if not all(outcome["replayed"] for outcome in outcomes):
        raise typer.Exit(EXIT_REFUSED)


async def _replayed(tidegate: Tidegate, place: Place, value: dict[str, Any] | None) -> dict[str, Any]:
    named = f"{place[0]}/{place[1]}"
    try:
        receipt = await tidegate.replay_dead_letter(*place, value)
    except (RefusedError, ConflictError, NotFoundError) as error:
        complain(f"{named}: {error}", [line for fault in error.errors for line in told(fault)])
        return {"place": named, "replayed": False, **_reason(error)}
    return {"place": named, "replayed": True, "receipt": receipt}


def _reason(error: ProblemError) -> dict[str, Any]:
    return {"code": error.document.get("code", ""), "message": str(error)}


async def _newest(tidegate: Tidegate, code: str | None, limit: int) -> AsyncIterator[DeadLetter]:
    """The newest letters, over as many pages as that takes."""
    given, after = 0, None
    for _ in range(PAGES_MAX):
        page = await tidegate.dead_letters(code=code, limit=min(PAGE, limit - given), after=after)
        for letter in page.dead_letters:
            yield letter
        given, after = given + len(page.dead_letters), page.next
        if after is None or given >= limit:
            return
    complain(f"the search ended after {PAGES_MAX:,} pages; there may be older ones")


def _object(text: str) -> dict[str, Any]:
    """The repaired record, given or in a file."""
    try:
        content = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        value = load_strictly(content)
    except (OSError, JsonRefusedError) as error:
        raise typer.BadParameter(f"the repaired record cannot be read: {error}", param_hint="--value") from error
    if not isinstance(value, dict):
        raise typer.BadParameter('a record is an object, for example {"attributes": {"plan": "pro"}}')
    return value


def _named(letter: DeadLetter) -> str:
    return f"{letter.partition}/{letter.offset}"
