"""One child process that cannot outlive its parent, however the parent dies.

Rule: beside each child runs a watchdog, a shell blocked on a pipe whose other end only the parent holds. When the
parent is gone, even by `kill -9`, the pipe closes, and the watchdog asks the child to stop and, after a grace, ends it.
The child leads its own process group, so a Ctrl-C in the terminal reaches the parent alone, which then stops its
children in order.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

ORPHAN_GRACE_S = 15
"""How long an orphaned child may take to stop by itself."""

_WATCHDOG = """
read _
kill -TERM "$1" 2>/dev/null || exit 0
waited=0
while [ "$waited" -lt "$2" ]; do
  kill -0 "$1" 2>/dev/null || exit 0
  sleep 1
  waited=$((waited + 1))
done
kill -KILL "$1" 2>/dev/null
"""


class Child:
    """A running child and its watchdog."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        output: int | IO[bytes] = subprocess.PIPE,
        directory: Path | None = None,
    ) -> None:
        """Start the child; standard output and errors both go to `output`."""
        self.name = name
        self._process = subprocess.Popen(  # noqa: S603 - the stack's own commands, never a person's text
            [str(argument) for argument in arguments],
            env=dict(environment) if environment is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            start_new_session=True,
        )
        try:
            self._watchdog = Watchdog(self._process.pid)
        except OSError:
            self._process.kill()  # nothing would end it with us
            self._process.wait()
            raise

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def output(self) -> IO[bytes]:
        """What the child prints, when `output` was a pipe."""
        if self._process.stdout is None:
            raise AssertionError("this child's output was sent elsewhere")
        return self._process.stdout

    def exit_code(self) -> int | None:
        """Return the exit code, or None while the child runs. Negative: the signal that ended it."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Send SIGTERM; returns at once."""
        if self.exit_code() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the child at once; it can do nothing about it."""
        self._process.kill()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; say whether it came in time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, grace_s: float) -> bool:
        """Stop the child and its watchdog; kill it after the grace. Say whether it stopped by itself."""
        self.ask_to_stop()
        graceful = self.wait(grace_s)
        if not graceful:
            self._process.kill()
            self._process.wait()
        self.release()
        return graceful

    def release(self) -> None:
        """End the watchdog of a child that has ended. Harmless when repeated."""
        self._watchdog.end()


class Watchdog:
    """Ends one process when this process is gone."""

    def __init__(self, pid: int) -> None:
        reading, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a constant script
                ["/bin/sh", "-c", _WATCHDOG, "tidegate-watchdog", str(pid), str(ORPHAN_GRACE_S)],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            os.close(self._lifeline)
            raise
        finally:
            os.close(reading)
        self._ended = False

    def end(self) -> None:
        """End the watchdog of a process that has ended. Harmless when repeated."""
        if not self._ended:
            self._ended = True
            self._process.kill()
            self._process.wait()
            os.close(self._lifeline)
