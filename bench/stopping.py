"""How a benchmark ends when it is told to: what it has started ends with it.

Rule: SIGTERM ends a benchmark as an exit does, so that whoever started a process, a broker or a directory puts it away.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

EXIT_TERMINATED = 128 + signal.SIGTERM
"""What a shell says of a process that SIGTERM ended."""


def exit_at_sigterm() -> None:
    """Have SIGTERM raise SystemExit in the main thread, from now on."""
    signal.signal(signal.SIGTERM, _exit)


def _exit(_number: int, _frame: FrameType | None) -> None:
    sys.exit(EXIT_TERMINATED)
