"""Which service the command line talks to, with which key, and how a failure ends a command.

Rule: an option beats the environment, which beats the local stack's own files. Exit codes are part of the contract with
scripts: the same failure always ends with the same code, and its message goes to standard error.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import httpx
import orjson
import platformdirs
import typer

from tidegate.cli.output import complain
from tidegate.client import Tidegate
from tidegate.errors import (
    ConflictError,
    FieldError,
    NotAllowedError,
    NotFoundError,
    NotReadyError,
    ProblemError,
    TidegateError,
    UnreachableError,
)
from tidegate.transport import DEFAULT_URL

EXIT_REFUSED: Final = 1
"""The request was wrong: repeating it unchanged cannot succeed. (2 is a wrong command line.)"""
EXIT_NOT_FOUND: Final = 3
EXIT_NOT_ALLOWED: Final = 4
EXIT_CONFLICT: Final = 5
EXIT_UNREACHABLE: Final = 6
"""Nothing answers, or not now; repeating it later can succeed."""
EXIT_INTERRUPTED: Final = 130

URL_VARIABLES: Final = ("TIDEGATE_URL", "TIDEGATE_CONSOLE_URL")
KEY_VARIABLE: Final = "TIDEGATE_API_KEY"
DATA_DIR_VARIABLE: Final = "TIDEGATE_DATA_DIR"
LOCAL_KEY_FILE: Final = "local-key"
LOCAL_STACK_FILE: Final = "stack.json"
PORT_MAX: Final = 65_535

COMMANDS: Final = {
    "segments": "`tidegate segments list`",
    "dead-letters": "`tidegate dead-letters list`",
    "keys": "`tidegate keys list`",
}
"""What gives on the command line the list that the API tells its clients to ask for."""
_LIST_ASKED: Final = re.compile(r"`GET /api/v2/([a-z-]+)`")

Url = Annotated[str | None, typer.Option("--url", help=f"Service address. Default: TIDEGATE_URL, else {DEFAULT_URL}.")]
Key = Annotated[
    str | None, typer.Option("--key", help=f"API key. Default: {KEY_VARIABLE}, else the local stack's own.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

Result = TypeVar("Result")


def an_id(text: str) -> str:
    """An id as it was typed. Errors: raises BadParameter for nothing, which an unset variable of a shell gives."""
    if not text:
        raise typer.BadParameter("an id is not empty")
    return text


def talk(
    work: Callable[[Tidegate], Awaitable[Result]], url: str | None, key: str | None, source: str | None = None
) -> Result:
    """Run one piece of work against the service; a failure is told in words and ends the command.

    `source` is the text in which faults are underlined, when they name a place in it.
    """

    async def connected() -> Result:
        async with Tidegate(service_url(url), key=service_key(key)) as tidegate:
            return await work(tidegate)

    try:
        return asyncio.run(connected())
    except TidegateError as error:
        fail(error, source)
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def fail(error: TidegateError, source: str | None = None) -> NoReturn:
    """Tell an error and end the command with its code."""
    faults = error.errors if isinstance(error, ProblemError) else ()
    complain(in_commands(str(error)), [in_commands(line) for fault in faults for line in told(fault, source)])
    raise typer.Exit(exit_code(error)) from error


def in_commands(text: str) -> str:
    """What the API says to any client, in the words of the command line."""
    return _LIST_ASKED.sub(lambda asked: COMMANDS.get(asked[1], "the dashboard"), text)


def exit_code(error: TidegateError) -> int:
    """The exit code of a failure."""
    match error:
        case NotFoundError():
            return EXIT_NOT_FOUND
        case NotAllowedError():
            return EXIT_NOT_ALLOWED
        case ConflictError():
            return EXIT_CONFLICT
        case UnreachableError() | NotReadyError():
            return EXIT_UNREACHABLE
        case _:
            return EXIT_REFUSED


def told(fault: FieldError, source: str | None = None) -> list[str]:
    """One fault of a request: its place underlined if it is in `source`, what is wrong, how to fix it."""
    lines = (source or "").splitlines()
    place = f"{fault.pointer}: " if fault.pointer and fault.line is None else ""
    shown = [f"{place}{fault.message}", *([f"hint: {fault.hint}"] if fault.hint else [])]
    if fault.line is None or fault.column is None or fault.line > len(lines):
        return shown
    return [lines[fault.line - 1], " " * (fault.column - 1) + "^" * max(1, fault.length or 1), *shown]


def service_url(option: str | None) -> str:
    """The address to talk to. Errors: raises BadParameter for what is none, such as one without a scheme or a host."""
    named = option or next((os.environ[name] for name in URL_VARIABLES if os.environ.get(name)), None)
    if named is None:
        return _local_stack_url() or DEFAULT_URL
    return an_address(named, "--url", DEFAULT_URL)


def an_address(text: str, option: str, example: str) -> str:
    """An address that can be asked. Errors: raises BadParameter for what is none, and for one that holds a password."""
    if "@" in text:
        raise typer.BadParameter("no user or password is sent there; leave it out", param_hint=option)
    if not _is_address(text):
        raise typer.BadParameter(f"{text!r} is not an address such as {example}", param_hint=option)
    return text


def _is_address(text: str) -> bool:
    try:
        url = httpx.URL(text)
        return url.scheme in ("http", "https") and bool(url.host) and (url.port is None or 0 < url.port <= PORT_MAX)
    except (httpx.InvalidURL, UnicodeError):
        return False


def service_key(option: str | None) -> str | None:
    """The key to show; None when there is none, and the service then says what it needs.

    Errors: raises BadParameter for what no key can be; it is not shown.
    """
    named = option or os.environ.get(KEY_VARIABLE)
    if named:
        if not named.isascii() or not named.isprintable() or " " in named:
            raise typer.BadParameter("an API key has ASCII letters, digits, `-` and `_` only", param_hint="--key")
        return named
    try:
        return (data_directory() / LOCAL_KEY_FILE).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def local_stack() -> dict[str, Any]:
    """What the local stack says about itself while it runs; nothing if there is none."""
    try:
        told = orjson.loads((data_directory() / LOCAL_STACK_FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return told if isinstance(told, dict) else {}


def _local_stack_url() -> str | None:
    url = local_stack().get("console")
    return str(url) if url else None


def data_directory() -> Path:
    """Where the local stack keeps its files."""
    named = os.environ.get(DATA_DIR_VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_data_path("tidegate")
