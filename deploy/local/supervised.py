"""One process that is kept running: started, watched, and started again after a crash, later each time.

Rule: what happened is always said. A process that refuses to start (its exit code says that a person must repair
something) is left down, because starting it again changes nothing. Time is an argument.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from enum import StrEnum

from deploy.local.child import Child
from deploy.local.errors import LocalStackError
from deploy.local.say import Say
from services.runtime.application import EXIT_REFUSED

RESTART_DELAY_MIN_S = 0.5
RESTART_DELAY_MAX_S = 30.0
STABLE_AFTER_S = 60.0
"""A process that ran this long has recovered: its next crash is its first again."""


class State(StrEnum):
    """Where a supervised process stands."""

    NEW = "new"
    RUNNING = "running"
    WAITING = "waiting to be restarted"
    REFUSED = "refused to start"
    STOPPED = "stopped"


class Supervised:
    """A process by name, and how to launch it. Not thread-safe."""

    def __init__(self, name: str, launch: Callable[[], Child], say: Say) -> None:
        self.name = name
        self.state = State.NEW
        self.crashes = 0
        self._launch = launch
        self._say = say
        self._child: Child | None = None
        self._started_at = 0.0
        self._restart_at = 0.0

    @property
    def child(self) -> Child:
        """The process started last."""
        if self._child is None:
            raise AssertionError(f"{self.name} has not been started")
        return self._child

    def start(self, now: float) -> None:
        """Launch the process. Errors: `LocalStackError` when the system lets none begin, or its files are gone."""
        try:
            self._child = self._launch()
        except OSError as error:
            of = f" of {error.filename}" if error.filename else ""
            raise LocalStackError(f"{self.name} cannot be started: {error.strerror}{of}.") from error
        self._started_at = now
        self.state = State.RUNNING

    def check(self, now: float) -> bool:
        """Notice a crash, or launch again when the wait is over. Say whether the process changed."""
        if self.state is State.RUNNING:
            code = self.child.exit_code()
            if code is not None:
                self._ended(code, now)
                return True
        elif self.state is State.WAITING and now >= self._restart_at:
            self.start(now)
            self._say(f"{self.name} was started again (pid {self.child.pid}).")
            return True
        return False

    def stop(self, grace_s: float) -> bool:
        """Stop the process for good. Say whether it stopped by itself in time."""
        running = self.state is State.RUNNING
        self.state = State.STOPPED
        return self.child.stop(grace_s) if running else True

    def ask_to_stop(self) -> None:
        """Begin to stop: returns at once; `stop` then awaits the end."""
        if self.state is State.RUNNING:
            self.child.ask_to_stop()

    def _ended(self, code: int, now: float) -> None:
        self.child.release()
        if code == EXIT_REFUSED:
            self.state = State.REFUSED
            self._say(f"{self.name} refused to start, and stays down until what its output says is repaired.")
            return
        self.crashes = 1 if now - self._started_at >= STABLE_AFTER_S else self.crashes + 1
        delay_s = restart_delay_s(self.crashes)
        self._restart_at = now + delay_s
        self.state = State.WAITING
        self._say(f"{self.name} ended unexpectedly ({ending(code)}); starting it again in {delay_s:g} s.")


def restart_delay_s(crashes: int) -> float:
    """Seconds to wait after so many crashes in a row, counting from 1: doubling, bounded."""
    return float(min(RESTART_DELAY_MAX_S, RESTART_DELAY_MIN_S * 2.0 ** min(crashes - 1, 16)))


def ending(code: int) -> str:
    """Describe an exit code for a person."""
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
