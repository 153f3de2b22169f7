"""Lines of many processes on one stream: whole, named, coloured only where that is wanted, or kept in files."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path

import pytest

from deploy.local.child import Child
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


class FullDisk(io.StringIO):
    """Takes nothing the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            self.is_full = False
            raise OSError(errno.ENOSPC, "no space left")
        return super().write(text)


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


def test_a_full_disk_under_the_stream_costs_the_lines_that_do_not_fit_and_no_later_ones() -> None:
    stream = FullDisk()
    follow(Output(stream, colour=False), "ingest", b"lost\nshown\n")
    assert stream.getvalue() == "   ingest | shown\n"


def follow_more_than_a_pipe_holds(output: Output) -> None:
    """A process prints it, and ends by itself."""
    more_than_a_pipe_holds = "for number in range(20_000): print('a line', number)"
    child = Child("ingest", [sys.executable, "-c", more_than_a_pipe_holds])
    try:
        output.follow("ingest", child.output)
        assert child.wait(30)
        assert child.exit_code() == 0
    finally:
        child.stop(0)


def test_a_full_disk_under_a_log_file_neither_ends_nor_holds_up_the_process(tmp_path: Path) -> None:
    (tmp_path / "ingest.log").symlink_to("/dev/full")
    output = Output(io.StringIO(), colour=False, log_directory=tmp_path)
    follow_more_than_a_pipe_holds(output)


def test_a_log_file_that_cannot_be_opened_is_said_and_does_not_hold_up_the_process(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    stream = io.StringIO()
    output = Output(stream, colour=False, log_directory=tmp_path / "logs")
    follow_more_than_a_pipe_holds(output)
    output.show_end("ingest")
    assert stream.getvalue() == (f"{tmp_path}/logs cannot be written (File exists): what ingest prints is not kept.\n")
