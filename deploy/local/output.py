"""What the stack shows: its own lines, and each process's lines behind that process's name.

Rule: lines of different processes never mix within a line; colour only on a terminal that wants it. When nobody reads
any more the stack goes on in silence, because its work does not depend on being watched.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, TextIO

from deploy.local.log_file import LogFile, keep_lines, last_lines

_RESET, _DIM, _BOLD = "\x1b[0m", "\x1b[2m", "\x1b[1m"
_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "kafka": "\x1b[35m",
        "ingest": "\x1b[34m",
        "evaluator": "\x1b[32m",
        "scheduler": "\x1b[33m",
        "console": "\x1b[36m",
        "webhooks": "\x1b[94m",
    }
)
LAST_LINES_MAX = 12
"""How much of a failed process's output is shown: enough for the end of a traceback."""
LAST_LINES_WAIT_S = 2
NAME_WIDTH = max(len(name) for name in _COLOURS)


def wants_colour(stream: TextIO) -> bool:
    """Whether colour is right: a terminal, and no wish against it in the environment (`NO_COLOR`)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Output:
    """Shows lines on a stream, or keeps the processes' lines in files when the terminal is someone else's."""

    def __init__(self, stream: TextIO, *, colour: bool, log_directory: Path | None = None) -> None:
        """`log_directory` takes the processes' lines in place of the stream, one file a process."""
        self._stream = stream
        self._colour = colour
        self._log_directory = log_directory
        self._lock = threading.Lock()
        self._readable = True
        self._followers: dict[str, threading.Thread] = {}

    def say(self, line: str) -> None:
        """Show one of the stack's own lines."""
        self._write(f"{_BOLD}{line}{_RESET}" if self._colour else line)

    def follow(self, name: str, lines: IO[bytes]) -> None:
        """Show or keep everything that a process prints, until it ends; returns at once."""
        follower = threading.Thread(target=self._follow, args=(name, lines), name=f"output of {name}", daemon=True)
        follower.start()
        self._followers[name] = follower

    def show_end(self, name: str) -> None:
        """Show the last lines of an ended process, if they are kept in a file where nobody has seen them."""
        if self._log_directory is None:
            return
        if name in self._followers:
            self._followers[name].join(LAST_LINES_WAIT_S)
        try:
            kept = last_lines(self._log_directory / f"{name}.log", LAST_LINES_MAX)
        except OSError:
            return  # it was said that nothing is kept
        for line in kept:
            self._write(self._prefixed(name, line))

    def _follow(self, name: str, lines: IO[bytes]) -> None:
        if self._log_directory is None:
            with lines:
                for line in lines:
                    self._write(self._prefixed(name, line.decode("utf-8", errors="replace").rstrip()))
            return
        keep_lines(lines, self._opened_log(name, self._log_directory))

    def _opened_log(self, name: str, directory: Path) -> LogFile | None:
        """The file that keeps what a process prints; None if there can be none, which is said."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            return LogFile(directory / f"{name}.log")
        except OSError as error:
            self.say(f"{directory} cannot be written ({error.strerror}): what {name} prints is not kept.")
            return None

    def _prefixed(self, name: str, line: str) -> str:
        if not self._colour:
            return f"{name:>{NAME_WIDTH}} | {line}"
        return f"{_COLOURS.get(name, '')}{name:>{NAME_WIDTH}}{_RESET} {_DIM}|{_RESET} {line}"

    def _write(self, line: str) -> None:
        with self._lock:
            if not self._readable:
                return
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                self._readable = False
            except OSError:
                return  # a full disk: this line is lost, later ones may not be
