"""Lines of many processes on one stream: whole, named, coloured only where that is wanted, or kept in files."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from deploy.local.output import LAST_LINES_MAX, Output, wants_colour
from deploy.local.plan import KAFKA, StackPorts


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ClosedPipe(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError


def follow(output: Output, name: str, printed: bytes) -> None:
    """Show all that a process printed, and return when it has been shown."""
    reading, writing = os.pipe()
    output.follow(name, os.fdopen(reading, "rb"))
    os.write(writing, printed)
    os.close(writing)
    output._followers[name].join(5)


def test_each_line_stands_behind_its_processs_name() -> None:
    stream = io.StringIO()
    output = Output(stream, colour=False)
    follow(output, "ingest", b"one\ntwo \xff\n")
    follow(output, "evaluator", b"three")
    assert stream.getvalue() == "   ingest | one\n   ingest | two \ufffd\nevaluator | three\n"


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())


def test_every_process_has_a_colour_of_its_own() -> None:
    processes = [KAFKA, *StackPorts.documented().admin]
    shown = []
    for name in processes:
        stream = io.StringIO()
        follow(Output(stream, colour=True), name, b"x\n")
        shown.append(stream.getvalue().partition(name)[0].strip())
    assert all(colour.startswith("\x1b[") for colour in shown), dict(zip(processes, shown, strict=True))
    assert len(set(shown)) == len(shown)


def test_lines_kept_in_a_file_leave_the_terminal_alone_until_a_failure_shows_the_end(tmp_path: Path) -> None:
    stream = io.StringIO()
    output = Output(stream, colour=False, log_directory=tmp_path)
    lines = [f"line {number}" for number in range(LAST_LINES_MAX + 3)]
    follow(output, "ingest", "\n".join(lines).encode())
    assert stream.getvalue() == ""
    output.show_end("ingest")
    assert stream.getvalue().splitlines() == [f"   ingest | {line}" for line in lines[3:]]
    assert (tmp_path / "ingest.log").read_text() == "\n".join(lines)


def test_the_stack_goes_on_in_silence_when_nobody_reads_any_more() -> None:
    output = Output(ClosedPipe(), colour=False)
    output.say("unheard")
    output.say("unheard")
