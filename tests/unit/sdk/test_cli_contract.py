"""What scripts rely on: `--json` on everything that reads, the exit codes that the page names, completion."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tidegate.cli import connection, main

PAGE = Path(__file__).parents[3] / "docs" / "command-line.md"
WITHOUT = {"contacts set", "contacts delete", "segments delete", "keys revoke", "eval"}
"""What only writes, and what prints nothing but JSON."""


def commands() -> dict[str, Any]:
    """Every command by its whole name."""
    group: Any = typer.main.get_command(main.app)
    context = typer.Context(group)
    found = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = getattr(command, "commands", None)
        for part, each in (inner or {"": command}).items():
            found[f"{name} {part}".strip()] = each
    return found


def test_every_command_that_reads_can_print_json() -> None:
    without = {
        name
        for name, command in commands().items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == WITHOUT


def test_the_page_names_every_command_and_every_exit_code() -> None:
    page = PAGE.read_text()
    missing = [name for name in commands() if f"`tidegate {name}" not in page]
    assert missing == []
    told = {int(code) for code in re.findall(r"^\| ([0-9]+) \|", page, re.MULTILINE)}
    codes = {value for name, value in vars(connection).items() if name.startswith("EXIT_")}
    assert told == {0, 2, *codes}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered_for_each_shell(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TIDEGATE_COMPLETE", f"source_{shell}")
    shown = CliRunner().invoke(main.app, [], prog_name="tidegate")
    assert "_TIDEGATE_COMPLETE" in shown.stdout


def test_completion_completes_commands_and_what_is_below_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TIDEGATE_COMPLETE", "complete_bash")
    for words, wanted in (("tidegate dead", "dead-letters"), ("tidegate segments pa", "pause")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert wanted in CliRunner().invoke(main.app, [], prog_name="tidegate").stdout.split()
