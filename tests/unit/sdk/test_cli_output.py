"""What a command does whose standard output is closed, full, or no longer read, or whose input is closed: no trace."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

LIST = ("segments", "list")
MORE_THAN_A_BUFFER = 2_000
SCRIPT = """
import sys
from functools import partial
import httpx
from tidegate.cli import connection, main
segments = [{"id": f"s{n}", "version": 1, "state": "active", "text": "plan is pro", "members": n} for n in range(LEN)]
def answer(request):
    return httpx.Response(200 if request.url.path.endswith("/segments") else 404, json={"segments": segments})
connection.Tidegate = partial(connection.Tidegate, transport=httpx.MockTransport(answer))
main.run()
"""
LINE = b'{"where": "plan is pro", "attributes": {"plan": "pro"}}\n'


def run(arguments: tuple[str, ...], output: str, count: int = 1) -> subprocess.CompletedProcess[bytes]:
    """A command with its output redirected by a shell; `count` is how much it has to say."""
    script = SCRIPT.replace("LEN", str(count))
    command = shlex.join([sys.executable, "-c", script, *arguments])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} {output}"],
        input=LINE * count,
        env=environment,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "count"),
    [(("--help",), 1), (LIST, 1), (LIST, MORE_THAN_A_BUFFER), ((*LIST, "--json"), MORE_THAN_A_BUFFER), (("eval",), 1)],
)
@pytest.mark.parametrize(
    ("output", "reason"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")]
)
def test_output_that_cannot_be_written_is_said_in_one_line(
    output: str, reason: str, command: tuple[str, ...], count: int
) -> None:
    ended = run(command, output, count)
    assert ended.stderr.decode() == f"error: standard output cannot be written: {reason}\n"
    assert ended.returncode == 1


@pytest.mark.parametrize("output", [">&-", ">/dev/full"])
def test_a_command_that_has_nothing_to_say_needs_no_output(output: str) -> None:
    ended = run(LIST, output, 0)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_failure_is_told_as_ever_when_the_output_is_closed() -> None:
    ended = run(("segments", "create"), ">&-")
    assert (ended.returncode, b"Missing argument" in ended.stderr, b"Traceback" in ended.stderr) == (2, True, False)


def test_what_went_wrong_is_never_told_on_standard_output() -> None:
    told, untold = (run(("contacts", "get", "u"), output) for output in ("", "2>&-"))
    assert (told.returncode, told.stdout, told.stderr) == (3, b"", b"error: HTTP 404\n")
    assert (untold.returncode, untold.stdout, untold.stderr) == (3, b"", b"")


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [(("eval",), 0, ""), (("import", __file__), 2, "name the column that holds contact ids"), (LIST, 0, "")],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else None,
)
def test_a_closed_input_is_an_empty_one(command: tuple[str, ...], code: int, told: str) -> None:
    ended = run(command, "<&-")
    assert (ended.returncode, "Traceback" in ended.stderr.decode()) == (code, False)
    assert told in ended.stderr.decode()


@pytest.mark.parametrize(("command", "count"), [(LIST, 1), (LIST, MORE_THAN_A_BUFFER), (("eval",), 1)])
def test_a_reader_that_went_away_ends_a_command_in_silence(command: tuple[str, ...], count: int) -> None:
    ended = run(command, "| true", count)
    assert (ended.returncode, ended.stderr) == (1, b"")
