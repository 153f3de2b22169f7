"""The `tidegate` command: one table of subcommands, each imported only when it is called.

Rule: the base install is enough for every command but those marked `server`; a marked one says what to install instead
of failing on an import. This module mounts commands and must not do anything itself.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from tidegate.cli.standard_output import watched_output

if TYPE_CHECKING:
    from typer._click.core import Command, Context

SERVER_INSTALL = "pip install 'tidegate[server]'"


@dataclass(frozen=True, slots=True)
class Subcommand:
    """Where a subcommand lives: a module with `app: typer.Typer`. `server`: needs the services' dependencies."""

    module: str
    server: bool = False


SUBCOMMANDS: dict[str, Subcommand] = {
    "up": Subcommand("tidegate.cli.up", server=True),
    "eval": Subcommand("tidegate.cli.eval"),
    "segments": Subcommand("tidegate.cli.segments"),
    "contacts": Subcommand("tidegate.cli.contacts"),
    "import": Subcommand("tidegate.cli.imports"),
    "explain": Subcommand("tidegate.cli.explain"),
    "backtest": Subcommand("tidegate.cli.backtest"),
    "tail": Subcommand("tidegate.cli.tail"),
    "dead-letters": Subcommand("tidegate.cli.dead_letters"),
    "keys": Subcommand("tidegate.cli.keys"),
    "audit": Subcommand("tidegate.cli.audit"),
    "doctor": Subcommand("tidegate.cli.doctor"),
    "bench": Subcommand("tidegate.cli.bench"),
    "admin": Subcommand("tidegate.cli.admin", server=True),
}
"""In the order of `tidegate --help`."""


class LazyGroup(TyperGroup):
    """A command group that imports a subcommand's module at the moment it is needed."""

    def list_commands(self, ctx: Context) -> list[str]:
        """Name every subcommand, importing none."""
        return [*SUBCOMMANDS, *super().list_commands(ctx)]

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Take the arguments. Errors: BadParameter for one that is no text; the name of a file there is need be none.

        It is not shown: it may be a key.
        """
        for place, argument in enumerate(args, 1):
            if not is_text(argument) and not Path(argument).exists():
                raise typer.BadParameter(f"argument {place} is not text in UTF-8")
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Import one subcommand; when the services' dependencies are absent, give a command that says so."""
        place = SUBCOMMANDS.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        try:
            app = import_module(place.module).app
        except ModuleNotFoundError as error:
            if not place.server or error.name == place.module:
                raise
            app = _needs_server(cmd_name, error.name or "a package")
        command = typer.main.get_command(app)
        command.name = cmd_name
        return command


def is_text(argument: str) -> bool:
    """Whether what the system handed over can be sent: bytes that are no UTF-8 come as lone surrogates."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _needs_server(command: str, package: str) -> typer.Typer:
    """Stand for a command whose dependencies are not installed: it only says what to install."""
    app = typer.Typer(add_completion=False)

    @app.command(
        help=f"Needs the services: {SERVER_INSTALL}",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def explain_absence() -> None:
        typer.echo(f"`tidegate {command}` needs {package}, which is not installed. Run: {SERVER_INSTALL}", err=True)
        raise typer.Exit(2)

    return app


app = typer.Typer(
    cls=LazyGroup,
    name="tidegate",
    help="Real-time contact segmentation: segments, contacts and live membership changes.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
)


@app.callback()
def tidegate() -> None:
    """Real-time contact segmentation: segments, contacts and live membership changes."""


def run() -> Any:
    """Run the command line; the exit code is the process's. A closed standard input is an empty one."""
    if sys.stdin is None:
        sys.stdin = TextIOWrapper(BytesIO(), encoding="utf-8")
    with watched_output():
        return app(prog_name="tidegate")


if __name__ == "__main__":
    run()
