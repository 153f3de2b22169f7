"""What one process of the stack prints, in a file: bounded, so that no stack that is left running fills a disk.

Rule: a file that is full becomes `.1` in place of the one before it, so twice the bound is kept at most, and the newest
lines always are.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Final

LOG_BYTES_MAX: Final = 16 << 20
TAIL_BYTES: Final = 64 << 10
"""How much of a file's end is looked at for its last lines."""


class LogFile:
    """A file that lines are added to. Not thread-safe. Errors: OSError, also when a line finds no room."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)

    def close(self) -> None:
        """Add nothing more."""
        self._file.close()

    def write(self, line: bytes) -> None:
        """Add a line, to a new file if this one is full."""
        size = self._file.tell()
        if size > 0 and size + len(line) > LOG_BYTES_MAX:
            self._begin_anew()
        self._file.write(line)

    def _begin_anew(self) -> None:
        # Whoever has removed or moved the file meanwhile has left nothing to keep.
        with suppress(FileNotFoundError):
            self._path.replace(_before(self._path))
        following = self._path.open("ab", buffering=0)
        self._file.close()
        self._file = following


def keep_lines(lines: IO[bytes], log: LogFile | None) -> None:
    """Keep what a process prints until it ends, then close both; without a log nothing is kept."""
    with lines, ExitStack() as opened:
        if log is not None:
            opened.callback(log.close)
        for line in lines:
            # A full disk: the process must neither die of a log that nobody reads nor wait for room in it.
            with suppress(OSError):
                if log is not None:
                    log.write(line)


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log, across the place where its file was begun anew. Errors: OSError when there is none."""
    ends = _end_of(path)
    with suppress(FileNotFoundError):
        ends = _end_of(_before(path)) + ends
    return ends.decode(errors="replace").splitlines()[-count:]


def _before(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _end_of(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        return file.read()
