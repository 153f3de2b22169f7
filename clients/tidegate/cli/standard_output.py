"""Standard output as it was handed over: it may be closed, full, no longer read, or lack characters.

Rule: only what is written there is judged here, and a failure to write ends the command with one line on standard
error; who reads no more is told nothing. Any other error passes. It must not load what a command does not need.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter, RawIOBase, TextIOWrapper
from typing import Any, Final

import typer

EXIT_UNWRITABLE: Final = 1


class Watched(RawIOBase):
    """Bytes on their way out, and what the first write failed with. `below` is None if the output is closed."""

    def __init__(self, below: RawIOBase | None) -> None:
        self.fault: OSError | None = None
        self._below = below
        self._is_let_go = False

    def let_go(self) -> None:
        """Drop what is still buffered, which the interpreter would write, and complain about, when it ends."""
        self._is_let_go = True

    def writable(self) -> bool:
        """It is made for that."""
        return True

    def isatty(self) -> bool:
        """Whether the output is a terminal."""
        return self._below is not None and self._below.isatty()

    def fileno(self) -> int:
        """The file descriptor. Errors: OSError when the output is closed."""
        if self._below is None:
            raise _closed()
        return self._below.fileno()

    def write(self, content: Any) -> int | None:
        """Write what has a buffer. Errors: OSError, kept in `fault`."""
        if self._is_let_go:
            return memoryview(content).nbytes
        try:
            if self._below is None:
                raise _closed()
            return self._below.write(content)
        except OSError as error:
            self.fault = self.fault or error
            raise


@contextmanager
def watched_output() -> Iterator[None]:
    """Run a command whose output may fail. What a terminal's encoding lacks is shown as `?`.

    Errors: raises SystemExit when something could not be written.
    """
    raw = _watch()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if raw is None or raw.fault is None:
            raise
        raw.let_go()
        if not isinstance(raw.fault, BrokenPipeError):
            typer.echo(f"error: standard output cannot be written: {raw.fault.strerror}", err=True)
        raise SystemExit(EXIT_UNWRITABLE) from error


def _watch() -> Watched | None:
    """Put a watched stream in the place of standard output, unless a program has put one of its own there."""
    given = sys.stdout
    if given is not None and not isinstance(given, TextIOWrapper):
        return None
    raw = Watched(None if given is None else getattr(given.buffer, "raw", given.buffer))
    encoding = "utf-8" if given is None else given.encoding
    is_by_line = given is not None and given.line_buffering
    sys.stdout = TextIOWrapper(BufferedWriter(raw), encoding, errors="replace", line_buffering=is_by_line)
    return raw


def _closed() -> OSError:
    return OSError(errno.EBADF, os.strerror(errno.EBADF))
